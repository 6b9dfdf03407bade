-- The most memory that starts were seen to take: once they served, and again when they took more under load.

-- `place` is a GPU's name, or `host`. `weights` are the bytes of the model's weights, `settings` JSON of what else decides,
-- `taken` a JSON list of what was taken on each GPU, in bytes. `busy` says that requests had been served.
CREATE TABLE peaks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    attempt_id TEXT NOT NULL REFERENCES attempts (id),
    at INTEGER NOT NULL CHECK (at > 0),
    engine TEXT NOT NULL,
    version TEXT NOT NULL,
    architecture TEXT NOT NULL,
    quantisation TEXT NOT NULL,
    place TEXT NOT NULL,
    weights INTEGER NOT NULL CHECK (weights > 0),
    settings TEXT NOT NULL CHECK (json_valid(settings)),
    taken TEXT NOT NULL CHECK (json_valid(taken)),
    busy INTEGER NOT NULL CHECK (busy IN (0, 1))
) STRICT;
CREATE INDEX peaks_kind ON peaks (engine, architecture, quantisation, place, id);
CREATE INDEX peaks_attempt ON peaks (attempt_id, id);
CREATE TRIGGER peaks_no_update BEFORE UPDATE ON peaks BEGIN SELECT RAISE(ABORT, 'peaks are append-only'); END;
CREATE TRIGGER peaks_no_delete BEFORE DELETE ON peaks BEGIN SELECT RAISE(ABORT, 'peaks are append-only'); END;
