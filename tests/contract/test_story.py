"""One story, told of every backend: an attempt is created, lives, is found again, ends, and is let go of.

What runs is real: llama.cpp with the bundled model where an engine's answer matters, small programs where its end does.
"""

import asyncio
import signal
from dataclasses import replace

import httpx2
import psutil
import pytest

from backends.base import BackendRefused
from tests.contract.harness import (
    ENGINE_KEY,
    BackendHarness,
    begun,
    ended,
    healthy,
    listening,
    run,
    running,
    seen,
    until,
)

FOREVER = "import time\nprint('up')\nwhile True: time.sleep(60)"
STUBBORN = f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{FOREVER}"


def test_an_engine_from_its_creation_until_it_is_let_go(harness: BackendHarness) -> None:
    backend = harness.backend
    run(backend.create(harness.engine("a1"), "a1"))
    alive = until(lambda: begun(backend, "a1"))
    assert (alive.presence, alive.deployment, alive.instance, alive.epoch) == ("alive", "d-1", "i-1", 7)
    url = until(lambda: listening(backend, "a1"))
    until(lambda: healthy(url))
    body = {"model": "demo", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}
    with httpx2.Client(base_url=url, timeout=60, trust_env=False) as client:
        assert client.get("/health").status_code == 200
        assert client.post("/v1/chat/completions", json=body).status_code == 401
        client.headers["Authorization"] = f"Bearer {ENGINE_KEY}"
        answer = client.post("/v1/chat/completions", json=body).json()
        assert answer["usage"]["completion_tokens"] >= 1
        assert sum(slot["n_ctx"] for slot in client.get("/slots").json()) == 512
    assert ENGINE_KEY not in harness.output("a1")
    assert "load_model: loading model" in harness.output("a1")

    run(backend.stop("a1", 20))
    run(backend.stop("a1", 20))
    gone = until(lambda: ended(backend, "a1"))
    assert gone.exit is not None
    assert (gone.exit.code, gone.exit.signal, gone.exit.lost) == (0, None, False)
    assert gone.exit.at >= gone.started_at
    assert (gone.pid, gone.endpoint) == (None, None)

    run(backend.delete("a1"))
    run(backend.delete("a1"))
    assert seen(backend, "a1") is None
    run(backend.create(harness.engine("a1"), "a1"))
    assert seen(backend, "a1") is None, "a key is used up by its first attempt"


def test_a_server_that_starts_again_finds_what_runs(harness: BackendHarness) -> None:
    run(harness.backend.create(harness.program("a1", FOREVER), "a1"))
    before = until(lambda: running(harness.backend, "a1"))
    adopted = harness.reopened()
    assert run(adopted.observe()) == (before,)
    run(adopted.create(harness.program("a1", FOREVER), "a1"))
    assert run(adopted.observe()) == (before,)
    run(adopted.stop("a1", 5))
    end = until(lambda: ended(adopted, "a1")).exit
    assert end is not None
    assert end.signal == signal.SIGTERM


def test_one_key_is_one_attempt_however_often_it_is_asked_for(harness: BackendHarness) -> None:
    async def all_at_once() -> None:
        spec = harness.program("a1", "print('started')\n" + FOREVER)
        await asyncio.gather(*(harness.backend.create(spec, "a1") for _ in range(5)))

    run(all_at_once())
    until(lambda: "up" in harness.output("a1"))
    assert harness.output("a1").count("started") == 1
    assert len(run(harness.backend.observe())) == 1


def test_an_exit_is_told_as_it_was(harness: BackendHarness) -> None:
    run(harness.backend.create(harness.program("a1", "print('last words')\nraise SystemExit(3)"), "a1"))
    end = until(lambda: ended(harness.backend, "a1")).exit
    assert end is not None
    assert (end.code, end.signal, end.oom, end.lost, end.error) == (3, None, False, False, None)
    assert harness.output("a1") == "last words\n"
    run(harness.backend.create(harness.program("a1", FOREVER), "a1"))
    assert ended(harness.backend, "a1") is not None, "an ended attempt is not started again"


def test_a_killed_engine_is_told_as_killed(harness: BackendHarness) -> None:
    run(harness.backend.create(harness.program("a1", FOREVER), "a1"))
    harness.kill_engine(until(lambda: running(harness.backend, "a1")))
    end = until(lambda: ended(harness.backend, "a1")).exit
    assert end is not None
    assert (end.signal, end.oom, end.lost) == (signal.SIGKILL, False, False)


def test_with_its_keeper_killed_an_engine_is_lost_and_does_not_go_on(harness: BackendHarness) -> None:
    run(harness.backend.create(harness.program("a1", FOREVER), "a1"))
    engine = until(lambda: running(harness.backend, "a1")).pid
    harness.kill_keeper("a1")
    end = until(lambda: ended(harness.backend, "a1")).exit
    assert end is not None
    assert end.lost
    assert not end.rebooted
    assert (end.code, end.signal) == (None, None)
    assert engine is not None
    assert not psutil.pid_exists(engine) or psutil.Process(engine).status() == psutil.STATUS_ZOMBIE
    again = ended(harness.reopened(), "a1")
    assert again is not None
    assert again.exit == end, "the verdict does not change"


def test_a_program_that_is_not_there_never_runs(harness: BackendHarness) -> None:
    spec = harness.program("a1", FOREVER)
    missing = replace(spec, argv=("/no/such/program",))
    try:
        run(harness.backend.create(missing, "a1"))
    except BackendRefused as refused:
        assert "no such file" in refused.text.lower()
        return
    end = until(lambda: ended(harness.backend, "a1")).exit
    assert end is not None
    assert end.error is not None
    assert "no such file" in end.error.lower()


def test_a_stop_right_after_the_creation_is_not_forgotten(harness: BackendHarness) -> None:
    run(harness.backend.create(harness.program("a1", FOREVER), "a1"))
    run(harness.backend.stop("a1", 5))
    end = until(lambda: ended(harness.backend, "a1")).exit
    assert end is not None
    # By the signal if it had begun, else it never does.
    assert end.signal == signal.SIGTERM or end.error is not None


def test_an_engine_is_stopped_while_it_loads(harness: BackendHarness) -> None:
    run(harness.backend.create(harness.engine("a1"), "a1"))
    until(lambda: "load_model: loading model" in harness.output("a1"))
    run(harness.backend.stop("a1", 20))
    end = until(lambda: ended(harness.backend, "a1")).exit
    assert end is not None
    # By the signal if it was still loading, in good order if it had just finished.
    assert end.signal == signal.SIGTERM or end.code == 0


def test_what_will_not_end_is_ended_and_impatience_may_grow(harness: BackendHarness) -> None:
    run(harness.backend.create(harness.program("a1", STUBBORN), "a1"))
    until(lambda: "up" in harness.output("a1"))
    run(harness.backend.stop("a1", 3_600))
    assert running(harness.backend, "a1") is not None
    run(harness.backend.stop("a1", 0))
    end = until(lambda: ended(harness.backend, "a1")).exit
    assert end is not None
    assert end.signal == signal.SIGKILL


def test_what_belongs_to_another_installation_is_not_seen_and_not_touched(harness: BackendHarness) -> None:
    stranger, ours = harness.stranger(), harness.backend
    spec = harness.program("a1", FOREVER)
    theirs = replace(spec, owner="somebody-else")
    run(stranger.create(theirs, "a1"))
    before = until(lambda: running(stranger, "a1"))
    assert run(ours.observe()) == ()
    run(ours.stop("a1", 0))
    run(ours.delete("a1"))
    with pytest.raises(BackendRefused):
        run(ours.create(spec, "a1"))
    assert running(stranger, "a1") == before
    run(stranger.stop("a1", 5))
    until(lambda: ended(stranger, "a1"))
    run(ours.delete("a1"))
    assert ended(stranger, "a1") is not None


def test_what_runs_is_not_let_go_of(harness: BackendHarness) -> None:
    run(harness.backend.create(harness.program("a1", FOREVER), "a1"))
    until(lambda: running(harness.backend, "a1"))
    with pytest.raises(BackendRefused):
        run(harness.backend.delete("a1"))
    assert running(harness.backend, "a1") is not None


def test_an_unknown_key_is_nobody_s_trouble(harness: BackendHarness) -> None:
    run(harness.backend.stop("nothing", 1))
    run(harness.backend.delete("nothing"))
    assert run(harness.backend.observe()) == ()


def test_the_host_can_be_asked_for_its_memory(harness: BackendHarness) -> None:
    facts = run(harness.backend.probe())
    assert facts.name
    assert 0 < facts.memory_available <= facts.memory_total
