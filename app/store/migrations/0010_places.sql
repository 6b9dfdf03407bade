-- Where an attempt was placed, and which GPU memory is set aside for whom before anything starts there.

-- What was chosen for this attempt, as `Placement` of `app/domain/offers.py`. NULL where the variant itself says where it
-- runs.
ALTER TABLE attempts ADD COLUMN placement TEXT CHECK (placement IS NULL OR json_valid(placement));

-- GPU memory that is set aside, in bytes, of GPUs that have `total`. `instance_id` is the replica that was placed there,
-- and then it holds while that one's attempt is open; NULL is for whatever runs of the deployment, while it is wished to
-- run and until nothing of it does.
CREATE TABLE reservations (
    id INTEGER PRIMARY KEY NOT NULL,
    deployment_id TEXT NOT NULL REFERENCES deployments (id),
    instance_id TEXT REFERENCES instances (id),
    host TEXT NOT NULL CHECK (length(host) BETWEEN 1 AND 63),
    gpu TEXT NOT NULL,
    bytes INTEGER NOT NULL CHECK (bytes >= 0),
    total INTEGER NOT NULL CHECK (total > 0),
    created_at INTEGER NOT NULL CHECK (created_at > 0)
) STRICT;
CREATE INDEX reservations_deployment ON reservations (deployment_id);
