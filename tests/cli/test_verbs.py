"""`stop`, `start`, `restart`, `rm`, `rollback`: each is a wish, and waiting for it ends as the wish does."""

import json
import signal
from dataclasses import replace
from typing import Any

import pytest

from app.domain.lifecycle import Phase, State
from app.settings import Home
from app.store import read, tables, wishes
from app.store.write import Store
from tests.cli.conftest import Stoker
from tests.cli.process import next_line, output, running
from tests.cli.rows import SPEC, failed, instance, launch, now_us

DEADLINE_S = 60.0


def wish(home: Home, name: str = "demo") -> tuple[str, bool, bool]:
    """(wish, stop now, forget) as recorded."""
    with read.reading(home.store) as connection:
        found = read.deployment(connection, name)
    return found.wish, found.stop_now, found.forget


def test_wishes_are_recorded(stoker: Stoker, home: Home, store: Store, server: Any) -> None:
    launch(store)
    assert stoker.json("stop", "demo") == {"name": "demo"}
    assert wish(home) == ("stopped", False, False)
    stoker.json("stop", "demo", "--now")
    assert wish(home) == ("stopped", True, False)
    stoker.json("start", "demo")
    assert wish(home) == ("running", False, False)
    stoker.json("restart", "demo")
    stoker.json("rm", "demo", "--yes", "--forget")
    assert wish(home) == ("gone", False, True)
    causes = [event["cause"] for event in stoker.json("events", "demo")]
    assert causes == ["launched", "stop", "stop --now", "start", "restart", "rm --forget"]


def test_rollback_picks_an_earlier_variant(stoker: Stoker, store: Store, server: Any) -> None:
    launch(store)
    with store.write() as session:
        wishes.change(session, "demo", replace(SPEC, context=128), 1, "tester")
    stoker.json("rollback", "demo", "1")
    assert [v["current"] for v in stoker.json("variants", "demo")] == [True, False]
    assert stoker("rollback", "demo", "7", "--json").error["code"] == "NOT_FOUND"
    assert stoker("rollback", "demo", "0", "--json").error["code"] == "USAGE"


@pytest.mark.parametrize("verb", ["stop", "start", "restart", "show", "events", "variants", "logs", "change", "ask"])
def test_a_name_that_is_none_is_not_found(stoker: Stoker, store: Store, server: Any, verb: str) -> None:
    launch(store)
    more = ["hello"] if verb == "ask" else []
    for name in ("..", "a\0b", "x" * 300, "демо", "[/]", "\x1b[2J", "\udcff", "", "other"):
        result = stoker(verb, name, *more)
        assert result.status == 1
        assert result.err.startswith("stoker: NOT_FOUND: ")
        assert not set(result.err) & {"\x1b", "\0"}
    assert stoker(verb, "-rf", *more).status == 2


def test_rm_needs_a_yes(stoker: Stoker, home: Home, store: Store, server: Any) -> None:
    launch(store)
    result = stoker("rm", "demo", "--json")
    assert (result.status, result.error["code"]) == (2, "USAGE")
    assert "--yes" in result.error["message"]
    assert wish(home)[0] == "running"


def test_waiting_for_a_start_ends_when_it_answers(home: Home, store: Store, server: Any) -> None:
    deployment = launch(store)
    with running(home, "start", "demo", "--wait", "--json") as process:
        assert "REQUESTED" in next_line(process)
        instance(store, deployment)
        assert "● DEPLOYED" in next_line(process)
        assert process.wait(DEADLINE_S) == 0
        assert json.loads(output(process))["status"] == "DEPLOYED"


def test_waiting_ends_with_the_failure_and_its_evidence(home: Home, store: Store, server: Any) -> None:
    deployment = launch(store)
    row = instance(store, deployment, **failed("HOST_OOM", "an older failure, which does not count"))
    with running(home, "start", "demo", "--wait", "--json") as process:
        assert "HOST_OOM" in next_line(process)
        update(store, row, **failed("BAD_FLAG", "error: invalid argument: --nonsense"))
        assert "✖ FAILED BAD_FLAG" in next_line(process)
        error = json.loads(next_line(process))["error"]
        assert process.wait(DEADLINE_S) == 1
    assert error["code"] == "BAD_FLAG"
    assert '"error: invalid argument: --nonsense"' in error["message"]
    assert "stoker change demo" in error["remedy"]


def test_waiting_goes_on_while_a_retry_is_planned(home: Home, store: Store, server: Any) -> None:
    deployment = launch(store)
    with running(home, "start", "demo", "--wait") as process:
        next_line(process)
        row = instance(store, deployment, **failed("KILLED_EXTERNALLY", "SIGKILL", now_us() + 600_000_000))
        said = next_line(process)
        assert "◔ ERROR KILLED_EXTERNALLY tried again at" in said
        assert "SIGKILL" in said
        update(store, row, state=State.RUNNING, phase=Phase.SERVING)
        assert process.wait(DEADLINE_S) == 0


def test_waiting_for_a_change_ends_when_nothing_older_is_left(home: Home, store: Store, server: Any) -> None:
    deployment = launch(store)
    old = instance(store, deployment)
    with running(home, "change", "demo", "--model", "smollm2", "--ctx", "128", "--wait") as process:
        assert "demo-a serving" in next_line(process)
        with store.write() as session:
            deployment = wishes.find(session, "demo")
        instance(store, deployment, "b")
        assert "demo-b serving" in next_line(process)
        update(store, old, gone_at=now_us())
        assert process.wait(DEADLINE_S) == 0


def test_waiting_for_a_removal_ends_when_it_is_gone(home: Home, store: Store, server: Any) -> None:
    deployment = launch(store)
    with running(home, "rm", "demo", "--yes", "--wait", "--json") as process:
        next_line(process)
        update(store, deployment, gone_at=now_us())
        assert process.wait(DEADLINE_S) == 0
        assert json.loads(output(process)) == {"name": "demo"}


def test_ctrl_c_ends_the_waiting_and_not_the_wish(home: Home, store: Store, server: Any) -> None:
    launch(store)
    with running(home, "start", "demo", "--wait") as process:
        next_line(process)
        process.send_signal(signal.SIGINT)
        assert "it goes on" in next_line(process)
        assert process.wait(DEADLINE_S) == 130
    assert wish(home)[0] == "running"


def update(store: Store, row: tables.Deployment | tables.Instance, **columns: Any) -> None:
    """Change a row as the server would."""
    with store.write() as session:
        for name, value in columns.items():
            setattr(row, name, value)
        session.add(row)
