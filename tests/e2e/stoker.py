"""The product as its user has it: the `stoker` command on a home of its own, real processes, a real model."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import psutil

from app.processes import holder
from app.settings import Home
from tests.control.support import engines, wait_for

COMMAND = str(Path(sys.executable).with_name("stoker"))


class Stoker:
    """One installation. Whatever it starts is stopped and looked for when the test is over."""

    def __init__(self, path: Path) -> None:
        self.home = Home(path, path)
        self._clients: list[openai.OpenAI] = []
        self._own: openai.OpenAI | None = None
        self.env = {"PATH": os.environ["PATH"], "HOME": str(path), "STOKER_HOME": str(path), "LANG": "C.UTF-8"}

    def run(self, *words: str, check: bool = True, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        done = subprocess.run(
            [COMMAND, *words], env=self.env, input=stdin, capture_output=True, text=True, timeout=120, check=False
        )
        assert not check or done.returncode == 0, f"stoker {' '.join(words)}: {done.stdout}{done.stderr}{self.log()}"
        return done

    def log(self) -> str:
        """The end of the server's log, for whoever wonders why."""
        path = self.home.server_log
        return path.read_text()[-3_000:] if path.exists() else ""

    def json(self, *words: str) -> Any:
        """What a command prints with `--json`."""
        return json.loads(self.run(*words, "--json").stdout)

    def launch(self, name: str = "demo", *words: str) -> None:
        """Launch the bundled model and wait until it answers."""
        self.run("launch", "smollm2", "--name", name, "--ctx", "512", "--seqs", "2", "--wait", *words)

    def pid(self, what: str) -> int:
        """The pid of the `server` or the `gateway`, once it has announced itself."""
        path = {"server": self.home.server_lock, "gateway": self.home.gateway_lock}[what]
        found: list[int] = []

        def announced() -> bool:
            facts = holder(path)
            if facts and "pid" in facts:
                found.append(facts["pid"])
            return bool(found)

        wait_for(announced, f"the {what}")
        return found[-1]

    def engine(self) -> int:
        """The pid of the only engine that runs."""
        (pid,) = engines(self.home)
        return pid

    def keeper(self) -> int:
        """The pid of the keeper of the only engine that runs."""
        parent: int = psutil.Process(self.engine()).ppid()
        return parent

    def client(self, key: str | None = None) -> openai.OpenAI:
        """The official client on our gateway, with a new key for everything unless one is given.

        The gateway has heard of the key, however young it is.
        """
        facts = holder(self.home.gateway_lock)
        assert facts
        key = key or self.json("keys", "create")["key"]
        client = openai.OpenAI(base_url=f"{facts['url']}/v1", api_key=key, max_retries=0, timeout=60)
        self._clients.append(client)
        wait_for(lambda: refusal(client) != "AUTH_INVALID_TOKEN", "the gateway to know the key", 10)
        return client

    def hang_up(self) -> None:
        """Close every connection to the gateway."""
        for client in self._clients:
            client.close()
        self._clients.clear()
        self._own = None

    def answers(self, name: str = "demo") -> bool:
        """Whether a deployment answers: a few tokens, since `ask` lets a small machine ramble for half a minute."""
        self._own = self._own or self.client()
        hello: Any = [{"role": "user", "content": "Say hello."}]
        try:
            said = self._own.chat.completions.create(model=name, messages=hello, max_tokens=4)
        except openai.APIError:
            return False
        return bool(said.choices[0].message.content)


def refusal(client: openai.OpenAI) -> str:
    """The code with which the client's key is refused, empty if it is taken."""
    try:
        client.models.list()
    except openai.AuthenticationError as error:
        return str(error.code)
    return ""


@contextmanager
def installed(path: Path) -> Iterator[Stoker]:
    """An installation that leaves nothing behind."""
    stoker = Stoker(path)
    try:
        yield stoker
    finally:
        stoker.hang_up()
        stoker.run("down", "--all", check=False)
        left = _left_over(stoker.home)
        deadline = time.monotonic() + 60
        while left and time.monotonic() < deadline:
            time.sleep(0.05)
            left = _left_over(stoker.home)
        said = [f"{process.pid}: {' '.join(process.cmdline())}" for process in left]
        for process in left:
            process.send_signal(signal.SIGKILL)
        assert not said, f"left running: {said}; {stoker.log()}"


def _left_over(home: Home) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("STOKER_HOME") == str(home.state) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found + [psutil.Process(pid) for pid in engines(home)]
