"""Setting GPU memory aside before anything starts there: looked up and promised in one transaction."""

import json
import time
from collections.abc import Sequence
from dataclasses import replace

from sqlmodel import Session, col, delete, select

from app.domain.offers import GIB, Slot, short_of
from app.store.hosts import HELD, by_gpu
from app.store.tables import Deployment, HostLook, Reservation


def reserve(
    session: Session,
    deployment: Deployment,
    host: str,
    slots: Sequence[Slot],
    need: int | None,
    instance_id: str | None = None,
    *,
    force: bool = False,
) -> None:
    """Set `need` bytes aside of each of `slots`, in place of what this deployment or instance had set aside before.

    None is all that is free, a GiB at the least; with `force` what is free will do. Raises GPU_INCOMPATIBLE, naming who
    has what is missing. `slots` say what there was when they were looked at; what others of ours have been promised
    since is read here, where nobody else can promise it.
    """
    release(session, deployment, instance_id)
    held = by_gpu(session.connection().exec_driver_sql(HELD).fetchall())
    for slot in slots:
        now = replace(slot, viewer=deployment.name).declaring(held.get((host, slot.id), {}))
        if now.free < (need or GIB) and not force:
            raise short_of(now, host, need or GIB)
        session.add(
            Reservation(
                deployment_id=deployment.id,
                instance_id=instance_id,
                host=host,
                gpu=slot.id,
                bytes=now.free if need is None else min(need, now.free),
                total=slot.total,
                created_at=time.time_ns() // 1_000,
            )
        )
    session.flush()


def release(session: Session, deployment: Deployment, instance_id: str | None = None) -> None:
    """Give up what this deployment has set aside for all its replicas, or for one of them."""
    session.flush()
    same = Reservation.instance_id == instance_id if instance_id else col(Reservation.instance_id).is_(None)
    session.exec(delete(Reservation).where(col(Reservation.deployment_id) == deployment.id, same))  # type: ignore[arg-type]  # SQLModel types a comparison of columns as bool


def confirm(session: Session, deployment: Deployment) -> None:
    """Take again what was set aside for a deployment that was stopped. Raises GPU_INCOMPATIBLE if others have it."""
    session.flush()
    mine = (Reservation.deployment_id == deployment.id, col(Reservation.instance_id).is_(None))
    held = by_gpu(session.connection().exec_driver_sql(HELD).fetchall())
    for row in session.exec(select(Reservation).where(*mine)).all():
        shares = held.get((row.host, row.gpu), {})
        slot = Slot(_number(session, row), row.gpu, row.total, row.total, viewer=deployment.name)
        others = {name: size for name, size in shares.items() if name != deployment.name}
        if (now := slot.declaring(others)).free < row.bytes:
            raise short_of(now, row.host, row.bytes)


def _number(session: Session, row: Reservation) -> int:
    """What its host calls the GPU of a reservation."""
    look = session.get(HostLook, row.host)
    gpus = [] if look is None else json.loads(look.look)["gpus"]
    return next((gpu["index"] for gpu in gpus if gpu["uuid"] == row.gpu), int(row.gpu) if row.gpu.isdecimal() else 0)
