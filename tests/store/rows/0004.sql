-- This machine with a GPU and a sample of it, and a host that does not answer.
BEGIN;
INSERT INTO host_looks (host, look, reserves, since, answered_at) VALUES
  ('local', '{"state": "ok", "at": 300, "gpus": []}', '{"GPU-a": {"demo": {"bytes": 5, "since": 200}}}', 200, 300),
  ('gpu1', '{"state": "unreachable", "at": 300, "gpus": []}', '{}', 250, NULL);
INSERT INTO gpu_samples (host, uuid, slot, at, vram_used, utilization, temperature_c, power_mw) VALUES
  ('local', 'GPU-a', 0, 300, 1024, 92, 71, NULL);
COMMIT;
