ALTER TABLE networks
    ADD COLUMN head_number BIGINT,
    ADD COLUMN final_number BIGINT,
    ADD COLUMN head_at TIMESTAMP WITH TIME ZONE;
