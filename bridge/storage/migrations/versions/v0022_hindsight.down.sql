ALTER TABLE gas_decisions DROP COLUMN order_ids, DROP COLUMN paid_wei;
