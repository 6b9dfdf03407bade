"""Which log is shown: the instance that was asked for, the attempt that is held on to, and no other's."""

from pathlib import Path

from app.screens.subject import Wanted, find_log
from app.store.fleet import look
from tests.screens.support import HOUR, Scribe


def wanted(
    deployment: str, *instances: str | None, attempt: tuple[str, int] | None = None, own: str | None = None
) -> Wanted:
    return Wanted(own, deployment, instances, attempt)


def test_an_attempt_that_is_held_on_to_is_that_of_its_instance_only(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        for name in ("chat", "embed"):
            instance = scribe.instance(scribe.deployment(name))
            for number in (1, 2):
                ended = scribe.now - HOUR if number == 1 else None
                scribe.log(scribe.attempt(instance, number, ended_at=ended), b"")
        fleet = look(scribe.home)
        held = ("chat-a", 1)
        numbers = [find_log(scribe.home, fleet, wanted(name, attempt=held)).subject for name in ("chat", "embed")]
        assert [s.attempt.number for s in numbers if s is not None and s.attempt is not None] == [1, 2]


def test_of_several_instances_the_best_name_that_is_there_wins_then_one_that_failed(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        deployment = scribe.deployment("chat", replicas=3)
        scribe.instance(deployment, "a")
        scribe.instance(deployment, "b", state="failed", phase="failed", failure_code="HOST_OOM")
        scribe.instance(deployment, "c")
        fleet = look(scribe.home)
        assert find_log(scribe.home, fleet, wanted("chat", None, "chat-c")).instance == "chat-c"
        assert find_log(scribe.home, fleet, wanted("chat", "gone-a", "chat-a")).instance == "chat-a"
        assert find_log(scribe.home, fleet, wanted("chat", None, None)).instance == "chat-b"
        assert find_log(scribe.home, fleet, wanted("chat")).instances == ("chat-a", "chat-b", "chat-c")


def test_our_own_logs_need_no_store(tmp_path: Path) -> None:
    with Scribe(tmp_path) as scribe:
        scribe.home.gateway_log.write_text("begins\n")
        found = find_log(scribe.home, None, wanted("", own="@gateway"))
        assert found.subject is not None
        assert found.subject.path == scribe.home.gateway_log
