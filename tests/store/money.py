"""What the ledger's tests share: deployments to spend on, and one process of many that all want the same money."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from app.domain.ids import ulid
from app.store.ledger import Book, hold
from app.store.tables import Deployment, Variant
from app.store.write import Store
from tests.store.spec import spec

NOW = 1_800_000_000_000_000


def deploy(store: Store, name: str) -> str:
    """A deployment to spend on; its id."""
    deployment, variant = ulid(), ulid()
    with store.write() as session:
        session.add(
            Variant(id=variant, deployment_id=deployment, number=1, spec=json.dumps(spec().to_json()), created_at=1)
        )
        session.add(
            Deployment(
                id=deployment,
                name=name,
                wish="running",
                wish_at=1,
                replicas=1,
                variant_id=variant,
                status="REQUESTED",
                created_at=1,
            )
        )
    return deployment


@contextmanager
def book(store: Store, now: int = NOW) -> Iterator[Book]:
    """The ledger, in one write transaction."""
    with store.write() as session:
        yield Book(session, now)


def main(path: str, launches: str, amount: str) -> None:
    """Try to hold `amount` so many times, each for a deployment of its own; print how often it was possible."""
    with closing(Store(Path(path))) as store:
        held = 0
        for _ in range(int(launches)):
            deployment = deploy(store, ulid().lower())
            with book(store, time.time_ns() // 1_000) as ledger:
                held += not hold(ledger, deployment, int(amount), deployment, "test")
        print(held)


if __name__ == "__main__":
    main(*sys.argv[1:])
