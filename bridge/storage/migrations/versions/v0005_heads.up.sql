ALTER TABLE networks
    ADD COLUMN head_number BIGINT,
    ADD COLUMN final_number BIGINT,
    ADD COLUMN head_at TIMESTAMP WITH TIME ZONE;

-- Whose orders a batch was for that ended without paying them.
CREATE INDEX order_events_requeued ON order_events ((data ->> 'batch_id'))
    WHERE type = 'order.requeued';
