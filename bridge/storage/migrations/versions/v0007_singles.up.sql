ALTER TABLE batches
    ADD COLUMN value NUMERIC(78, 0) DEFAULT 0 NOT NULL,
    ADD CONSTRAINT batches_single CHECK (
        CASE kind WHEN 'single' THEN value > 0 AND order_count = 1 ELSE value = 0 END
    );
