CREATE TRIGGER audit_heads_no_truncate BEFORE TRUNCATE ON audit_heads
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- A node that is stuck tells the same old block every time: that is not fresh.
ALTER TABLE graph_sources ADD COLUMN block_time_s BIGINT;
