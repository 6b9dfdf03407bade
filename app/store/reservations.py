"""Setting GPU memory aside before anything starts there: looked up and promised in one transaction."""

import time
from collections.abc import Sequence
from dataclasses import replace

from sqlmodel import Session, col, delete

from app.domain.failures import StokerError
from app.domain.offers import GIB, Slot
from app.store.hosts import HELD, by_gpu
from app.store.tables import Deployment, Reservation


def reserve(
    session: Session,
    deployment: Deployment,
    host: str,
    slots: Sequence[Slot],
    need: int,
    instance_id: str | None = None,
) -> None:
    """Set `need` bytes aside of each of `slots`, in place of what this deployment or instance had set aside before.

    Raises GPU_INCOMPATIBLE, naming who has what is missing. `slots` say what there was when they were looked at; what
    others of ours have been promised since is read here, where nobody else can promise it.
    """
    session.flush()
    same = Reservation.instance_id == instance_id if instance_id else col(Reservation.instance_id).is_(None)
    session.exec(delete(Reservation).where(col(Reservation.deployment_id) == deployment.id, same))  # type: ignore[arg-type]  # SQLModel types a comparison of columns as bool
    held = by_gpu(session.connection().exec_driver_sql(HELD).fetchall())
    for slot in slots:
        now = replace(slot, viewer=deployment.name).declaring(held.get((host, slot.id), {}))
        if now.free < need:
            raise taken(host, now, need)
        session.add(
            Reservation(
                deployment_id=deployment.id,
                instance_id=instance_id,
                host=host,
                gpu=slot.id,
                bytes=need,
                total=slot.total,
                created_at=time.time_ns() // 1_000,
            )
        )
    session.flush()


def taken(host: str, slot: Slot, need: int) -> StokerError:
    """That a GPU has not what is needed, and who has it."""
    room = f"{slot.free / GIB:.1f} of {slot.total / GIB:.1f} GiB free, {need / GIB:.1f} are needed"
    by = f"; held by {slot.held}" if slot.held else ""
    return StokerError("GPU_INCOMPATIBLE", f"GPU {slot.index} of {host} has {room}{by}.")
