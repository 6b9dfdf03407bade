-- A replica that was placed on a GPU, and memory that a deployment set aside for all of its own.
BEGIN;
UPDATE attempts
SET placement = '{"name": "docker@gpu1 L40S", "backend": "docker", "host": "gpu1", "gpus": [0], "price": 600000}'
WHERE id = '01T0000000000000000000000A';
INSERT INTO reservations VALUES
  (1, '01D0000000000000000000000A', '01N0000000000000000000000A', 'gpu1', 'GPU-a', 20000000000, 48000000000, 160),
  (2, '01D0000000000000000000000A', NULL, 'local', 'GPU-b', 10000000000, 24000000000, 90);
COMMIT;
