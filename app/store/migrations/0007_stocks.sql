-- What each host has in store: images, weights, room on its disks, as JSON, and when that was looked through.

CREATE TABLE host_stocks (
    host TEXT PRIMARY KEY NOT NULL REFERENCES host_looks (host) ON DELETE CASCADE,
    at INTEGER NOT NULL CHECK (at > 0),
    stock TEXT NOT NULL CHECK (json_valid(stock))
) STRICT;
