DROP INDEX order_events_requeued;

ALTER TABLE networks DROP COLUMN head_number, DROP COLUMN final_number, DROP COLUMN head_at;
