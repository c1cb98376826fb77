CREATE INDEX orders_of_party ON orders USING gin (parties jsonb_path_ops)
    WHERE escrow_id IS NOT NULL;
