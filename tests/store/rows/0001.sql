-- One row or more in every table of schema 1, valid under its CHECKs: what a migration meets in a store that is in use.
BEGIN;
INSERT INTO settings VALUES ('owner', '"01AAAAAAAAAAAAAAAAAAAAAAAA"');
INSERT INTO lease VALUES ('server', 'pid 4711', 7, 'boot-a', 123456789);
INSERT INTO deployments (id, name, wish, wish_at, replicas, variant_id, status, created_at, gone_at) VALUES
  ('01D0000000000000000000000A', 'demo', 'running', 100, 2, '01V0000000000000000000000B', 'DEPLOYED', 90, NULL),
  ('01D0000000000000000000000B', 'demo', 'gone', 80, 1, '01V0000000000000000000000C', 'STOPPED', 50, 85);
INSERT INTO variants VALUES
  ('01V0000000000000000000000A', '01D0000000000000000000000A', 1, '{"context": 4096}', 90),
  ('01V0000000000000000000000B', '01D0000000000000000000000A', 2, '{"context": 8192}', 95),
  ('01V0000000000000000000000C', '01D0000000000000000000000B', 1, '{}', 50);
INSERT INTO instances (id, deployment_id, variant_id, name, backend, state, phase, since, attempt_id, endpoint, pid,
                       ready_at, served, failure_code, failure_evidence, failure_count, failed_at, retry_at, created_at)
VALUES
  ('01N0000000000000000000000A', '01D0000000000000000000000A', '01V0000000000000000000000B', 'demo-a', 'process',
   'running', 'serving', 200, '01T0000000000000000000000B', 'http://127.0.0.1:40001', 4712, 200, 1, NULL, NULL, 0, NULL,
   NULL, 100),
  ('01N0000000000000000000000B', '01D0000000000000000000000A', '01V0000000000000000000000A', 'demo-b', 'process',
   'failed', 'failed', 210, '01T0000000000000000000000C', NULL, NULL, NULL, 0, 'CONTAINER_EXITED', 'bye', 1, 210, 220,
   100);
INSERT INTO attempts (id, instance_id, number, epoch, created_at, started_at, ended_at, released_at, exit_code,
                      failure_code, kept)
VALUES
  ('01T0000000000000000000000A', '01N0000000000000000000000A', 1, 6, 100, 110, 150, 160, 1, 'CONTAINER_EXITED', 1),
  ('01T0000000000000000000000B', '01N0000000000000000000000A', 2, 7, 160, 170, NULL, NULL, NULL, NULL, 0),
  ('01T0000000000000000000000C', '01N0000000000000000000000B', 1, 7, 200, 205, 210, NULL, 3, 'CONTAINER_EXITED', 1);
INSERT INTO events (at, deployment_id, subject, from_state, to_state, cause, actor, detail) VALUES
  (90, '01D0000000000000000000000A', 'demo', NULL, 'REQUESTED', 'launched', 'ada', ''),
  (200, '01D0000000000000000000000A', 'demo-a', 'pending/loading', 'running/serving', 'a token', 'server', 'détail');
INSERT INTO jobs (id, kind, payload, state, created_at, deadline_at) VALUES
  ('01J0000000000000000000000A', 'fetch', '{"variant_id": "x"}', 'queued', 100, 200);
INSERT INTO keys (id, name, digest, scope, created_at, rotated_to) VALUES
  ('aaaaaaaa', 'old', zeroblob(32), '["01D0000000000000000000000A"]', 100, 'bbbbbbbb'),
  ('bbbbbbbb', 'new', randomblob(32), NULL, 120, NULL);
INSERT INTO requests (id, request_id, key_id, deployment_id, instance_id, attempt_id, path, stream, status, started_at,
                      ttft_us, duration_us, tokens_in, tokens_out)
VALUES ('01R0000000000000000000000A', 'req-1', 'bbbbbbbb', '01D0000000000000000000000A', '01N0000000000000000000000A',
        '01T0000000000000000000000B', '/v1/chat/completions', 1, 200, 300, 5000, 90000, 12, 34);
INSERT INTO drains VALUES ('01N0000000000000000000000B', 3);
COMMIT;
