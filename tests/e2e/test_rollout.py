"""A deployment is changed, rolled back, restarted and scaled while clients ask it without a pause, and none fails."""

import threading
from collections.abc import Iterator
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
    name = request.node.name.removeprefix("test_").replace("_", "-")[:40]
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
    began = threading.Event()
    parts: list[Any] = []

    def listen() -> None:
        prompt: Any = [{"role": "user", "content": "Count."}]
        for chunk in client.chat.completions.create(
            model=name, messages=prompt, max_tokens=300, stream=True, extra_body={"ignore_eos": True}
        ):
            parts.extend(choice.finish_reason for choice in chunk.choices)
            began.set()

    listener = threading.Thread(target=listen)
    listener.start()
    assert began.wait(30)
    stoker.run("change", name, "--seqs", "1", "--wait")
    listener.join()
    assert parts[-1] == "length"


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
