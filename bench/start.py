"""How fast things start: `stoker ps` beside a bare Python, a launch to its first token beside the engine by hand."""

import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import httpx2

from app.launch.models import locate
from app.settings import find_home
from bench.figures import cpu_of, figure, paired

ROUNDS = 5
STOKER = str(Path(sys.executable).with_name("stoker"))


def commands(env: dict[str, str]) -> None:
    """The cost of the commands that only look."""
    for word in ("--help", "ps"):
        cpu = paired(partial(cpu_of, [STOKER, word], env), partial(cpu_of, [sys.executable, "-c", ""], env), ROUNDS)
        figure(f"stoker_{word.strip('-')}_cpu", cpu["median"], "s", bare_python=cpu["beside"], ratio=cpu["ratio"])


def launches(env: dict[str, str]) -> None:
    """`stoker launch --wait` to a first token, beside starting the same engine by hand and asking it."""
    numbers = iter(range(ROUNDS))

    def stoker() -> float:
        name = f"bench{next(numbers)}"
        began = time.perf_counter()
        _run(env, "launch", "smollm2", "--name", name, "--wait")
        took = time.perf_counter() - began
        _run(env, "rm", "--yes", name)
        return took

    result = paired(stoker, lambda: by_hand(env), ROUNDS)
    figure("launch_to_first_token", result["median"], "s", by_hand=result["beside"], ratio=result["ratio"])


def by_hand(env: dict[str, str]) -> float:
    """Seconds from starting the engine itself to its first token."""
    model = locate(find_home(env))
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder, "endpoint")
        words = ["--model", str(model), "--alias", "x", "--ctx-size", "16384", "--parallel", "4", "--threads", "1"]
        engine = subprocess.Popen(
            [sys.executable, "-I", "-m", "backends.llamacpp", *words, "--cache-type-k", "f16", "--cache-type-v", "f16"],
            env={**env, "STOKER_ENDPOINT_FILE": str(told), "LLAMA_API_KEY": "bench"},
            stderr=subprocess.DEVNULL,
        )
        try:
            while not told.exists():
                time.sleep(0.005)
            httpx2.post(
                told.read_text() + "/v1/completions",
                json={"prompt": "Hi", "max_tokens": 1},
                headers={"Authorization": "Bearer bench"},
            ).raise_for_status()
            return time.perf_counter() - began
        finally:
            engine.terminate()
            engine.wait()


def _run(env: dict[str, str], *words: str) -> None:
    subprocess.run([STOKER, *words], env=env, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "STOKER_HOME": home}
        _run(environment, "up")
        try:
            commands(environment)
            launches(environment)
        finally:
            _run(environment, "down", "--all")
