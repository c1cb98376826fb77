DROP TABLE contract_calls;

ALTER TABLE batch_attempts DROP COLUMN cancels;

ALTER TABLE batches DROP COLUMN kind, DROP COLUMN cancel_asked_at, DROP COLUMN bump_asked_at;
