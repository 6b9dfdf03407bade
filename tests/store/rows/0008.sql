-- Use that was billed.
UPDATE token_meters SET longest_us = 9000000 WHERE deployment_id = '01D0000000000000000000000A';
