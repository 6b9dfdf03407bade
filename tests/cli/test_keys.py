"""`keys`: shown once, listed without the secret, scoped, expiring, rotated."""

from typing import Any

import pytest

from app.domain.keys import digest, parse_key
from app.settings import Home
from app.store import read
from app.store.write import Store
from tests.cli.conftest import Stoker
from tests.cli.rows import launch, now_us

DAY_US = 86_400_000_000


def rows(home: Home) -> dict[str, Any]:
    """The keys as they are kept, by id."""
    with read.reading(home.store) as connection:
        return {row["id"]: dict(row) for row in read.keys(connection)}


def test_a_key_is_shown_once_and_kept_as_a_digest(stoker: Stoker, home: Home, server: Any) -> None:
    made = stoker.json("keys", "create", "--name", "for me")
    assert set(made) == {"id", "key", "scope", "expires_at"}
    assert (made["scope"], made["expires_at"]) == (None, None)
    assert parse_key(made["key"]) == made["id"]
    assert rows(home)[made["id"]]["digest"] == digest(made["key"].encode())
    secret = made["key"].encode()
    assert all(secret not in path.read_bytes() for path in home.state.rglob("*") if path.is_file())
    (listed,) = stoker.json("keys", "ls")
    assert {"id", "prefix", "name", "scope", "state", "last_used"} <= set(listed)
    assert (listed["prefix"], listed["name"], listed["state"]) == (f"stk_{made['id']}", "for me", "active")
    assert listed["last_used"] is None
    assert made["key"] not in stoker("keys", "ls").out


def test_a_key_may_be_for_some_deployments(stoker: Stoker, home: Home, store: Store, server: Any) -> None:
    for name in ("one", "two"):
        launch(store, name)
    made = stoker.json("keys", "create", "--deployment", "one", "--deployment", "two")
    assert made["scope"] == ["one", "two"]
    assert stoker.json("keys", "ls")[0]["scope"] == ["one", "two"]
    assert stoker("keys", "create", "--deployment", "three", "--json").error["code"] == "NOT_FOUND"
    assert len(rows(home)) == 1


def test_a_key_may_expire(stoker: Stoker, server: Any) -> None:
    before = now_us()
    made = stoker.json("keys", "create", "--expires", "30d")
    assert before + 30 * DAY_US <= made["expires_at"] <= now_us() + 30 * DAY_US
    assert stoker.json("keys", "create", "--expires", "2999-01-01")["expires_at"] > now_us()


@pytest.mark.parametrize(
    "text", ["soon", "-1d", "0x1d", "2001-01-01", "1e9d", "999999999w", "", "NaN", "٣d", "\x1b[2J"]
)
def test_an_expiry_that_is_none_is_a_usage_error(stoker: Stoker, home: Home, server: Any, text: str) -> None:
    result = stoker("keys", "create", "--expires", text, "--json")
    assert (result.status, result.error["code"]) == (2, "USAGE")
    assert rows(home) == {}


def test_a_revoked_key_stays_revoked(stoker: Stoker, home: Home, server: Any) -> None:
    made = stoker.json("keys", "create")
    for given in (made["id"], f"stk_{made['id']}", made["key"]):
        assert stoker.json("keys", "revoke", given) == {"id": made["id"], "state": "revoked"}
    at = rows(home)[made["id"]]["revoked_at"]
    stoker.json("keys", "revoke", made["id"])
    assert rows(home)[made["id"]]["revoked_at"] == at
    assert stoker.json("keys", "ls")[0]["state"] == "revoked"
    assert stoker("keys", "rotate", made["id"], "--json").error["code"] == "AUTH_REVOKED_TOKEN"


@pytest.mark.parametrize("given", ["nonsense", "12345678", "..", "stk_x", "\x1b[2J", "a\0b", "ключ0000", ""])
def test_a_key_that_is_not_there_is_not_found(stoker: Stoker, server: Any, given: str) -> None:
    for verb in ("revoke", "rotate"):
        assert stoker("keys", verb, given, "--json").error["code"] == "NOT_FOUND"


def test_a_rotated_key_works_for_the_grace(stoker: Stoker, home: Home, store: Store, server: Any) -> None:
    launch(store)
    old = stoker.json("keys", "create", "--name", "ci", "--deployment", "demo", "--expires", "30d")
    before = now_us()
    new = stoker.json("keys", "rotate", old["id"], "--grace", "1h")
    assert new["scope"] == ["demo"]
    assert new["expires_at"] > before + 29 * DAY_US
    kept = rows(home)
    assert kept[old["id"]]["rotated_to"] == new["id"]
    assert before + 3_600_000_000 <= kept[old["id"]]["expires_at"] <= now_us() + 3_600_000_000
    assert (kept[new["id"]]["name"], kept[new["id"]]["scope"]) == ("ci", kept[old["id"]]["scope"])
    assert [key["state"] for key in stoker.json("keys", "ls")] == ["expiring", "active"]
    assert stoker("keys", "rotate", old["id"], "--json").error["code"] == "AUTH_REVOKED_TOKEN"


def test_a_rotation_without_grace_ends_the_old_key_now(stoker: Stoker, server: Any) -> None:
    old = stoker.json("keys", "create")
    stoker.json("keys", "rotate", old["id"], "--grace", "0s")
    assert sorted(key["state"] for key in stoker.json("keys", "ls")) == ["active", "expired"]


def test_a_key_for_people_comes_with_what_to_type(stoker: Stoker, store: Store, server: Any) -> None:
    launch(store)
    result = stoker("keys", "create", "--deployment", "demo")
    assert "shown only now" in result.out
    assert "for demo" in result.err
    assert stoker("keys", "ls").out.count("\n") == 2


def test_a_hostile_name_is_shown_harmless(stoker: Stoker, server: Any) -> None:
    stoker.json("keys", "create", "--name", "\x1b]52;c;AAAA\x07 [/] \udcff " + "x" * 5000)
    text = stoker("keys", "ls").out
    assert not set(text) & {"\x1b", "\x07", "\udcff"}
