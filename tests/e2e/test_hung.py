"""An engine that hangs: nobody is sent to it while it says nothing, and it serves again when it speaks."""

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import openai
import pytest

from tests.control.servers import server
from tests.control.support import wait_for
from tests.e2e.stoker import Stoker, installed


def hurry() -> None:
    """Check engines often, and be quick to conclude."""
    import app.control.senses
    from app.control.health import Pace

    pace = partial(Pace, check_every_s=0.2, timeout_s=0.5)
    setattr(app.control.senses, "Pace", pace)  # noqa: B010 # it is not the module's to export


@pytest.fixture
def stoker(tmp_path: Path) -> Iterator[Stoker]:
    with installed(tmp_path) as stoker, server(stoker.home, hurry):
        stoker.launch()
        yield stoker


def test_a_hung_engine_is_left_alone_until_it_answers_again(stoker: Stoker) -> None:
    engine, client = stoker.engine(), stoker.client()
    os.kill(engine, signal.SIGSTOP)
    wait_for(lambda: known_to_clients(client) == "INITIALIZING", "the engine to lose its readiness")
    assert stoker.json("ps")[0]["status"] == "INITIALIZING"
    with pytest.raises(openai.InternalServerError) as caught:
        client.completions.create(model="demo", prompt="Hi", max_tokens=1)
    assert caught.value.code == "NO_CAPACITY"
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["detail"]["replicas"][0]["reason"] == "loading"
    os.kill(engine, signal.SIGCONT)
    wait_for(lambda: stoker.json("ps")[0]["status"] == "DEPLOYED", "the engine to serve again")
    assert stoker.engine() == engine
    assert stoker.answers()
    story = [(e["to"], e["cause"]) for e in stoker.json("events", "demo") if e["subject"] == "demo-a"]
    assert story[-2:] == [
        ("pending/loading", "the engine stopped answering"),
        ("running/serving", "the engine answered with a token"),
    ]


def known_to_clients(client: openai.OpenAI) -> str:
    """The status of the deployment as the gateway has it."""
    return str((client.models.retrieve("demo").model_extra or {})["status"])
