"""`logs`: an engine's output, whichever attempt, however many instances, and as it grows."""

import time
from typing import Any

import pytest
from sqlmodel import select

from app.domain.findings import Finding
from app.domain.ids import ulid
from app.settings import Home
from app.store import tables
from app.store.findings import Found, record
from app.store.write import Store
from tests.cli.conftest import Stoker
from tests.cli.process import running
from tests.cli.rows import instance, launch, now_us, write_log


def test_the_last_attempt_is_shown_made_safe(stoker: Stoker, home: Home, store: Store) -> None:
    row = instance(store, launch(store))
    write_log(home.attempts, row.attempt_id, "one\ntwo \x1b[31mred\x1b[0m\r\n\x1b]52;c;AAAA\x07[/]\nlast, not ended")
    assert stoker("logs", "demo").out == "one\ntwo red\n[/]\nlast, not ended\n"


def test_a_long_line_is_shown_whole(stoker: Stoker, home: Home, store: Store) -> None:
    row = instance(store, launch(store))
    write_log(home.attempts, row.attempt_id, "x" * 100_000 + "\n")
    assert stoker("logs", "demo").out == "x" * 100_000 + "\n"


def test_several_instances_are_told_apart(stoker: Stoker, home: Home, store: Store) -> None:
    deployment = launch(store, replicas=2)
    for letter in "ab":
        row = instance(store, deployment, letter)
        write_log(home.attempts, row.attempt_id, f"from {letter}\n")
    assert stoker("logs", "demo").out == "demo-a from a\ndemo-b from b\n"


def test_an_earlier_attempt_can_be_asked_for(stoker: Stoker, home: Home, store: Store) -> None:
    row = instance(store, launch(store), attempts=3)
    with store.write() as session:
        for attempt in session.exec(select(tables.Attempt).where(tables.Attempt.instance_id == row.id)):
            write_log(home.attempts, attempt.id, f"attempt {attempt.number}\n")
    assert stoker("logs", "demo").out == "attempt 3\n"
    assert stoker("logs", "demo", "--attempt", "1").out == "attempt 1\n"
    missing = stoker("logs", "demo", "--attempt", "9")
    assert (missing.status, missing.out) == (1, "")
    assert "NOT_FOUND" in missing.err
    assert stoker("logs", "demo", "--attempt", "0").status == 2


def test_a_log_that_is_not_there_is_said(stoker: Stoker, home: Home, store: Store) -> None:
    deployment = launch(store)
    assert "has not been started yet" in stoker("logs", "demo").err
    instance(store, deployment)
    assert "is not kept any more" in stoker("logs", "demo").err
    assert "has written nothing yet" in stoker("logs", "@server").err
    assert stoker("logs", "@sever").status == 1


def test_what_was_recognised_can_be_shown_alone(stoker: Stoker, home: Home, store: Store) -> None:
    row = instance(store, launch(store))
    assert row.attempt_id is not None
    half = Finding("weights", "weights", "milestone", 3, "loading", {"fraction": 0.4}, 40)
    full = Finding("port-taken", "PORT_IN_USE", "failure", 1_204, "bind: \x1b]52;c;x\x07 in use", {"port": 80}, 900)
    with store.write() as session:
        record(session, [Found(row.attempt_id, now_us(), found) for found in (full, half)])
    first, second = stoker("logs", "demo", "--findings").out.splitlines()
    assert "3  ◔ reading the weights 40 %" in first
    assert "1,204  ✖ PORT_IN_USE" in second
    assert "bind: " in second
    assert "\x1b" not in second
    assert stoker("logs", "demo", "--findings", "--since", "2000-01-01").out.count("\n") == 2
    assert stoker("logs", "demo", "--findings", "--attempt", "2").out == ""
    assert stoker("logs", "@server", "--findings").status == 2


def test_our_own_processes_have_logs_too(stoker: Stoker, home: Home, store: Store) -> None:
    home.server_log.write_text(
        "2001-01-01 00:00:00,000 INFO old\n2999-01-01 00:00:00,000 WARNING new\nTraceback, which belongs to it\n"
    )
    home.gateway_log.write_text("listening\n")
    assert stoker("logs", "@gateway").out == "listening\n"
    assert stoker("logs", "@server").out.count("\n") == 3
    assert stoker("logs", "@server", "--since", "1h").out.splitlines()[0].endswith("WARNING new")
    assert stoker("logs", "@server", "--since", "1h").out.endswith("which belongs to it\n")


@pytest.mark.parametrize("text", ["tomorrow", "-5", "10", "1y", ""])
def test_a_time_that_is_none_is_a_usage_error(stoker: Stoker, store: Store, text: str) -> None:
    assert stoker("logs", "@server", "--since", text).status == 2


def test_following_goes_on_into_the_next_attempt(home: Home, store: Store) -> None:
    row = instance(store, launch(store))
    directory = write_log(home.attempts, row.attempt_id, "first\nhalf a li")
    with running(home, "logs", "demo", "-f") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "first\n"
        with (directory / "head.log").open("a") as file:
            file.write("ne\n")
        assert process.stdout.readline() == "half a line\n"
        (directory / "exit.json").write_text("{}")
        new = _begin_attempt(store, row)
        write_log(home.attempts, new, "second life\n")
        assert process.stdout.readline() == "demo-a, attempt 2\n"
        assert process.stdout.readline() == "second life\n"


def test_following_survives_a_rotation_of_our_own_log(home: Home, store: Store) -> None:
    home.server_log.write_text("one\n")
    with running(home, "logs", "@server", "-f") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "one\n"
        with home.server_log.open("a") as file:
            file.write("two\n")
        home.server_log.rename(home.server_log.with_suffix(".log.1"))
        home.server_log.write_text("three\n")
        assert [process.stdout.readline() for _ in range(2)] == ["two\n", "three\n"]


def test_events_are_followed(home: Home, store: Store, server: Any) -> None:
    deployment = launch(store)
    with running(home, "events", "demo", "-f", "--json") as process:
        assert process.stdout is not None
        assert '"launched"' in process.stdout.readline()
        with store.write() as session:
            session.add(
                tables.Event(
                    at=now_us(), deployment_id=deployment.id, subject="demo", to_state="DEPLOYED", cause="x", actor="y"
                )
            )
        assert '"to": "DEPLOYED"' in process.stdout.readline()


def _begin_attempt(store: Store, row: tables.Instance) -> str:
    now = time.time_ns() // 1_000
    attempt = tables.Attempt(id=ulid(), instance_id=row.id, number=2, epoch=1, created_at=now, started_at=now)
    with store.write() as session:
        first = session.get_one(tables.Attempt, row.attempt_id)
        first.ended_at = now
        session.add(first)
        session.flush()
        session.add(attempt)
        row.attempt_id = attempt.id
        session.add(row)
    return attempt.id
