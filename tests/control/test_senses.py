"""What the server perceives, when the world moves while it is looked at."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from app.control.act import Actor
from app.control.look import Look
from app.control.senses import Senses
from app.domain.facts import Attempt, Deployment, Instance, World
from app.domain.lifecycle import Phase, State
from app.domain.variant import VariantSpec
from app.settings import load_settings
from backends.base import Resource
from tests.control.support import bundled_spec, new_home


class Meanwhile(dict[str, VariantSpec]):
    """The specs of two variants; something happens when the second is read."""

    def __init__(self, spec: VariantSpec, happens: Callable[[], None]) -> None:
        super().__init__(first=spec, second=spec)
        self._happens = happens

    def __getitem__(self, variant_id: str) -> VariantSpec:
        if variant_id == "second":
            self._happens()
        return super().__getitem__(variant_id)


def test_a_look_that_comes_while_logs_are_read_is_taken_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    look = Look()

    def comes() -> None:
        look.resources = {key: Resource(key, "demo", key, 1, "alive", started_at=1) for key in ("first", "second")}

    world = asyncio.run(_world(tmp_path, look, comes))
    assert world.seen.keys() == {"first", "second"} or "process" in world.unlooked


async def _world(path: Path, look: Look, comes: Callable[[], None]) -> World:
    home = new_home(path)
    senses = Senses(home, load_settings(home), {}, (), lambda: None)
    try:
        return await senses.world(
            [_served("first"), _served("second")],
            Meanwhile(bundled_spec(), comes),
            {},
            now=2,
            looks={"process": look},
            actor=Actor(home, "owner", {}, {}, lambda: None),
            backends={},
            gateway_up=True,
            blocked={},
            shutting_down=False,
            resume=False,
            elsewhere=frozenset(),
        )
    finally:
        await senses.close()


def _served(name: str) -> Deployment:
    attempt = Attempt(name, 1, created_at=1, started_at=1, ready_at=1)
    instance = Instance(name, name, name, "process", State.RUNNING, Phase.SERVING, 1, 1, attempt)
    return Deployment(name, name, "running", 1, 1, name, "DEPLOYED", 1, instances=(instance,))
