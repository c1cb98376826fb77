CREATE TABLE cases (
    id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    screening_id TEXT,
    customer TEXT NOT NULL,
    network TEXT NOT NULL,
    wallet TEXT NOT NULL,
    amount_minor NUMERIC(78, 0) NOT NULL,
    asset TEXT NOT NULL,
    asset_scale SMALLINT NOT NULL,
    score_ppm INTEGER,
    risk_ppm INTEGER NOT NULL,
    rank NUMERIC(78, 0) NOT NULL,
    status TEXT DEFAULT 'open' NOT NULL,
    opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
    claimed_by TEXT,
    claimed_at TIMESTAMP WITH TIME ZONE,
    approved_by TEXT,
    approved_at TIMESTAMP WITH TIME ZONE,
    decided_by TEXT,
    decided_at TIMESTAMP WITH TIME ZONE,
    reason TEXT,
    closed_because TEXT,
    evidence JSON,
    evidence_digest TEXT,
    PRIMARY KEY (id),
    CONSTRAINT cases_status CHECK (
        status IN ('open', 'second', 'approved', 'rejected', 'closed')
    ),
    CONSTRAINT cases_four_eyes CHECK (status <> 'approved' OR approved_by <> decided_by),
    CONSTRAINT cases_decided CHECK (
        (status IN ('approved', 'rejected')) = (decided_by IS NOT NULL)
    )
);

CREATE UNIQUE INDEX cases_one_per_order ON cases (order_id);

CREATE INDEX cases_queue ON cases (tenant_id, rank DESC, id DESC)
    WHERE status IN ('open', 'second');

CREATE INDEX cases_of_tenant ON cases (tenant_id, rank DESC, id DESC);

CREATE TABLE case_notes (
    id TEXT NOT NULL,
    case_id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    author TEXT NOT NULL,
    text TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX case_notes_of_case ON case_notes (case_id, id);

CREATE TRIGGER case_notes_append_only BEFORE UPDATE OR DELETE ON case_notes
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER cases_no_delete BEFORE DELETE ON cases
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- A decision is taken once.
CREATE TRIGGER cases_only_decide BEFORE UPDATE ON cases
    FOR EACH ROW WHEN (OLD.status NOT IN ('open', 'second'))
    EXECUTE FUNCTION refuse_change();

-- The audit log becomes a chain per tenant

CREATE TABLE audit_heads (
    chain TEXT NOT NULL,
    rows BIGINT NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (chain)
);

ALTER TABLE audit_log
    ADD COLUMN place BIGINT,
    ADD COLUMN previous TEXT,
    ADD COLUMN hash TEXT;

CREATE FUNCTION chain_audit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    head audit_heads;
BEGIN
    INSERT INTO audit_heads AS h (chain, rows, hash) VALUES (COALESCE(NEW.tenant_id, ''), 0, '')
    ON CONFLICT (chain) DO UPDATE SET rows = h.rows
    RETURNING * INTO head;
    NEW.place := head.rows + 1;
    NEW.previous := head.hash;
    NEW.hash := encode(sha256(convert_to(jsonb_build_array(
        NEW.place, COALESCE(NEW.tenant_id, ''), NEW.actor, NEW.action, NEW.object_id,
        to_char(NEW.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), NEW.data, NEW.previous
    )::text, 'UTF8')), 'hex');
    UPDATE audit_heads SET rows = NEW.place, hash = NEW.hash WHERE chain = head.chain;
    RETURN NEW;
END;
$$;

ALTER TABLE audit_log DISABLE TRIGGER audit_log_append_only;

DO $$
DECLARE
    old audit_log;
    sealed audit_log;
    head audit_heads;
BEGIN
    FOR old IN SELECT * FROM audit_log ORDER BY id LOOP
        INSERT INTO audit_heads AS h (chain, rows, hash) VALUES (COALESCE(old.tenant_id, ''), 0, '')
        ON CONFLICT (chain) DO UPDATE SET rows = h.rows
        RETURNING * INTO head;
        UPDATE audit_log SET place = head.rows + 1, previous = head.hash, hash = encode(sha256(
            convert_to(jsonb_build_array(
                head.rows + 1, COALESCE(tenant_id, ''), actor, action, object_id,
                to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), data, head.hash
            )::text, 'UTF8')), 'hex')
        WHERE id = old.id RETURNING * INTO sealed;
        UPDATE audit_heads SET rows = sealed.place, hash = sealed.hash WHERE chain = head.chain;
    END LOOP;
END;
$$;

ALTER TABLE audit_log
    ALTER COLUMN place SET NOT NULL,
    ALTER COLUMN previous SET NOT NULL,
    ALTER COLUMN hash SET NOT NULL,
    ENABLE TRIGGER audit_log_append_only;

CREATE UNIQUE INDEX audit_log_places ON audit_log (COALESCE(tenant_id, ''), place);

CREATE TRIGGER audit_log_chain BEFORE INSERT ON audit_log
    FOR EACH ROW EXECUTE FUNCTION chain_audit();

CREATE TRIGGER audit_log_no_truncate BEFORE TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER audit_heads_no_delete BEFORE DELETE ON audit_heads
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER audit_heads_only_grow BEFORE UPDATE ON audit_heads
    FOR EACH ROW WHEN (
        NEW.chain <> OLD.chain
        OR NEW.rows NOT IN (OLD.rows, OLD.rows + 1)
        OR (NEW.rows = OLD.rows AND NEW.hash <> OLD.hash)
    )
    EXECUTE FUNCTION refuse_change();

-- An order that enters review has a case from that moment on, and a case whose order leaves by
-- itself has nothing left to decide: whoever moves the order, in the same transaction.

CREATE FUNCTION follow_review() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    score INTEGER;
    done TEXT;
BEGIN
    IF NEW.status = 'in_review' THEN
        SELECT s.score_ppm INTO score FROM screenings s WHERE s.id = NEW.screening_id;
        INSERT INTO cases (id, tenant_id, order_id, screening_id, customer, network, wallet,
                           amount_minor, asset, asset_scale, score_ppm, risk_ppm, rank, opened_at)
        VALUES ('case_' || replace(NEW.id, 'ord_', ''), NEW.tenant_id, NEW.id, NEW.screening_id,
                NEW.customer, NEW.network, NEW.wallet, NEW.gross_minor, NEW.fiat, NEW.fiat_scale,
                score, COALESCE(score, 500000), COALESCE(score, 500000) * NEW.gross_minor, now());
        INSERT INTO audit_log (tenant_id, actor, action, object_id, data, at)
        VALUES (NEW.tenant_id, 'worker', 'case.opened', 'case_' || replace(NEW.id, 'ord_', ''),
                jsonb_build_object('order_id', NEW.id, 'screening_id', NEW.screening_id), now());
    ELSE
        UPDATE cases SET status = 'closed', claimed_by = NULL, claimed_at = NULL,
            closed_because = COALESCE(NEW.reason, NEW.status)
        WHERE order_id = NEW.id AND status IN ('open', 'second')
        RETURNING id INTO done;
        IF done IS NOT NULL THEN
            INSERT INTO audit_log (tenant_id, actor, action, object_id, data, at)
            VALUES (NEW.tenant_id, 'worker', 'case.closed', done,
                    jsonb_build_object('because', COALESCE(NEW.reason, NEW.status)), now());
        END IF;
    END IF;
    RETURN NULL;
END;
$$;

-- No order may enter review between this look and the trigger below.
LOCK TABLE orders IN SHARE ROW EXCLUSIVE MODE;

INSERT INTO cases (id, tenant_id, order_id, screening_id, customer, network, wallet,
                   amount_minor, asset, asset_scale, risk_ppm, rank, opened_at)
SELECT 'case_' || replace(id, 'ord_', ''), tenant_id, id, screening_id, customer, network, wallet,
       gross_minor, fiat, fiat_scale, 500000, 500000 * gross_minor, now()
FROM orders WHERE status = 'in_review';

CREATE TRIGGER orders_followed_by_cases AFTER UPDATE OF status ON orders
    FOR EACH ROW WHEN (
        OLD.status IS DISTINCT FROM NEW.status
        AND (OLD.status = 'in_review' OR NEW.status = 'in_review')
    )
    EXECUTE FUNCTION follow_review();
