"""Clients that never stop asking: several at once, some streaming, each failure kept."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai

from tests.control.support import wait_for

QUESTION: Any = [{"role": "user", "content": "Name a port on the Baltic sea."}]
TOKENS = 4
BREATH_S = 0.05
"""Between two requests of a client: on a small machine the engine that is coming up needs the processor too."""


class Load:
    """What `clients` have seen so far: answers counted, failures kept."""

    def __init__(self, client: openai.OpenAI, name: str) -> None:
        self._client = client
        self._name = name
        self._ended = threading.Event()
        self.answers = 0
        self.failures: list[Exception] = []

    def work(self, streaming: bool) -> None:
        """Ask until told to end."""
        while not self._ended.wait(BREATH_S):
            try:
                self._stream() if streaming else self._ask()
                self.answers += 1
            except Exception as error:
                self.failures.append(error)
                return

    def end(self) -> None:
        """Let every client finish its request."""
        self._ended.set()

    def goes_on(self, more: int = 5) -> None:
        """Return when `more` further answers have come, whoever serves them."""
        goal = self.answers + more
        wait_for(lambda: self.answers >= goal or bool(self.failures), "further answers")

    def _ask(self) -> None:
        answer = self._client.chat.completions.create(model=self._name, messages=QUESTION, max_tokens=TOKENS)
        assert answer.usage is not None and answer.choices[0].finish_reason

    def _stream(self) -> None:
        chunks = self._client.chat.completions.create(
            model=self._name, messages=QUESTION, max_tokens=TOKENS, stream=True
        )
        reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices]
        assert reasons[-1], "a stream ended before its end"


@contextmanager
def under_load(client: openai.OpenAI, name: str, clients: int = 3) -> Iterator[Load]:
    """Keep `clients` asking deployment `name` during the block, every other one streaming; none of them may fail."""
    load = Load(client, name)
    threads = [threading.Thread(target=load.work, args=(bool(i % 2),)) for i in range(clients)]
    for thread in threads:
        thread.start()
    try:
        load.goes_on()
        yield load
        load.goes_on()
    finally:
        load.end()
        for thread in threads:
            thread.join()
    assert not load.failures, load.failures
