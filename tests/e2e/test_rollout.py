"""A deployment is changed, rolled back, restarted and scaled while clients ask it without a pause, and none fails."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai
import psutil
import pytest

from tests.control.support import wait_for
from tests.e2e.load import under_load
from tests.e2e.stoker import Stoker, installed


@pytest.fixture(scope="module")
def stoker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stoker]:
    with installed(tmp_path_factory.mktemp("home")) as stoker:
        yield stoker


@pytest.fixture(scope="module")
def client(stoker: Stoker) -> openai.OpenAI:
    stoker.run("up")
    return stoker.client()


@pytest.fixture
def name(stoker: Stoker, request: pytest.FixtureRequest) -> Iterator[str]:
    name = request.node.name.removeprefix("test_").replace("_", "-")[:40].strip("-")
    stoker.launch(name, "--seqs", "4")
    yield name
    stoker.run("rm", name, "--yes", "--wait")


def test_change_and_rollback(stoker: Stoker, client: openai.OpenAI, name: str) -> None:
    (old,) = serving(stoker, name)
    with under_load(client, name) as load:
        done = stoker.run("change", name, "--ctx", "768", "--wait")
        load.goes_on()
        ((new, variant),) = serving(stoker, name).items()
        assert variant == 2 and new != old and not psutil.pid_exists(old)
        assert client.models.retrieve(name).model_extra["max_model_len"] == 768  # type: ignore[index] # it is there
        stoker.run("rollback", name, "1", "--wait")
    assert f"{name}: variant 2." in done.stdout
    assert list(serving(stoker, name).values()) == [1]
    assert not psutil.pid_exists(new)
    causes = [e["cause"] for e in stoker.json("events", name)]
    assert causes.count("replaced by a later variant") >= 2


def test_a_stream_that_began_before_a_change_ends_after_it(stoker: Stoker, client: openai.OpenAI, name: str) -> None:
    with listening(client, name) as heard:
        stoker.run("change", name, "--seqs", "1", "--wait")
    assert heard[-1] == "length"


def test_a_stop_waits_for_a_stream_and_sends_nobody_more(stoker: Stoker, client: openai.OpenAI, name: str) -> None:
    with listening(client, name) as heard:
        stoker.run("stop", name)
        wait_for(lambda: refused(client, name) == "DEPLOYMENT_STOPPED", "the gateway to turn others away")
        wait_for(lambda: stoker.json("show", name)["status"] == "STOPPED", "the end")
    assert heard[-1] == "length"


def test_a_stop_that_cannot_wait_cuts_the_stream_and_says_so(stoker: Stoker, client: openai.OpenAI, name: str) -> None:
    with listening(client, name, tokens=400) as heard:
        stoker.run("stop", name, "--now", "--wait")
    assert isinstance(heard[-1], openai.APIError) and heard[-1].code == "UPSTREAM_FAILED"


@contextmanager
def listening(client: openai.OpenAI, name: str, tokens: int = 250) -> Iterator[list[Any]]:
    """A stream that has begun before the block and ends after it; what it ended with is the last that was heard."""
    prompt: Any = [{"role": "user", "content": "Count."}]
    began = threading.Event()
    heard: list[Any] = []

    def listen() -> None:
        try:
            for chunk in client.chat.completions.create(
                model=name, messages=prompt, max_tokens=tokens, stream=True, extra_body={"ignore_eos": True}
            ):
                heard.extend(choice.finish_reason for choice in chunk.choices)
                began.set()
        except openai.APIError as error:
            heard.append(error)

    listener = threading.Thread(target=listen)
    listener.start()
    assert began.wait(60)
    yield heard
    listener.join()


def refused(client: openai.OpenAI, name: str) -> str | None:
    """The code with which one more request is refused."""
    try:
        client.completions.create(model=name, prompt="Hi", max_tokens=1)
    except openai.APIError as error:
        return error.code
    return None


def test_scale_and_restart(stoker: Stoker, client: openai.OpenAI, name: str) -> None:
    (first,) = serving(stoker, name)
    with under_load(client, name) as load:
        stoker.run("change", name, "--replicas", "2", "--wait")
        wait_for(lambda: len(serving(stoker, name)) == 2, "the second replica")
        before = serving(stoker, name)
        assert first in before, "scaling up started the first one anew"
        stoker.run("restart", name, "--wait")
        wait_for(lambda: len(serving(stoker, name)) == 2, "both to serve again")
        after = serving(stoker, name)
        assert not before.keys() & after.keys()
        load.goes_on()
        stoker.run("change", name, "--replicas", "1", "--wait")
        wait_for(lambda: len(instances(stoker, name)) == 1, "the surplus replica to go")
        assert len(serving(stoker, name)) == 1
    assert stoker.json("ps")[0]["replicas"] == {"ready": 1, "want": 1}


def test_a_change_that_fails_leaves_the_old_variant(stoker: Stoker, client: openai.OpenAI, name: str) -> None:
    (old,) = serving(stoker, name)
    with under_load(client, name):
        refused = stoker.run("change", name, "--set", "n-gpu-layerz=3", "--wait", "--json", check=False)
        assert refused.returncode == 1
        assert '"code": "BAD_FLAG"' in refused.stderr.splitlines()[-1]
        assert list(serving(stoker, name)) == [old]
        shown = stoker.json("show", name)
        assert (shown["status"], shown["replicas"]) == ("DEPLOYED", {"ready": 1, "want": 1})
        (failed,) = [i for i in shown["instances"] if i["failure_reason"]]
        assert (failed["variant"], failed["failure_reason"]["code"]) == (2, "BAD_FLAG")
        assert "--n-gpu-layers" in failed["failure_reason"]["evidence"]
        assert "BAD_FLAG" in [e["cause"] for e in stoker.json("events", name)]
        stoker.run("rollback", name, "1", "--wait")
    mended = stoker.json("show", name)
    assert [(i["pid"], i["failure_reason"]) for i in mended["instances"]] == [(old, None)]


def instances(stoker: Stoker, name: str) -> list[Any]:
    found: list[Any] = stoker.json("show", name)["instances"]
    return found


def serving(stoker: Stoker, name: str) -> dict[int, int]:
    """The pids of the instances that serve, with the number of their variant."""
    return {i["pid"]: i["variant"] for i in instances(stoker, name) if i["phase"] == "serving"}
