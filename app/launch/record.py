"""A plan becomes a wish: one transaction, with the variables' values in their file before the row that names it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from sqlmodel import Session, col, select

from app.domain.variant import VariantSpec
from app.launch.environment import drop_environment, keep_environment
from app.launch.options import Options
from app.launch.plan import Plan, free_name
from app.settings import Home
from app.store import keys, wishes
from app.store.tables import Deployment


@dataclass(frozen=True, slots=True)
class Launched:
    """A deployment that was wished for, with the key that was made for it, if one was."""

    name: str
    id: str
    key: keys.Made | None


def record_launch(
    session: Session, home: Home, plan: Plan, options: Options, actor: str, *, with_key: bool
) -> Launched:
    """Wish for what `plan` says. Raises what failed in the plan, and NAME_TAKEN.

    A name that was made from the model's is made again here, where nobody else can take it meanwhile.
    """
    plan.require()
    if options.name is None:
        taken = session.exec(select(Deployment.name).where(col(Deployment.gone_at).is_(None))).all()
        plan = replace(plan, name=free_name(plan.base, taken))
    with _environment(home, plan, options) as spec:
        deployment = wishes.launch(session, plan.name, spec, plan.replicas, actor)
        made = keys.create(session, plan.name, (plan.name,), None) if with_key else None
        return Launched(plan.name, deployment.id, made)


def record_change(session: Session, home: Home, plan: Plan, options: Options, actor: str) -> int:
    """Wish for the variant that `plan` says; its number. Raises what failed in the plan, and NOT_FOUND."""
    with _environment(home, plan, options) as spec:
        return wishes.change(session, plan.name, spec, plan.replicas, actor)


@contextmanager
def _environment(home: Home, plan: Plan, options: Options) -> Iterator[VariantSpec]:
    """The plan's configuration with its variables kept; nothing of them stays if the wish is refused."""
    planned = plan.require()
    spec = keep_environment(home, planned, options.env)
    try:
        yield spec
    except BaseException:
        if spec.env_file != planned.env_file:
            drop_environment(home, spec)
        raise
