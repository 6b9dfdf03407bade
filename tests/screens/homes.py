"""Homes whose stores hold situations: rows as a server would have written them, without one running."""

import time
from pathlib import Path
from typing import Any

from app.boot import boot_id, boot_us
from app.domain.ids import ulid
from app.settings import Home
from app.store import tables, wishes
from app.store.migrate import migrate
from app.store.write import Store, acquire_lease
from tests.control.support import bundled_spec


def empty_home(path: Path) -> Home:
    """A home with a store and nothing in it."""
    home = Home(path, path)
    home.make()
    migrate(home.store, home.backups)
    return home


def add(home: Home, name: str, state: str, phase: str, **columns: Any) -> str:
    """A deployment of one instance in a state; the instance's id. `columns` are set on the instance."""
    store = Store(home.store)
    now = time.time_ns() // 1_000
    with store.write() as session:
        deployment = wishes.launch(session, name, bundled_spec(), 1, "test")
        instance = tables.Instance(
            id=ulid(),
            deployment_id=deployment.id,
            variant_id=deployment.variant_id,
            name=f"{name}-a",
            backend="process",
            state=state,
            phase=phase,
            since=now,
            created_at=now,
            **columns,
        )
        session.add(instance)
        instance_id = instance.id
    store.close()
    return instance_id


def beat(home: Home) -> None:
    """A sign of life of a server, now."""
    store = Store(home.store)
    acquire_lease(store, "test", boot_id(), boot_us())
    store.close()


def set_instance(home: Home, instance_id: str, **columns: Any) -> None:
    """Change columns of an instance, as a server does."""
    store = Store(home.store)
    with store.write() as session:
        row = session.get_one(tables.Instance, instance_id)
        for name, value in columns.items():
            setattr(row, name, value)
        session.add(row)
    store.close()
