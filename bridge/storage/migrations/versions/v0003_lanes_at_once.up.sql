ALTER TABLE networks
    ADD COLUMN paused_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN paused_by TEXT;

ALTER TABLE lanes
    ADD COLUMN holder TEXT,
    ADD COLUMN first_nonce BIGINT DEFAULT 0 NOT NULL,
    ADD COLUMN paused_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN paused_by TEXT,
    ADD COLUMN low_since TIMESTAMP WITH TIME ZONE;

UPDATE lanes l SET first_nonce = COALESCE(
    (SELECT min(b.nonce) FROM batches b WHERE b.lane_id = l.id AND b.instance = l.instance),
    l.next_nonce
);

ALTER TABLE batches ADD COLUMN reminded_at TIMESTAMP WITH TIME ZONE;

CREATE INDEX batches_cancelled ON batches (lane_id, nonce) WHERE status = 'cancelled';

CREATE TABLE lane_workers (
    network TEXT NOT NULL,
    id TEXT NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (network, id),
    FOREIGN KEY(network) REFERENCES networks (name)
);
