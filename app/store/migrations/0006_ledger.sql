-- Money: a double-entry ledger in micro-units of one currency, and how far each attempt has been billed.

-- Boot time of an exit where the backend knows it, so that no change of the wall clock moves a bill.
ALTER TABLE attempts ADD COLUMN ended_boot_us INTEGER CHECK (ended_boot_us >= 0);

-- `funding` is the world outside, `available` what may be spent, `held:ID` what is set aside for a deployment,
-- `spent:ID` what it has cost. The triggers below keep every balance equal to the sum of its postings.
CREATE TABLE accounts (
    id TEXT PRIMARY KEY NOT NULL,
    balance INTEGER NOT NULL
) STRICT;

-- One row a thing that happened, numbered without a gap, each with the hash of itself and the one before it.
-- `amount` is what it added to available and held money together, for a hold or release what it moved between the two.
-- A charge is for `quantity` (microseconds or tokens) from `starts` to `ends` at `price` an hour or a million tokens.
-- `attempt_id` is set where time was billed. `balance` is what was left, held money included.
CREATE TABLE entries (
    id INTEGER PRIMARY KEY NOT NULL CHECK (id > 0),
    at INTEGER NOT NULL CHECK (at > 0),
    kind TEXT NOT NULL CHECK (kind IN ('topup', 'hold', 'release', 'charge', 'refund', 'adjustment')),
    key TEXT NOT NULL UNIQUE,
    deployment_id TEXT REFERENCES deployments (id),
    attempt_id TEXT REFERENCES attempts (id),
    amount INTEGER NOT NULL CHECK (amount <> 0),
    quantity INTEGER CHECK (quantity > 0),
    unit TEXT CHECK (unit IN ('us', 'tokens')),
    price INTEGER CHECK (price >= 0),
    starts INTEGER CHECK (starts > 0),
    ends INTEGER CHECK (ends > 0),
    estimated INTEGER NOT NULL DEFAULT 0 CHECK (estimated IN (0, 1)),
    actor TEXT NOT NULL,
    note TEXT NOT NULL DEFAULT '',
    balance INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE INDEX entries_deployment ON entries (deployment_id, id) WHERE deployment_id IS NOT NULL;
CREATE INDEX entries_seldom ON entries (kind, id) WHERE kind <> 'charge';

-- Written before the entry, which is refused unless they sum to zero. Without their entry nothing commits.
CREATE TABLE postings (
    entry_id INTEGER NOT NULL REFERENCES entries (id) DEFERRABLE INITIALLY DEFERRED,
    account TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK (amount <> 0),
    PRIMARY KEY (entry_id, account)
) STRICT, WITHOUT ROWID;

-- What was charged (less refunds) a UTC day and deployment, kept by a trigger for the chart and the caps.
CREATE TABLE spending (
    day INTEGER NOT NULL CHECK (day > 0),
    deployment_id TEXT NOT NULL,
    amount INTEGER NOT NULL,
    PRIMARY KEY (day, deployment_id)
) STRICT, WITHOUT ROWID;

-- How far an attempt has been billed: to `cursor_us` of boot time within `boot_id`, which was `cursor_at` in UTC.
-- `carried` is what the last division left over. `price` is that of an hour when it was launched.
CREATE TABLE meters (
    attempt_id TEXT PRIMARY KEY NOT NULL REFERENCES attempts (id),
    deployment_id TEXT NOT NULL REFERENCES deployments (id),
    price INTEGER NOT NULL CHECK (price > 0),
    boot_id TEXT NOT NULL,
    cursor_us INTEGER NOT NULL CHECK (cursor_us >= 0),
    cursor_at INTEGER NOT NULL CHECK (cursor_at > 0),
    carried INTEGER NOT NULL DEFAULT 0 CHECK (carried >= 0),
    closed INTEGER NOT NULL DEFAULT 0 CHECK (closed IN (0, 1))
) STRICT;
CREATE INDEX meters_open ON meters (deployment_id) WHERE closed = 0;

-- How far the requests of a deployment have been billed, in the order in which they came into the store.
CREATE TABLE token_meters (
    deployment_id TEXT PRIMARY KEY NOT NULL REFERENCES deployments (id),
    request_id TEXT NOT NULL,
    carried INTEGER NOT NULL DEFAULT 0 CHECK (carried >= 0)
) STRICT;

CREATE TRIGGER entries_no_update BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER postings_no_update BEFORE UPDATE ON postings
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER postings_no_delete BEFORE DELETE ON postings
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER accounts_no_delete BEFORE DELETE ON accounts
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;

-- INSERT OR REPLACE deletes without asking a trigger, so what is there is refused before.
CREATE TRIGGER entries_next BEFORE INSERT ON entries
BEGIN
    SELECT RAISE(ABORT, 'an entry takes the next number')
    WHERE NEW.id IS NOT (SELECT coalesce(max(id), 0) + 1 FROM entries);
    SELECT RAISE(ABORT, 'this key has an entry') WHERE EXISTS (SELECT 1 FROM entries WHERE key = NEW.key);
    SELECT RAISE(ABORT, 'the postings of an entry sum to zero')
    WHERE (SELECT sum(amount) FROM postings WHERE entry_id = NEW.id) IS NOT 0;
END;
CREATE TRIGGER postings_next BEFORE INSERT ON postings
BEGIN
    SELECT RAISE(ABORT, 'a posting comes before its entry')
    WHERE NEW.entry_id IS NOT (SELECT coalesce(max(id), 0) + 1 FROM entries);
    SELECT RAISE(ABORT, 'an entry has one posting an account')
    WHERE EXISTS (SELECT 1 FROM postings WHERE entry_id = NEW.entry_id AND account = NEW.account);
END;
CREATE TRIGGER postings_balance AFTER INSERT ON postings
BEGIN
    INSERT INTO accounts (id, balance) VALUES (NEW.account, NEW.amount)
    ON CONFLICT (id) DO UPDATE SET balance = balance + NEW.amount;
END;
CREATE TRIGGER entries_spending AFTER INSERT ON entries WHEN NEW.kind IN ('charge', 'refund')
BEGIN
    INSERT INTO spending (day, deployment_id, amount)
    VALUES (NEW.at / 86400000000, NEW.deployment_id, -NEW.amount)
    ON CONFLICT (day, deployment_id) DO UPDATE SET amount = amount - NEW.amount;
END;
