-- What a host has in store.
INSERT INTO host_stocks VALUES ('local', 86400000001, '{}');
