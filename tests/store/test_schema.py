"""What the schema itself refuses, whoever writes to it."""

import sqlite3

import pytest

BAD = {
    "a state that is none": "UPDATE instances SET state = 'happy'",
    "a phase that is none": "UPDATE instances SET phase = 'sleeping'",
    "a wish that is none": "UPDATE deployments SET wish = 'paused'",
    "no replica": "UPDATE deployments SET replicas = 0",
    "text for a number": "UPDATE deployments SET replicas = '1.5 usd'",
    "a fraction for a time": "UPDATE deployments SET wish_at = 1.5",
    "a time before time": "UPDATE instances SET since = 0",
    "a flag that is neither": "UPDATE deployments SET stop_now = 2",
    "a process that is none": "UPDATE instances SET pid = 0",
    "a count below nothing": "UPDATE instances SET failure_count = -1",
    "JSON that does not parse": "UPDATE settings SET value = '{'",
    "a job in no state": "UPDATE jobs SET state = 'lost'",
    "a short digest": "UPDATE keys SET digest = zeroblob(31)",
    "a digest as text": "UPDATE keys SET digest = 'secret'",
    "an id of the wrong length": "UPDATE jobs SET id = 'x'",
    "no name": "UPDATE deployments SET name = ''",
    "a long name": "UPDATE deployments SET name = printf('%064d', 1)",
    "an epoch of nothing": "UPDATE lease SET epoch = 0",
    "negative tokens": "UPDATE requests SET tokens_in = -1",
    "an instance of no deployment": "UPDATE instances SET deployment_id = 'x'",
    "an attempt of no instance": "UPDATE attempts SET instance_id = 'x'",
    "two live deployments of one name": "UPDATE deployments SET gone_at = NULL",
    "two live instances of one name": "UPDATE instances SET name = 'demo-a'",
    "two open attempts of one instance": "UPDATE attempts SET ended_at = NULL WHERE number = 1",
    "two variants of one number": """INSERT INTO variants
        VALUES ('01V0000000000000000000000X', '01D0000000000000000000000A', 2, '{}', 1)""",
    "a current variant that is none": "UPDATE deployments SET variant_id = 'x'",
    "history that is changed": "UPDATE events SET cause = 'nothing to see'",
    "history that is dropped": "DELETE FROM events",
    "a turn of no conversation": "UPDATE chat_turns SET chat_id = 'x'",
    "a fifth column": "UPDATE chat_turns SET place = 5",
    "a question to nobody": "UPDATE chat_turns SET deployment = ''",
    "settings that do not parse": "UPDATE chats SET settings = 'warm'",
    "an entry that is changed": "UPDATE entries SET note = 'nothing to see'",
    "an entry that is dropped": "DELETE FROM entries",
    "a posting that is changed": "UPDATE postings SET amount = 1",
    "a posting that is dropped": "DELETE FROM postings",
    "an account that is dropped": "DELETE FROM accounts",
    "an entry that is replaced": """INSERT OR REPLACE INTO entries (id, at, kind, key, amount, actor, balance, hash)
        VALUES (1, 1, 'topup', 'topup:a', 1, 'eve', 1, zeroblob(32))""",
    "an entry that leaves a gap": """INSERT INTO entries (id, at, kind, key, amount, actor, balance, hash)
        VALUES (4, 1, 'topup', 'topup:b', 1, 'eve', 1, zeroblob(32))""",
    "an entry without postings": """INSERT INTO entries (id, at, kind, key, amount, actor, balance, hash)
        VALUES (3, 1, 'topup', 'topup:b', 1, 'eve', 1, zeroblob(32))""",
    "a posting behind its entry": "INSERT INTO postings VALUES (2, 'available', 5)",
    "a posting without an entry": "INSERT INTO postings VALUES (3, 'available', 5)",
    "memory of a GPU that has none": "UPDATE reservations SET total = 0",
    "a placement that does not parse": "UPDATE attempts SET placement = 'there'",
    "a meter that runs backwards": "UPDATE meters SET carried = -1",
    "a variant that is changed": "UPDATE variants SET spec = '{}'",
    "a variant that is dropped": "DELETE FROM variants",
    "a peak that is changed": "UPDATE peaks SET busy = 0",
    "a peak that is dropped": "DELETE FROM peaks",
}


@pytest.mark.parametrize("statement", BAD.values(), ids=BAD.keys())
def test_what_must_not_be_is_refused(filled: sqlite3.Connection, statement: str) -> None:
    before = list(filled.iterdump())
    with pytest.raises(sqlite3.IntegrityError):
        filled.execute(statement)
    assert list(filled.iterdump()) == before


def test_a_name_is_free_again_when_its_deployment_is_gone(filled: sqlite3.Connection) -> None:
    filled.execute("UPDATE deployments SET gone_at = 500 WHERE gone_at IS NULL")
    filled.execute(
        "INSERT INTO deployments (id, name, wish, wish_at, replicas, variant_id, status, created_at) VALUES"
        " ('01D0000000000000000000000C', 'demo', 'running', 1, 1, '01V0000000000000000000000A', 'REQUESTED', 1)"
    )


SEEN_BY_THE_EDGE = {
    "a new key": "INSERT INTO keys (id, name, digest, created_at) VALUES ('cccccccc', 'c', zeroblob(32), 1)",
    "a revoked key": "UPDATE keys SET revoked_at = 5",
    "a key's scope": "UPDATE keys SET scope = '[]'",
    "a dropped key": "DELETE FROM keys WHERE id = 'aaaaaaaa'",
    "a wish": "UPDATE deployments SET wish = 'stopped' WHERE gone_at IS NULL",
    "a status": "UPDATE deployments SET status = 'STOPPED'",
    "a phase": "UPDATE instances SET phase = 'draining' WHERE name = 'demo-a'",
    "an endpoint": "UPDATE instances SET endpoint = 'http://127.0.0.1:1'",
    "a backend that cannot be reached": "UPDATE instances SET unreachable_since = 9",
}
NOT_SEEN = {
    "a key's last use": "UPDATE keys SET last_used_at = 9",
    "an observation": "UPDATE instances SET observed_at = 9",
    "a sign of life": "UPDATE lease SET beat = 9",
    "a request": "UPDATE requests SET tokens_out = 9",
    "a conversation": "UPDATE chat_turns SET answer = 'no'",
}


@pytest.mark.parametrize("statement", SEEN_BY_THE_EDGE.values(), ids=SEEN_BY_THE_EDGE.keys())
def test_what_the_gateway_caches_moves_its_generation(filled: sqlite3.Connection, statement: str) -> None:
    before = _generation(filled)
    filled.execute(statement)
    assert _generation(filled) > before


@pytest.mark.parametrize("statement", NOT_SEEN.values(), ids=NOT_SEEN.keys())
def test_what_it_does_not_cache_leaves_its_generation(filled: sqlite3.Connection, statement: str) -> None:
    before = _generation(filled)
    filled.execute(statement)
    assert _generation(filled) == before


def _generation(connection: sqlite3.Connection) -> int:
    value: int = connection.execute("SELECT value FROM generations WHERE name = 'edge'").fetchone()[0]
    return value
