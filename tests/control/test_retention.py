"""Attempts' logs within their quota: the oldest go first; what runs, and the first failure of a streak, stays."""

from pathlib import Path

from app.control.retention import prune
from app.domain.ids import ulid
from app.settings import Home
from app.store import wishes
from app.store.tables import Attempt, Instance
from app.store.write import Store
from tests.control.support import bundled_spec, new_home

KIB = 1024


def attempts(home: Home, *, kept: int, running: int, ended: int) -> dict[str, list[Path]]:
    """Attempts of one instance, oldest first in each list, each with a log of one KiB."""
    store = Store(home.store)
    made: dict[str, list[Path]] = {"kept": [], "running": [], "ended": []}
    with store.write() as session:
        deployment = wishes.launch(session, "demo", bundled_spec(), 1, "test")
        session.flush()
        number = 0
        for kind, count in (("kept", kept), ("ended", ended), ("running", running)):
            for _ in range(count):
                number += 1
                instance = Instance(
                    id=ulid(),
                    deployment_id=deployment.id,
                    variant_id=deployment.variant_id,
                    name=f"demo-{number}",
                    backend="process",
                    state="pending",
                    phase="starting",
                    since=1,
                    created_at=1,
                )
                session.add(instance)
                session.flush()
                released = None if kind == "running" else 1
                row = Attempt(id=ulid(), instance_id=instance.id, number=1, epoch=1, created_at=1)
                row.ended_at = row.released_at = released
                row.kept = int(kind == "kept")
                session.add(row)
                directory = home.attempts / row.id
                directory.mkdir()
                (directory / "head.log").write_bytes(bytes(KIB))
                made[kind].append(directory)
    store.close()
    return made


def test_the_oldest_go_first_and_no_more_than_must(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    made = attempts(home, kept=1, running=1, ended=3)
    (home.attempts / "stray").write_bytes(bytes(9 * KIB))
    prune(home, 5 * KIB)
    assert all(path.exists() for paths in made.values() for path in paths)
    prune(home, 4 * KIB)
    assert [path.exists() for path in made["ended"]] == [False, True, True]
    prune(home, 0)
    assert [path.exists() for path in made["ended"]] == [False] * 3
    assert all(path.exists() for path in (*made["kept"], *made["running"]))
