"""Setting GPU memory aside before anything starts there: looked up and promised in one transaction."""

import time
from collections.abc import Sequence

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
    """Set `need` bytes aside of each of `slots`, in place of what this deployment or instance had there before.

    Raises GPU_INCOMPATIBLE, naming who has what is missing. What the driver has free is in `slots`; what others of
    ours have been promised meanwhile is read here, where nobody else can promise it.
    """
    session.flush()
    same = Reservation.instance_id == instance_id if instance_id else col(Reservation.instance_id).is_(None)
    session.exec(delete(Reservation).where(col(Reservation.deployment_id) == deployment.id, same))  # type: ignore[arg-type]  # SQLModel types a comparison of columns as bool
    held = by_gpu(session.connection().exec_driver_sql(HELD).fetchall())
    for slot in slots:
        promised = held.get((host, slot.id), {})
        free = max(0, min(slot.free, slot.total - sum(promised.values())))
        if free < need:
            raise _taken(host, slot, need, free, sorted(promised))
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


def _taken(host: str, slot: Slot, need: int, free: int, names: Sequence[str]) -> StokerError:
    holders = ", ".join(dict.fromkeys((*names, *filter(None, slot.held.split(", ")))))
    room = f"{free / GIB:.1f} of {slot.total / GIB:.1f} GiB free, {need / GIB:.1f} are needed"
    by = f"; held by {holders}" if holders else ""
    return StokerError("GPU_INCOMPATIBLE", f"GPU {slot.index} of {host} has {room}{by}.")
