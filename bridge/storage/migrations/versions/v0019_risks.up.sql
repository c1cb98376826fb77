-- What a review is to be feared for: not the model's score alone, but what a rule or list found, too.
ALTER TABLE screenings ADD COLUMN risk_ppm INTEGER;

CREATE OR REPLACE FUNCTION follow_review() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    score INTEGER;
    risk INTEGER;
    done TEXT;
BEGIN
    IF NEW.status = 'in_review' THEN
        SELECT s.score_ppm, s.risk_ppm INTO score, risk FROM screenings s WHERE s.id = NEW.screening_id;
        -- A screening from before risks were stored has its score, or none.
        risk := COALESCE(risk, score, 500000);
        INSERT INTO cases (id, tenant_id, order_id, screening_id, customer, network, wallet,
                           amount_minor, asset, asset_scale, score_ppm, risk_ppm, rank, opened_at)
        VALUES ('case_' || replace(NEW.id, 'ord_', ''), NEW.tenant_id, NEW.id, NEW.screening_id,
                NEW.customer, NEW.network, NEW.wallet, NEW.gross_minor, NEW.fiat, NEW.fiat_scale,
                score, risk, risk * NEW.gross_minor, now());
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
