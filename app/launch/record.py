"""A plan becomes a wish: one transaction, with the variables' values in their file before the row that names it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from sqlmodel import Session, col, select

from app.domain.variant import VariantSpec
from app.launch.environment import drop_environment, keep_environment
from app.launch.hub import of_shell
from app.launch.options import Options
from app.launch.plan import Plan, free_name
from app.settings import Home
from app.store import wishes
from app.store.tables import Deployment


def record_launch(session: Session, home: Home, plan: Plan, options: Options, actor: str) -> Deployment:
    """Wish for what `plan` says; the row. Raises what failed in the plan, and NAME_TAKEN.

    A name that was made from the model's is made again here, where nobody else can take it meanwhile.
    """
    plan.require()
    if options.name is None:
        taken = session.exec(select(Deployment.name).where(col(Deployment.gone_at).is_(None))).all()
        plan = replace(plan, name=free_name(plan.base, taken))
    with _environment(home, plan, options) as spec:
        return wishes.launch(session, plan.name, spec, plan.replicas, actor)


def record_change(session: Session, home: Home, plan: Plan, options: Options, actor: str) -> int:
    """Wish for the variant that `plan` says; its number. Raises what failed in the plan, and NOT_FOUND."""
    with _environment(home, plan, options) as spec:
        return wishes.change(session, plan.name, spec, plan.replicas, actor)


@contextmanager
def _environment(home: Home, plan: Plan, options: Options) -> Iterator[VariantSpec]:
    """The plan's configuration with its variables kept; nothing of them stays if the wish is refused."""
    planned = plan.require()
    spec = keep_environment(home, planned, of_shell(options, home).env)
    try:
        yield spec
    except BaseException:
        if spec.env_file != planned.env_file:
            drop_environment(home, spec)
        raise
