-- What hosts and their GPUs are like, as the server saw them: the last look at each, and an hour of samples.

-- `look` is what was seen last, `reserves` what our deployments need of each GPU by its uuid. While a host does not answer,
-- `look` says so and keeps the GPUs that it had; `since` is when it began to answer, or ceased to.
CREATE TABLE host_looks (
    host TEXT PRIMARY KEY NOT NULL CHECK (length(host) BETWEEN 1 AND 63),
    look TEXT NOT NULL CHECK (json_valid(look)),
    reserves TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(reserves)),
    since INTEGER NOT NULL CHECK (since > 0),
    answered_at INTEGER CHECK (answered_at > 0)
) STRICT;

-- A ring a GPU: `slot` is the time in steps of five seconds, counted round the hour, so a new sample takes the place of
-- the one an hour before. NULL is what a GPU does not tell.
CREATE TABLE gpu_samples (
    host TEXT NOT NULL REFERENCES host_looks (host) ON DELETE CASCADE,
    uuid TEXT NOT NULL,
    slot INTEGER NOT NULL CHECK (slot BETWEEN 0 AND 719),
    at INTEGER NOT NULL CHECK (at > 0),
    vram_used INTEGER CHECK (vram_used >= 0),
    utilization INTEGER CHECK (utilization BETWEEN 0 AND 100),
    temperature_c INTEGER,
    power_mw INTEGER CHECK (power_mw >= 0),
    PRIMARY KEY (host, uuid, slot)
) STRICT;
