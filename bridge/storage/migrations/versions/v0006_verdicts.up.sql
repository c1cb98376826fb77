ALTER TABLE screenings
    ALTER COLUMN order_id DROP NOT NULL,
    ADD COLUMN customer TEXT,
    ADD COLUMN amount_minor NUMERIC(78, 0),
    ADD COLUMN asset TEXT,
    ADD COLUMN asset_scale SMALLINT,
    ADD COLUMN score_ppm INTEGER,
    ADD COLUMN coverage JSON DEFAULT '{}' NOT NULL,
    ADD COLUMN evidence JSON DEFAULT '{}' NOT NULL,
    ADD COLUMN digest TEXT;

CREATE TRIGGER screenings_append_only BEFORE UPDATE OR DELETE ON screenings
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
