"""On the real engine: what fails says what would mend it, and the first option makes it serve."""

import socket
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.e2e.stoker import Stoker, installed


@pytest.fixture(scope="module")
def stoker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stoker]:
    """One installation for all of them."""
    with installed(tmp_path_factory.mktemp("home")) as stoker:
        yield stoker


def failed(stoker: Stoker, name: str, *words: str) -> Any:
    """What `show` says of a launch that must fail for good."""
    done = stoker.run("launch", "smollm2", "--name", name, *words, "--wait", check=False)
    assert done.returncode == 1
    return stoker.json("show", name)


def mended(stoker: Stoker, name: str) -> Any:
    """The deployment after its first option, which must have made it serve; it is stopped again."""
    row = stoker.json("fix", name, "1", "--wait")
    assert (row["status"], row["variant"]) == ("DEPLOYED", 2)
    assert stoker.answers(name)
    shown = stoker.json("show", name)
    assert shown["fixes"] == []
    assert "fix" in [event["cause"] for event in stoker.json("events", name)]
    stoker.run("stop", name, "--wait")
    return shown["variants"][-1]


def test_a_limit_that_the_cache_hits(stoker: Stoker) -> None:
    shown = failed(stoker, "cache", "--ctx", "8192", "--seqs", "4", "--memory", "640M")
    assert shown["failure"]["code"] == "HOST_OOM"
    titles = [fix["title"] for fix in shown["fixes"]]
    assert titles[0].startswith("context 8192 → ")
    assert any(title.startswith("memory 640 → ") for title in titles)
    variant = mended(stoker, "cache")
    assert 512 <= variant["context"] < 8192
    assert variant["memory_limit"] == 640 * 2**20


def test_a_limit_below_what_the_engine_itself_needs(stoker: Stoker) -> None:
    shown = failed(stoker, "tight", "--ctx", "256", "--seqs", "1", "--memory", "320M")
    assert shown["failure"]["code"] == "HOST_OOM"
    assert shown["fixes"][0]["title"].startswith("memory 320 → ")
    assert mended(stoker, "tight")["context"] == 256


def test_a_port_that_is_taken(stoker: Stoker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        shown = failed(stoker, "port", "--ctx", "256", "--seqs", "1", "--set", f"port={port}")
        assert shown["failure"]["code"] == "PORT_IN_USE"
        assert mended(stoker, "port")["flags"] == {}


def test_a_flag_that_is_misspelled(stoker: Stoker) -> None:
    shown = failed(stoker, "flag", "--ctx", "256", "--seqs", "1", "--set", "thread=1")
    assert shown["failure"]["code"] == "BAD_FLAG"
    assert mended(stoker, "flag")["flags"] == {"threads": "1"}


def test_a_prompt_beyond_the_context_is_told_both_numbers(stoker: Stoker) -> None:
    stoker.run("launch", "smollm2", "--name", "small", "--ctx", "256", "--seqs", "1", "--wait")
    client = stoker.client()
    for words, size in ((2_000, 1_000), (400_000, 1_500)):
        with pytest.raises(openai.APIStatusError) as caught:
            client.chat.completions.create(model="small", messages=[{"role": "user", "content": "port " * words}])
        error: Any = caught.value.body
        assert (caught.value.status_code, error["code"]) == (413, "CTX_TOO_LARGE")
        assert error["detail"]["limit"] == 256
        assert error["detail"]["size"] >= size
        explained = stoker.json("request", error["request_id"])
        assert (explained["status"], explained["code"]) == (413, "CTX_TOO_LARGE")
    stoker.run("stop", "small", "--wait")
