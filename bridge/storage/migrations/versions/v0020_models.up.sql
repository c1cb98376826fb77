CREATE TABLE screening_models (
    version TEXT NOT NULL,
    content TEXT NOT NULL,
    kept_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (version)
);

CREATE TRIGGER screening_models_append_only BEFORE UPDATE OR DELETE ON screening_models
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
