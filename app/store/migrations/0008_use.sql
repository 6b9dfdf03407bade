-- Flex deployments are billed by the second of use too: what a request adds to those of its replica that were billed
-- before is found among what may overlap it, which began no longer before it than the longest of them took.
ALTER TABLE token_meters ADD COLUMN longest_us INTEGER NOT NULL DEFAULT 0 CHECK (longest_us >= 0);

-- What the last division left over is in parts of 1/3,600,000,000 micro-unit from now on, as for time.
UPDATE token_meters SET carried = carried * 3600;
