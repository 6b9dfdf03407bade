-- Money put in, held and charged. No hash here is one: what is migrated is moved, not checked.
BEGIN;
UPDATE attempts SET ended_boot_us = 90 WHERE id = '01T0000000000000000000000A';
INSERT INTO postings VALUES (1, 'funding', -5000000), (1, 'available', 5000000);
INSERT INTO entries (id, at, kind, key, amount, actor, balance, hash)
VALUES (1, 86400000001, 'topup', 'topup:a', 5000000, 'ada', 5000000, zeroblob(32));
INSERT INTO postings VALUES (2, 'available', -1000), (2, 'spent:01D0000000000000000000000A', 1000);
INSERT INTO entries (id, at, kind, key, deployment_id, attempt_id, amount, quantity, unit, price, starts, ends, actor,
                     balance, hash)
VALUES (2, 86400000002, 'charge', 'time:a', '01D0000000000000000000000A', '01T0000000000000000000000B', -1000, 60000000,
        'us', 60000, 200, 60000200, 'server', 4999000, zeroblob(32));
INSERT INTO meters VALUES
  ('01T0000000000000000000000B', '01D0000000000000000000000A', 60000, 'boot-a', 60000200, 60000200, 5, 0);
INSERT INTO token_meters (deployment_id, request_id, carried) VALUES ('01D0000000000000000000000A', '01R0000000000000000000000A', 7);
COMMIT;
