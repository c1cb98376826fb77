-- Without their kind's amount they would be taken for payouts of the vault, and paid again.
DO $$
BEGIN
    IF EXISTS (SELECT FROM batches WHERE kind = 'single') THEN
        RAISE EXCEPTION 'there are batches sent singly, which the older schema cannot tell';
    END IF;
END
$$;

ALTER TABLE batches DROP COLUMN value;
