-- What a start took on the host, once it served.
INSERT INTO peaks (attempt_id, at, engine, version, architecture, quantisation, place, weights, settings, taken, busy)
VALUES ('01T0000000000000000000000A', 90, 'llama.cpp', '2026.10', 'llama', '5.7 bits', 'host', 96576768,
        '{"context": 4096}', '[{"weights": 96576768, "total": 535536896}]', 1);
