-- What was recognised in the output of attempts, and in how they ended: failures, recoveries, milestones.

-- `code` is one of the catalogue, for a milestone its stage. `line` counts from 1 and `position` is the global offset of
-- its first byte; both are NULL for what no line says. A server that reads an attempt's output again finds the same.
CREATE TABLE findings (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    attempt_id TEXT NOT NULL REFERENCES attempts (id),
    at INTEGER NOT NULL CHECK (at > 0),
    rule TEXT NOT NULL,
    code TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('failure', 'milestone', 'recovered')),
    line INTEGER CHECK (line > 0),
    position INTEGER CHECK (position >= 0),
    evidence TEXT NOT NULL,
    captured TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(captured)),
    CHECK ((line IS NULL) = (position IS NULL))
) STRICT;
CREATE UNIQUE INDEX findings_once ON findings (attempt_id, coalesce(position, -1), rule, code);
CREATE TRIGGER findings_no_update BEFORE UPDATE ON findings BEGIN SELECT RAISE(ABORT, 'findings are append-only'); END;
CREATE TRIGGER findings_no_delete BEFORE DELETE ON findings BEGIN SELECT RAISE(ABORT, 'findings are append-only'); END;
