CREATE TABLE gas_blocks (
    network TEXT NOT NULL,
    number BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    time_s BIGINT NOT NULL,
    base_fee_wei BIGINT NOT NULL,
    gas_used BIGINT NOT NULL,
    gas_limit BIGINT NOT NULL,
    tips_wei BIGINT[],
    PRIMARY KEY (network, number),
    CONSTRAINT gas_blocks_possible CHECK (base_fee_wei >= 0 AND gas_limit > 0)
);

CREATE TABLE gas_outlooks (
    network TEXT NOT NULL,
    head_number BIGINT NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    content JSONB NOT NULL,
    PRIMARY KEY (network)
);

CREATE TABLE gas_decisions (
    id BIGINT GENERATED ALWAYS AS IDENTITY NOT NULL,
    network TEXT NOT NULL,
    asset TEXT NOT NULL,
    decided_at TIMESTAMP WITH TIME ZONE NOT NULL,
    reason TEXT NOT NULL,
    orders INTEGER NOT NULL,
    sent INTEGER NOT NULL,
    waiting_since TIMESTAMP WITH TIME ZONE NOT NULL,
    deadline TIMESTAMP WITH TIME ZONE NOT NULL,
    head_number BIGINT,
    fee_wei BIGINT,
    below_wei BIGINT,
    scored_at TIMESTAMP WITH TIME ZONE,
    at_once_wei BIGINT,
    best_wei BIGINT,
    PRIMARY KEY (id)
);

CREATE INDEX gas_decisions_of_network ON gas_decisions (network, id);

CREATE INDEX gas_decisions_unscored ON gas_decisions (network, deadline)
    WHERE scored_at IS NULL AND sent > 0;

CREATE TABLE gas_models (
    network TEXT NOT NULL,
    digest TEXT NOT NULL,
    trained_at TIMESTAMP WITH TIME ZONE NOT NULL,
    promoted_at TIMESTAMP WITH TIME ZONE,
    scores JSONB NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (network, digest)
);
