ALTER TABLE graph_sources DROP COLUMN block_time_s;

DROP TRIGGER audit_heads_no_truncate ON audit_heads;
