-- The spine: what is wished (deployments, variants), what is (instances, attempts), what happened (events, requests).
-- Times are UTC microseconds, states are the words of app/domain/lifecycle.py, JSON is text that parses.

CREATE TABLE settings (
    key TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL CHECK (json_valid(value))
) STRICT;

-- One row a lease. The flock decides who holds it; the epoch fences off whoever held it before.
-- `beat` is the holder's last sign of life, microseconds of boot time within `boot_id`.
CREATE TABLE lease (
    name TEXT PRIMARY KEY NOT NULL,
    holder TEXT NOT NULL,
    epoch INTEGER NOT NULL CHECK (epoch > 0),
    boot_id TEXT NOT NULL,
    beat INTEGER NOT NULL CHECK (beat >= 0)
) STRICT;

-- A counter a subject, moved by triggers: whoever caches the subject reloads when it moved.
CREATE TABLE generations (
    name TEXT PRIMARY KEY NOT NULL,
    value INTEGER NOT NULL CHECK (value >= 0)
) STRICT;
INSERT INTO generations (name, value) VALUES ('edge', 1);

CREATE TABLE deployments (
    id TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 26),
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 63),
    wish TEXT NOT NULL CHECK (wish IN ('running', 'stopped', 'gone')),
    wish_at INTEGER NOT NULL CHECK (wish_at > 0),
    stop_now INTEGER NOT NULL DEFAULT 0 CHECK (stop_now IN (0, 1)),
    forget INTEGER NOT NULL DEFAULT 0 CHECK (forget IN (0, 1)),
    restart_at INTEGER CHECK (restart_at > 0),
    replicas INTEGER NOT NULL CHECK (replicas BETWEEN 1 AND 1000),
    variant_id TEXT NOT NULL REFERENCES variants (id) DEFERRABLE INITIALLY DEFERRED,
    status TEXT NOT NULL,
    created_at INTEGER NOT NULL CHECK (created_at > 0),
    gone_at INTEGER CHECK (gone_at > 0)
) STRICT;
CREATE UNIQUE INDEX deployments_name ON deployments (name) WHERE gone_at IS NULL;

CREATE TABLE variants (
    id TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 26),
    deployment_id TEXT NOT NULL REFERENCES deployments (id) DEFERRABLE INITIALLY DEFERRED,
    number INTEGER NOT NULL CHECK (number > 0),
    spec TEXT NOT NULL CHECK (json_valid(spec)),
    created_at INTEGER NOT NULL CHECK (created_at > 0),
    UNIQUE (deployment_id, number)
) STRICT;

-- `name` is the deployment's with a letter. `failure_count` counts failures in a row, the last `failure_code`.
-- `served` says whether this instance ever answered; `ready_at` when it last began to.
CREATE TABLE instances (
    id TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 26),
    deployment_id TEXT NOT NULL REFERENCES deployments (id),
    variant_id TEXT NOT NULL REFERENCES variants (id),
    name TEXT NOT NULL,
    backend TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('non_bootstrap', 'pending', 'running', 'stopped', 'failed')),
    phase TEXT NOT NULL CHECK (phase IN (
        'registering', 'allocating', 'pulling_image', 'copying_files', 'starting', 'loading', 'serving', 'draining',
        'stopping', 'by_user', 'asleep', 'by_shutdown', 'by_billing', 'failed')),
    since INTEGER NOT NULL CHECK (since > 0),
    attempt_id TEXT REFERENCES attempts (id) DEFERRABLE INITIALLY DEFERRED,
    endpoint TEXT,
    pid INTEGER CHECK (pid > 0),
    ready_at INTEGER CHECK (ready_at > 0),
    served INTEGER NOT NULL DEFAULT 0 CHECK (served IN (0, 1)),
    drain_generation INTEGER,
    drain_until INTEGER CHECK (drain_until > 0),
    failure_code TEXT,
    failure_evidence TEXT,
    failure_count INTEGER NOT NULL DEFAULT 0 CHECK (failure_count >= 0),
    failed_at INTEGER CHECK (failed_at > 0),
    retry_at INTEGER CHECK (retry_at > 0),
    observed_at INTEGER CHECK (observed_at > 0),
    unreachable_since INTEGER CHECK (unreachable_since > 0),
    created_at INTEGER NOT NULL CHECK (created_at > 0),
    gone_at INTEGER CHECK (gone_at > 0)
) STRICT;
CREATE INDEX instances_deployment ON instances (deployment_id) WHERE gone_at IS NULL;
CREATE UNIQUE INDEX instances_name ON instances (deployment_id, name) WHERE gone_at IS NULL;

-- One start of an instance. The row is the intent: it is committed before the backend is asked, and its id is the
-- idempotency key. `released_at` says that the backend no longer holds anything for it.
CREATE TABLE attempts (
    id TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 26),
    instance_id TEXT NOT NULL REFERENCES instances (id),
    number INTEGER NOT NULL CHECK (number > 0),
    epoch INTEGER NOT NULL CHECK (epoch > 0),
    created_at INTEGER NOT NULL CHECK (created_at > 0),
    started_at INTEGER CHECK (started_at > 0),
    ready_at INTEGER CHECK (ready_at > 0),
    stop_at INTEGER CHECK (stop_at > 0),
    ended_at INTEGER CHECK (ended_at > 0),
    released_at INTEGER CHECK (released_at > 0),
    exit_code INTEGER,
    exit_signal INTEGER,
    failure_code TEXT,
    kept INTEGER NOT NULL DEFAULT 0 CHECK (kept IN (0, 1)),
    UNIQUE (instance_id, number)
) STRICT;
-- One start at a time: the one open intent of an instance.
CREATE UNIQUE INDEX attempts_open ON attempts (instance_id) WHERE ended_at IS NULL;

CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL CHECK (at > 0),
    deployment_id TEXT NOT NULL REFERENCES deployments (id),
    subject TEXT NOT NULL,
    from_state TEXT,
    to_state TEXT NOT NULL,
    cause TEXT NOT NULL,
    actor TEXT NOT NULL,
    detail TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX events_deployment ON events (deployment_id, id);

CREATE TABLE jobs (
    id TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 26),
    kind TEXT NOT NULL,
    payload TEXT NOT NULL CHECK (json_valid(payload)),
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    progress TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(progress)),
    result TEXT CHECK (result IS NULL OR json_valid(result)),
    error TEXT CHECK (error IS NULL OR json_valid(error)),
    cancel INTEGER NOT NULL DEFAULT 0 CHECK (cancel IN (0, 1)),
    epoch INTEGER,
    created_at INTEGER NOT NULL CHECK (created_at > 0),
    deadline_at INTEGER NOT NULL CHECK (deadline_at > 0),
    ended_at INTEGER CHECK (ended_at > 0)
) STRICT;
CREATE INDEX jobs_open ON jobs (state) WHERE state IN ('queued', 'running');

-- `id` is the public part of the key, `digest` the SHA-256 of the whole. `scope` is a JSON list of deployment ids,
-- NULL for every deployment.
CREATE TABLE keys (
    id TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 8),
    name TEXT NOT NULL,
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    scope TEXT CHECK (scope IS NULL OR json_valid(scope)),
    created_at INTEGER NOT NULL CHECK (created_at > 0),
    expires_at INTEGER CHECK (expires_at > 0),
    revoked_at INTEGER CHECK (revoked_at > 0),
    rotated_to TEXT REFERENCES keys (id) DEFERRABLE INITIALLY DEFERRED,
    last_used_at INTEGER CHECK (last_used_at > 0)
) STRICT;

-- What the gateway saw. `instance_id` is NULL for a request that was refused before a replica was chosen.
-- `tokens_*` are the engine's own counts unless `estimated`.
CREATE TABLE requests (
    id TEXT PRIMARY KEY NOT NULL CHECK (length(id) = 26),
    request_id TEXT NOT NULL,
    key_id TEXT,
    deployment_id TEXT,
    instance_id TEXT,
    attempt_id TEXT,
    path TEXT NOT NULL,
    stream INTEGER NOT NULL CHECK (stream IN (0, 1)),
    status INTEGER NOT NULL,
    code TEXT,
    started_at INTEGER NOT NULL CHECK (started_at > 0),
    ttft_us INTEGER CHECK (ttft_us >= 0),
    duration_us INTEGER CHECK (duration_us >= 0),
    tokens_in INTEGER NOT NULL DEFAULT 0 CHECK (tokens_in >= 0),
    tokens_out INTEGER NOT NULL DEFAULT 0 CHECK (tokens_out >= 0),
    estimated INTEGER NOT NULL DEFAULT 0 CHECK (estimated IN (0, 1)),
    steps TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(steps))
) STRICT;
CREATE INDEX requests_request_id ON requests (request_id);
CREATE INDEX requests_deployment ON requests (deployment_id, started_at);
CREATE INDEX requests_attempt ON requests (attempt_id, id);

-- The gateway's word that it routes nothing more to an instance as of `generation`, and that nothing is in flight.
CREATE TABLE drains (
    instance_id TEXT PRIMARY KEY NOT NULL REFERENCES instances (id),
    generation INTEGER NOT NULL CHECK (generation > 0)
) STRICT;

-- History is append-only, and a variant never changes.
CREATE TRIGGER events_no_update BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER events_no_delete BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER variants_no_update BEFORE UPDATE ON variants BEGIN SELECT RAISE(ABORT, 'variants are immutable'); END;
CREATE TRIGGER variants_no_delete BEFORE DELETE ON variants BEGIN SELECT RAISE(ABORT, 'variants are immutable'); END;

-- What the gateway caches: keys, the deployments it routes to, their instances.
CREATE TRIGGER edge_keys_insert AFTER INSERT ON keys
BEGIN UPDATE generations SET value = value + 1 WHERE name = 'edge'; END;
CREATE TRIGGER edge_keys_update AFTER UPDATE OF digest, scope, expires_at, revoked_at ON keys
BEGIN UPDATE generations SET value = value + 1 WHERE name = 'edge'; END;
CREATE TRIGGER edge_keys_delete AFTER DELETE ON keys
BEGIN UPDATE generations SET value = value + 1 WHERE name = 'edge'; END;
CREATE TRIGGER edge_deployments_insert AFTER INSERT ON deployments
BEGIN UPDATE generations SET value = value + 1 WHERE name = 'edge'; END;
CREATE TRIGGER edge_deployments_update AFTER UPDATE OF name, wish, status, variant_id, gone_at ON deployments
BEGIN UPDATE generations SET value = value + 1 WHERE name = 'edge'; END;
CREATE TRIGGER edge_instances_insert AFTER INSERT ON instances
BEGIN UPDATE generations SET value = value + 1 WHERE name = 'edge'; END;
CREATE TRIGGER edge_instances_update
AFTER UPDATE OF state, phase, endpoint, attempt_id, retry_at, unreachable_since, gone_at ON instances
BEGIN UPDATE generations SET value = value + 1 WHERE name = 'edge'; END;
