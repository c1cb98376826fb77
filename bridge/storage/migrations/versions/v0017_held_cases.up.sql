-- An order may be in review once, and be held later on, and again: one case at a time.
DROP INDEX cases_one_per_order;

CREATE UNIQUE INDEX cases_one_at_a_time ON cases (order_id) WHERE status IN ('open', 'second');

CREATE INDEX cases_of_order ON cases (order_id);

-- A paid order that a list holds has a case from that moment on; one that leaves the hold by itself
-- (its card payment went back) has nothing left to decide.

CREATE FUNCTION follow_hold() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    score INTEGER;
    one TEXT;
BEGIN
    IF NEW.hold_reason = 'sanctions' THEN
        SELECT s.score_ppm INTO score FROM screenings s WHERE s.id = NEW.screening_id;
        SELECT 'case_' || replace(NEW.id, 'ord_', '')
               || CASE count(*) WHEN 0 THEN '' ELSE '_' || (count(*) + 1) END
        INTO one FROM cases WHERE order_id = NEW.id;
        INSERT INTO cases (id, tenant_id, order_id, screening_id, customer, network, wallet,
                           amount_minor, asset, asset_scale, score_ppm, risk_ppm, rank, opened_at)
        VALUES (one, NEW.tenant_id, NEW.id, NEW.screening_id, NEW.customer, NEW.network, NEW.wallet,
                NEW.gross_minor, NEW.fiat, NEW.fiat_scale, score, 1000000, 1000000 * NEW.gross_minor,
                now());
        INSERT INTO audit_log (tenant_id, actor, action, object_id, data, at)
        VALUES (NEW.tenant_id, 'worker', 'case.opened', one,
                jsonb_build_object('order_id', NEW.id, 'held', 'sanctions'), now());
    ELSE
        UPDATE cases SET status = 'closed', claimed_by = NULL, claimed_at = NULL,
            closed_because = COALESCE(NEW.reason, NEW.hold_reason)
        WHERE order_id = NEW.id AND status IN ('open', 'second')
        RETURNING id INTO one;
        IF one IS NOT NULL THEN
            INSERT INTO audit_log (tenant_id, actor, action, object_id, data, at)
            VALUES (NEW.tenant_id, 'worker', 'case.closed', one,
                    jsonb_build_object('because', COALESCE(NEW.reason, NEW.hold_reason)), now());
        END IF;
    END IF;
    RETURN NULL;
END;
$$;

-- No order may be held between this look and the trigger below.
LOCK TABLE orders IN SHARE ROW EXCLUSIVE MODE;

WITH opened AS (
    INSERT INTO cases (id, tenant_id, order_id, screening_id, customer, network, wallet,
                       amount_minor, asset, asset_scale, risk_ppm, rank, opened_at)
    SELECT 'case_' || replace(id, 'ord_', '') || '_held', tenant_id, id, screening_id, customer,
           network, wallet, gross_minor, fiat, fiat_scale, 1000000, 1000000 * gross_minor, now()
    FROM orders WHERE hold_reason = 'sanctions'
    RETURNING id, tenant_id, order_id
)
INSERT INTO audit_log (tenant_id, actor, action, object_id, data, at)
SELECT tenant_id, 'worker', 'case.opened', id,
       jsonb_build_object('order_id', order_id, 'held', 'sanctions'), now()
FROM opened;

CREATE TRIGGER orders_held_by_cases AFTER UPDATE OF hold_reason ON orders
    FOR EACH ROW WHEN (
        OLD.hold_reason IS DISTINCT FROM NEW.hold_reason
        AND (OLD.hold_reason = 'sanctions' OR NEW.hold_reason = 'sanctions')
    )
    EXECUTE FUNCTION follow_hold();
