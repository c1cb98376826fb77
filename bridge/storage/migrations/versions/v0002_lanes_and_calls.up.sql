ALTER TABLE batches
    ADD COLUMN kind TEXT DEFAULT 'payout' NOT NULL,
    ADD COLUMN cancel_asked_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN bump_asked_at TIMESTAMP WITH TIME ZONE,
    ADD CONSTRAINT batches_kind CHECK (kind IN ('payout', 'single', 'call'));

ALTER TABLE batch_attempts ADD COLUMN cancels BOOLEAN DEFAULT false NOT NULL;

CREATE TABLE contract_calls (
    id TEXT NOT NULL,
    network TEXT NOT NULL,
    sender TEXT NOT NULL,
    to_address TEXT NOT NULL,
    data BYTEA NOT NULL,
    value NUMERIC(78, 0) NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    batch_id BIGINT,
    refused_at TIMESTAMP WITH TIME ZONE,
    refused_reason TEXT,
    PRIMARY KEY (id),
    FOREIGN KEY(network) REFERENCES networks (name),
    FOREIGN KEY(batch_id) REFERENCES batches (id)
);

CREATE UNIQUE INDEX contract_calls_one_per_batch ON contract_calls (batch_id);

CREATE INDEX contract_calls_waiting ON contract_calls (network, sender, created_at)
    WHERE batch_id IS NULL AND refused_at IS NULL;
