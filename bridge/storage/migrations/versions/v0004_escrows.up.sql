ALTER TABLE orders
    ADD COLUMN escrow_id TEXT,
    ADD COLUMN parties JSONB DEFAULT '[]' NOT NULL,
    ADD COLUMN settle_by TIMESTAMP WITH TIME ZONE;

CREATE TABLE escrows (
    id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    network TEXT NOT NULL,
    contract TEXT NOT NULL,
    ref TEXT NOT NULL,
    purse TEXT NOT NULL,
    asset TEXT NOT NULL,
    asset_scale SMALLINT NOT NULL,
    token TEXT NOT NULL,
    amount_minor NUMERIC(78, 0) NOT NULL,
    payer TEXT NOT NULL,
    payee TEXT NOT NULL,
    arbiter TEXT NOT NULL,
    oracle TEXT,
    operator TEXT NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    pays_at_expiry BOOLEAN NOT NULL,
    status TEXT DEFAULT 'awaiting_funding' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE NOT NULL,
    epoch BIGINT DEFAULT 0 NOT NULL,
    attempts INTEGER DEFAULT 0 NOT NULL,
    released_minor NUMERIC(78, 0) DEFAULT 0 NOT NULL,
    refunded_minor NUMERIC(78, 0) DEFAULT 0 NOT NULL,
    disputed_at TIMESTAMP WITH TIME ZONE,
    funded_at TIMESTAMP WITH TIME ZONE,
    ended_at TIMESTAMP WITH TIME ZONE,
    funding_ref TEXT,
    last_ref TEXT,
    read_block BIGINT,
    version INTEGER DEFAULT 0 NOT NULL,
    told INTEGER DEFAULT 0 NOT NULL,
    note_due_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    CONSTRAINT escrows_status CHECK (
        status IN ('awaiting_funding', 'funded', 'disputed', 'released', 'refunded', 'split', 'void')
    ),
    CONSTRAINT escrows_positive CHECK (amount_minor > 0),
    CONSTRAINT escrows_within_amount CHECK (
        released_minor >= 0 AND refunded_minor >= 0
        AND released_minor + refunded_minor <= amount_minor
    ),
    CONSTRAINT escrows_told CHECK (told <= version)
);

CREATE INDEX escrows_of_tenant ON escrows (tenant_id, id);

CREATE UNIQUE INDEX escrows_one_per_order ON escrows (order_id);

CREATE UNIQUE INDEX escrows_one_per_purse ON escrows (network, purse);

CREATE INDEX escrows_due ON escrows (due_at)
    WHERE status NOT IN ('refunded', 'released', 'split', 'void');

CREATE INDEX escrows_untold ON escrows (note_due_at) WHERE told < version;

CREATE TABLE escrow_actions (
    escrow_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    kind TEXT NOT NULL,
    content JSONB NOT NULL,
    digest TEXT NOT NULL,
    requested_at TIMESTAMP WITH TIME ZONE NOT NULL,
    changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    status TEXT DEFAULT 'requested' NOT NULL,
    hold TEXT,
    reason TEXT,
    tries INTEGER DEFAULT 0 NOT NULL,
    ref TEXT,
    PRIMARY KEY (escrow_id, sequence),
    CONSTRAINT escrow_actions_kind CHECK (
        kind IN ('release', 'consent', 'dispute', 'resolution', 'expiry')
    ),
    CONSTRAINT escrow_actions_status CHECK (
        status IN ('requested', 'held', 'submitted', 'final', 'failed')
    ),
    CONSTRAINT escrow_actions_hold CHECK (hold IN ('review', 'sanctions'))
);

CREATE UNIQUE INDEX escrow_actions_once ON escrow_actions (escrow_id, digest)
    WHERE status <> 'failed';

CREATE UNIQUE INDEX escrow_actions_one_call ON escrow_actions (escrow_id)
    WHERE status = 'submitted';

ALTER TABLE ledger_accounts
    DROP CONSTRAINT ledger_accounts_code,
    ADD CONSTRAINT ledger_accounts_code CHECK (
        code IN ('stripe:receivable', 'customer:payable', 'income:processing', 'income:network',
        'income:spread', 'income:rounding', 'position', 'vault:inventory', 'hot_wallet',
        'expense:gas', 'treasury:equity', 'loss:refunds', 'loss:chain', 'escrow:held',
        'escrow:owed')
    );
