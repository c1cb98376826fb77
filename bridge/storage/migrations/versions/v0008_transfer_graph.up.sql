CREATE TABLE graph_nodes (
    id BIGINT PRIMARY KEY,
    address TEXT NOT NULL UNIQUE
);

CREATE TABLE graph_sources (
    id INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    network TEXT NOT NULL,
    next_block BIGINT NOT NULL DEFAULT 0,
    final_block BIGINT NOT NULL DEFAULT -1,
    target_block BIGINT NOT NULL DEFAULT -1,
    last_time_s BIGINT,
    transfers BIGINT NOT NULL DEFAULT 0,
    rewinds BIGINT NOT NULL DEFAULT 0,
    complete BOOLEAN NOT NULL DEFAULT false,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now()
);

-- Hashes of the blocks that were read and are not final yet.
CREATE TABLE graph_blocks (
    source_id INTEGER NOT NULL REFERENCES graph_sources (id),
    number BIGINT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (source_id, number)
);

-- The key is the same for the same transfer from whatever source.
CREATE TABLE graph_transfers (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key BYTEA NOT NULL UNIQUE,
    source_id INTEGER NOT NULL REFERENCES graph_sources (id),
    block BIGINT NOT NULL,
    tx TEXT NOT NULL,
    asset TEXT NOT NULL,
    src BIGINT NOT NULL,
    dst BIGINT NOT NULL,
    amount DOUBLE PRECISION NOT NULL,
    count INTEGER NOT NULL,
    time_s BIGINT NOT NULL,
    CONSTRAINT graph_transfers_amount CHECK (amount >= 0 AND amount < 'Infinity')
);

CREATE INDEX graph_transfers_of_block ON graph_transfers (source_id, block);

CREATE INDEX graph_transfers_of_pair ON graph_transfers (src, dst);
