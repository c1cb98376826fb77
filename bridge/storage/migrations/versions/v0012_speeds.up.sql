ALTER TABLE quotes
    ADD COLUMN speed TEXT DEFAULT 'standard' NOT NULL,
    ADD COLUMN network_fee_wei NUMERIC(78, 0) DEFAULT 0 NOT NULL,
    ADD CONSTRAINT quotes_speed CHECK (speed IN ('instant', 'standard', 'economy'));

ALTER TABLE orders
    ADD COLUMN speed TEXT DEFAULT 'standard' NOT NULL,
    ADD COLUMN network_fee_wei NUMERIC(78, 0) DEFAULT 0 NOT NULL,
    ADD CONSTRAINT orders_speed CHECK (speed IN ('instant', 'standard', 'economy'));
