DROP TABLE lane_workers;

DROP INDEX batches_cancelled;

ALTER TABLE batches DROP COLUMN reminded_at;

ALTER TABLE lanes
    DROP COLUMN holder, DROP COLUMN first_nonce, DROP COLUMN paused_at, DROP COLUMN paused_by,
    DROP COLUMN low_since;

ALTER TABLE networks DROP COLUMN paused_at, DROP COLUMN paused_by;
