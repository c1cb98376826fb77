DROP TRIGGER orders_followed_by_cases ON orders;

DROP FUNCTION follow_review();

DROP TRIGGER audit_log_no_truncate ON audit_log;

DROP TRIGGER audit_log_chain ON audit_log;

DROP INDEX audit_log_places;

ALTER TABLE audit_log DROP COLUMN place, DROP COLUMN previous, DROP COLUMN hash;

DROP TABLE audit_heads;

DROP FUNCTION chain_audit();

DROP TABLE case_notes, cases;
