DROP TRIGGER screenings_append_only ON screenings;

DELETE FROM screenings WHERE order_id IS NULL;

ALTER TABLE screenings
    ALTER COLUMN order_id SET NOT NULL,
    DROP COLUMN customer,
    DROP COLUMN amount_minor,
    DROP COLUMN asset,
    DROP COLUMN asset_scale,
    DROP COLUMN score_ppm,
    DROP COLUMN coverage,
    DROP COLUMN evidence,
    DROP COLUMN digest;
