-- How far an attempt came, what its output said of its end, and how it ended.
BEGIN;
INSERT INTO findings (attempt_id, at, rule, code, kind, line, position, evidence, captured)
SELECT id, 100, 'weights', 'weights', 'milestone', 3, 120, 'loading « model »', '{"fraction": 0.5}' FROM attempts LIMIT 1;
INSERT INTO findings (attempt_id, at, rule, code, kind, line, position, evidence)
SELECT id, 200, 'port-taken', 'PORT_IN_USE', 'failure', 9, 640, 'address already in use' FROM attempts LIMIT 1;
INSERT INTO findings (attempt_id, at, rule, code, kind, evidence)
SELECT id, 300, 'exit', 'KILLED_EXTERNALLY', 'failure', 'ended by SIGKILL' FROM attempts LIMIT 1;
COMMIT;
