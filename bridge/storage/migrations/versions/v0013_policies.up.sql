CREATE TABLE screening_policies (
    version TEXT NOT NULL,
    content TEXT NOT NULL,
    kept_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (version)
);

CREATE TRIGGER screening_policies_append_only BEFORE UPDATE OR DELETE ON screening_policies
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
