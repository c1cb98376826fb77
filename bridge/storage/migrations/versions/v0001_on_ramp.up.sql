-- The on-ramp: tenants, quotes, orders, books, batches, inbox.
-- Statements are separated by a blank line; a function's body contains none.

-- Who uses the bridge

CREATE TABLE tenants (
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    livemode BOOLEAN NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE tenant_limits (
    tenant_id TEXT NOT NULL,
    currency TEXT NOT NULL,
    order_min_minor NUMERIC(78, 0) NOT NULL,
    order_max_minor NUMERIC(78, 0) NOT NULL,
    customer_day_max_minor NUMERIC(78, 0) NOT NULL,
    PRIMARY KEY (tenant_id, currency),
    CONSTRAINT tenant_limits_in_order CHECK (
        order_min_minor > 0 AND order_min_minor <= order_max_minor
    ),
    FOREIGN KEY(tenant_id) REFERENCES tenants (id)
);

CREATE TABLE api_keys (
    id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    hash BYTEA NOT NULL,
    prefix TEXT NOT NULL,
    last4 TEXT NOT NULL,
    kind TEXT NOT NULL,
    role TEXT NOT NULL,
    allowed_origins JSONB DEFAULT '[]' NOT NULL,
    return_urls JSONB DEFAULT '[]' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    revoked_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    CONSTRAINT api_keys_kind CHECK (kind IN ('secret', 'publishable')),
    CONSTRAINT api_keys_role CHECK (role IN ('merchant', 'compliance', 'operator', 'admin')),
    FOREIGN KEY(tenant_id) REFERENCES tenants (id),
    UNIQUE (hash)
);

CREATE INDEX ix_api_keys_tenant_id ON api_keys (tenant_id);

-- Quotes and orders

CREATE TABLE quotes (
    id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    network TEXT NOT NULL,
    fiat TEXT NOT NULL,
    fiat_scale SMALLINT NOT NULL,
    gross_minor NUMERIC(78, 0) NOT NULL,
    token TEXT NOT NULL,
    token_scale SMALLINT NOT NULL,
    token_minor NUMERIC(78, 0) NOT NULL,
    lines JSONB NOT NULL,
    rate TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT quotes_positive CHECK (gross_minor > 0 AND token_minor > 0)
);

CREATE INDEX quotes_of_tenant ON quotes (tenant_id, id);

CREATE TABLE orders (
    id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    direction TEXT DEFAULT 'on_ramp' NOT NULL,
    status TEXT DEFAULT 'awaiting_payment' NOT NULL,
    quote_id TEXT NOT NULL,
    customer TEXT NOT NULL,
    wallet TEXT NOT NULL,
    network TEXT NOT NULL,
    fiat TEXT NOT NULL,
    fiat_scale SMALLINT NOT NULL,
    gross_minor NUMERIC(78, 0) NOT NULL,
    token TEXT NOT NULL,
    token_scale SMALLINT NOT NULL,
    token_minor NUMERIC(78, 0) NOT NULL,
    lines JSONB NOT NULL,
    client_secret TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE NOT NULL,
    epoch BIGINT DEFAULT 0 NOT NULL,
    attempts INTEGER DEFAULT 0 NOT NULL,
    hold_reason TEXT DEFAULT 'none' NOT NULL,
    exit_to TEXT,
    reason TEXT,
    decline_code TEXT,
    payment_intent_id TEXT,
    payment_client_secret TEXT,
    charge_id TEXT,
    authorized_at TIMESTAMP WITH TIME ZONE,
    capture_before TIMESTAMP WITH TIME ZONE,
    screening_id TEXT,
    batch_id BIGINT,
    batch_index INTEGER,
    refund_id TEXT,
    refund_tried_at TIMESTAMP WITH TIME ZONE,
    return_url TEXT,
    metadata JSONB DEFAULT '{}' NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT orders_status CHECK (
        status IN ('awaiting_payment', 'authorized', 'in_review', 'cleared', 'capturing',
        'captured', 'submitted', 'confirming', 'completed', 'voiding', 'expired', 'canceled',
        'rejected', 'refund_pending', 'refunded', 'refund_failed')
    ),
    CONSTRAINT orders_direction CHECK (direction IN ('on_ramp', 'off_ramp')),
    CONSTRAINT orders_hold_reason CHECK (
        hold_reason IN ('none', 'review', 'sanctions', 'refunded', 'disputed', 'paused',
        'liquidity', 'fee_cap')
    ),
    CONSTRAINT orders_exit_to CHECK (exit_to IN ('expired', 'canceled', 'rejected')),
    CONSTRAINT orders_positive CHECK (gross_minor > 0 AND token_minor > 0),
    CONSTRAINT orders_batch_has_index CHECK ((batch_id IS NULL) = (batch_index IS NULL))
) WITH (fillfactor = 80);

CREATE INDEX orders_due ON orders (status, due_at)
    WHERE status NOT IN ('canceled', 'completed', 'expired', 'refund_failed', 'refunded', 'rejected');

CREATE INDEX orders_of_tenant ON orders (tenant_id, id);

CREATE UNIQUE INDEX orders_one_per_intent ON orders (payment_intent_id)
    WHERE payment_intent_id IS NOT NULL;

CREATE UNIQUE INDEX orders_one_per_place ON orders (batch_id, batch_index)
    WHERE batch_id IS NOT NULL;

CREATE UNIQUE INDEX orders_one_per_quote ON orders (quote_id);

CREATE UNIQUE INDEX orders_one_per_refund ON orders (refund_id) WHERE refund_id IS NOT NULL;

CREATE INDEX orders_payable ON orders (network, due_at)
    WHERE status IN ('captured', 'submitted', 'confirming') AND batch_id IS NULL;

CREATE SEQUENCE order_events_id_seq;

CREATE TABLE order_events (
    order_id TEXT NOT NULL,
    id BIGINT DEFAULT nextval('order_events_id_seq') NOT NULL,
    type TEXT NOT NULL,
    data JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (order_id, id)
);

CREATE TABLE idempotency_keys (
    tenant_id TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    response JSONB,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (tenant_id, key)
);

CREATE TABLE limit_usage (
    tenant_id TEXT NOT NULL,
    customer TEXT NOT NULL,
    currency TEXT NOT NULL,
    day DATE NOT NULL,
    used NUMERIC(78, 0) NOT NULL,
    cap NUMERIC(78, 0) NOT NULL,
    PRIMARY KEY (tenant_id, customer, currency, day),
    CONSTRAINT limit_usage_within_cap CHECK (used <= cap),
    CONSTRAINT limit_usage_not_negative CHECK (used >= 0)
) WITH (fillfactor = 70);

CREATE TABLE screenings (
    id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    network TEXT NOT NULL,
    wallet TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reasons JSONB NOT NULL,
    versions JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT screenings_outcome CHECK (outcome IN ('clear', 'review', 'block'))
);

CREATE INDEX ix_screenings_order_id ON screenings (order_id);

-- The books

CREATE TABLE ledger_accounts (
    tenant_id TEXT NOT NULL,
    code TEXT NOT NULL,
    asset TEXT NOT NULL,
    asset_scale SMALLINT NOT NULL,
    debits_posted NUMERIC(78, 0) NOT NULL,
    credits_posted NUMERIC(78, 0) NOT NULL,
    debits_pending NUMERIC(78, 0) NOT NULL,
    credits_pending NUMERIC(78, 0) NOT NULL,
    guarded BOOLEAN NOT NULL,
    PRIMARY KEY (tenant_id, code, asset),
    CONSTRAINT ledger_accounts_code CHECK (
        code IN ('stripe:receivable', 'customer:payable', 'income:processing', 'income:network',
        'income:spread', 'income:rounding', 'position', 'vault:inventory', 'hot_wallet',
        'expense:gas', 'treasury:equity', 'loss:refunds', 'loss:chain')
    ),
    CONSTRAINT ledger_accounts_guard CHECK (
        NOT guarded OR credits_posted + credits_pending <= debits_posted
    )
) WITH (fillfactor = 70);

CREATE SEQUENCE ledger_entries_id_seq;

CREATE TABLE ledger_entries (
    tenant_id TEXT NOT NULL,
    id BIGINT DEFAULT nextval('ledger_entries_id_seq') NOT NULL,
    source TEXT NOT NULL,
    event TEXT NOT NULL,
    line SMALLINT NOT NULL,
    debit TEXT NOT NULL,
    credit TEXT NOT NULL,
    asset TEXT NOT NULL,
    asset_scale SMALLINT NOT NULL,
    amount_minor NUMERIC(78, 0) NOT NULL,
    state TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT ledger_entries_state CHECK (state IN ('pending', 'posted', 'voided')),
    CONSTRAINT ledger_entries_two_sides CHECK (debit <> credit),
    CONSTRAINT ledger_entries_positive CHECK (amount_minor > 0)
) WITH (fillfactor = 90);

CREATE UNIQUE INDEX ledger_entries_business_key ON ledger_entries (source, event, line, tenant_id);

-- Chains and what is sent to them

CREATE TABLE networks (
    name TEXT NOT NULL,
    instance INTEGER NOT NULL,
    genesis_hash TEXT NOT NULL,
    vault_address TEXT NOT NULL,
    vault_code_hash TEXT NOT NULL,
    stop_reason TEXT,
    stopped_at TIMESTAMP WITH TIME ZONE,
    anchor_number BIGINT,
    anchor_hash TEXT,
    registered_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE lanes (
    id SERIAL NOT NULL,
    network TEXT NOT NULL,
    address TEXT NOT NULL,
    instance INTEGER NOT NULL,
    next_nonce BIGINT NOT NULL,
    epoch BIGINT DEFAULT 0 NOT NULL,
    leased_until TIMESTAMP WITH TIME ZONE DEFAULT '-infinity' NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(network) REFERENCES networks (name)
);

CREATE UNIQUE INDEX lanes_one_per_address ON lanes (network, address);

CREATE SEQUENCE batch_ids;

CREATE TABLE batches (
    id BIGINT NOT NULL,
    network TEXT NOT NULL,
    instance INTEGER NOT NULL,
    asset TEXT NOT NULL,
    asset_scale SMALLINT NOT NULL,
    lane_id INTEGER NOT NULL,
    nonce BIGINT NOT NULL,
    status TEXT NOT NULL,
    root TEXT NOT NULL,
    order_count INTEGER NOT NULL,
    planned_at TIMESTAMP WITH TIME ZONE NOT NULL,
    mined_ref TEXT,
    block_number BIGINT,
    block_hash TEXT,
    PRIMARY KEY (id),
    CONSTRAINT batches_status CHECK (
        status IN ('planned', 'signed', 'sent', 'mined', 'final', 'reverted', 'cancelled')
    ),
    FOREIGN KEY(lane_id) REFERENCES lanes (id)
);

CREATE UNIQUE INDEX batches_one_per_nonce ON batches (network, instance, lane_id, nonce)
    WHERE status <> 'cancelled';

CREATE INDEX batches_open ON batches (lane_id, nonce)
    WHERE status IN ('mined', 'planned', 'sent', 'signed');

CREATE TABLE batch_attempts (
    batch_id BIGINT NOT NULL,
    ref TEXT NOT NULL,
    raw BYTEA NOT NULL,
    nonce BIGINT NOT NULL,
    max_fee_wei NUMERIC(78, 0) NOT NULL,
    priority_fee_wei NUMERIC(78, 0) NOT NULL,
    gas_limit BIGINT NOT NULL,
    signed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    sent_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (batch_id, ref),
    FOREIGN KEY(batch_id) REFERENCES batches (id)
);

-- What comes in, and what people do

CREATE TABLE inbox (
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    intent_id TEXT,
    order_id TEXT,
    body JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE NOT NULL,
    state TEXT DEFAULT 'pending' NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE NOT NULL,
    attempts INTEGER DEFAULT 0 NOT NULL,
    error TEXT,
    settled_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    CONSTRAINT inbox_state CHECK (state IN ('pending', 'done', 'dead'))
);

CREATE INDEX inbox_dead ON inbox (received_at) WHERE state = 'dead';

CREATE INDEX inbox_due ON inbox (due_at) WHERE state = 'pending';

CREATE INDEX inbox_newest ON inbox (created_at);

CREATE SEQUENCE audit_log_id_seq;

CREATE TABLE audit_log (
    id BIGINT DEFAULT nextval('audit_log_id_seq') NOT NULL,
    tenant_id TEXT,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    object_id TEXT NOT NULL,
    data JSONB NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX audit_log_of_tenant ON audit_log (tenant_id, id);

-- What is written down stays written down

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: rows are corrected by new rows', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END;
$$;

CREATE TRIGGER order_events_append_only BEFORE UPDATE OR DELETE ON order_events
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE ON audit_log
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER ledger_entries_no_delete BEFORE DELETE ON ledger_entries
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Only pending to posted or voided, and nothing else in the row. In WHEN, so that a rightful
-- change costs no function call.
CREATE TRIGGER ledger_entries_only_resolve BEFORE UPDATE ON ledger_entries
    FOR EACH ROW
    WHEN (
        OLD.state <> 'pending'
        OR NEW.state NOT IN ('posted', 'voided')
        OR (OLD.tenant_id, OLD.id, OLD.source, OLD.event, OLD.line, OLD.debit, OLD.credit,
            OLD.asset, OLD.asset_scale, OLD.amount_minor, OLD.created_at)
        IS DISTINCT FROM
           (NEW.tenant_id, NEW.id, NEW.source, NEW.event, NEW.line, NEW.debit, NEW.credit,
            NEW.asset, NEW.asset_scale, NEW.amount_minor, NEW.created_at)
    )
    EXECUTE FUNCTION refuse_change();
