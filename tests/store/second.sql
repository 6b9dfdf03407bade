-- A migration for tests, one more than stoker has: it rebuilds a table that others refer to, and drops a column of
-- another. What a rebuild loses (indexes, triggers) it makes again.
CREATE TABLE instances_new (
    id TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 26),
    deployment_id TEXT NOT NULL REFERENCES deployments (id),
    variant_id TEXT NOT NULL REFERENCES variants (id),
    name TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'running', 'stopped', 'failed')),
    colour TEXT NOT NULL DEFAULT 'blue; or -- perhaps -- green',
    endpoint TEXT,
    gone_at INTEGER CHECK (gone_at > 0)
) STRICT;
INSERT INTO instances_new (id, deployment_id, variant_id, name, state, endpoint, gone_at)
    SELECT id, deployment_id, variant_id, name, state, endpoint, gone_at FROM instances;
DROP TABLE instances;
ALTER TABLE instances_new RENAME TO instances;
CREATE INDEX instances_deployment ON instances (deployment_id) WHERE gone_at IS NULL;
CREATE TRIGGER edge_instances_update AFTER UPDATE OF state, endpoint ON instances
BEGIN
    UPDATE generations SET value = value + 1 WHERE name = 'edge';
END;
ALTER TABLE lease DROP COLUMN holder;
UPDATE settings SET value = '"new"' WHERE key = 'owner';
