CREATE TABLE address_lists (
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    digest TEXT NOT NULL,
    published_on DATE,
    refreshed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    entries INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, name)
);

CREATE TABLE list_versions (
    tenant_id TEXT NOT NULL,
    list TEXT NOT NULL,
    version INTEGER NOT NULL,
    digest TEXT NOT NULL,
    format TEXT NOT NULL,
    published_on DATE,
    entries INTEGER NOT NULL,
    added INTEGER NOT NULL,
    removed INTEGER NOT NULL,
    unreadable INTEGER DEFAULT 0 NOT NULL,
    actor TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (tenant_id, list, version)
);

CREATE TABLE list_entries (
    id BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY,
    tenant_id TEXT NOT NULL,
    list TEXT NOT NULL,
    address TEXT NOT NULL,
    asset TEXT NOT NULL,
    action TEXT NOT NULL,
    category TEXT NOT NULL,
    name TEXT NOT NULL,
    reference TEXT NOT NULL,
    since TIMESTAMP WITH TIME ZONE,
    until TIMESTAMP WITH TIME ZONE,
    added_in INTEGER NOT NULL,
    removed_in INTEGER,
    PRIMARY KEY (id),
    CONSTRAINT list_entries_action CHECK (action IN ('block', 'review', 'allow', 'label'))
);

CREATE UNIQUE INDEX list_entries_one_standing ON list_entries (tenant_id, list, address, asset)
    WHERE removed_in IS NULL;

CREATE INDEX list_entries_of_address ON list_entries (address);

-- Whom a customer has paid before: what an address may be mistaken for.
CREATE INDEX orders_paid ON orders (tenant_id, customer) WHERE status = 'completed';

CREATE TRIGGER list_versions_append_only BEFORE UPDATE OR DELETE ON list_versions
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TRIGGER list_entries_no_delete BEFORE DELETE ON list_entries
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Only to end one that stands.
CREATE TRIGGER list_entries_only_end BEFORE UPDATE ON list_entries
    FOR EACH ROW
    WHEN (
        OLD.removed_in IS NOT NULL
        OR NEW.removed_in IS NULL
        OR (OLD.tenant_id, OLD.list, OLD.address, OLD.asset, OLD.action, OLD.category, OLD.name,
            OLD.reference, OLD.since, OLD.added_in)
        IS DISTINCT FROM
           (NEW.tenant_id, NEW.list, NEW.address, NEW.asset, NEW.action, NEW.category, NEW.name,
            NEW.reference, NEW.since, NEW.added_in)
    )
    EXECUTE FUNCTION refuse_change();
