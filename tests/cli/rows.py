"""Deployments in the store as the server would have left them."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.domain.ids import ulid
from app.domain.lifecycle import Phase, State
from app.domain.variant import ModelRef, VariantSpec
from app.store import tables, wishes
from app.store.write import Store

SPEC = VariantSpec(
    ModelRef("SmolLM2-135M-Instruct", "bundled", "/models/smollm2.gguf", size=98_362_432),
    "llama.cpp",
    "process",
    context=4096,
    seqs=4,
    kv_type="f16",
)


def now_us() -> int:
    """UTC microseconds."""
    return time.time_ns() // 1_000


def launch(store: Store, name: str = "demo", replicas: int = 1, **changes: Any) -> tables.Deployment:
    """Wish for a deployment."""
    with store.write() as session:
        return wishes.launch(session, name, replace(SPEC, **changes), replicas, "tester")


def instance(
    store: Store, deployment: tables.Deployment, letter: str = "a", *, attempts: int = 1, **columns: Any
) -> tables.Instance:
    """An instance of the deployment's current variant with `attempts` attempts, serving unless `columns` say else."""
    now = now_us()
    values: dict[str, Any] = {
        "id": ulid(),
        "deployment_id": deployment.id,
        "variant_id": deployment.variant_id,
        "name": f"{deployment.name}-{letter}",
        "backend": "process",
        "state": State.RUNNING,
        "phase": Phase.SERVING,
        "since": now,
        "created_at": now,
    }
    row = tables.Instance(**values | columns)
    with store.write() as session:
        session.add(row)
        session.flush()
        for number in range(1, attempts + 1):
            attempt = tables.Attempt(
                id=ulid(),
                instance_id=row.id,
                number=number,
                epoch=1,
                created_at=now,
                started_at=now,
                ended_at=None if number == attempts and row.state == State.RUNNING else now,
            )
            session.add(attempt)
            row.attempt_id = attempt.id
        session.add(row)
    return row


def failed(code: str, evidence: str, retry_at: int | None = None) -> dict[str, Any]:
    """The columns of an instance that failed."""
    return {
        "state": State.FAILED,
        "phase": Phase.FAILED,
        "failure_code": code,
        "failure_evidence": evidence,
        "failure_count": 1,
        "failed_at": now_us(),
        "retry_at": retry_at,
    }


def write_log(attempts: Path, attempt_id: str | None, text: str) -> Path:
    """The directory of an attempt whose output so far is `text`."""
    assert attempt_id is not None
    directory = attempts / attempt_id
    directory.mkdir(exist_ok=True)
    (directory / "head.log").write_text(text)
    return directory
