-- Which orders left, so that each is scored by its own times and the block that it got into.
ALTER TABLE gas_decisions
    ADD COLUMN order_ids TEXT[],
    ADD COLUMN paid_wei BIGINT;
