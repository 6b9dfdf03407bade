"""A plan becomes a wish: one transaction, with the variables' values in their file before the row that names it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from sqlmodel import Session, col, select

from app.domain.variant import VariantSpec
from app.launch.claims import Claim
from app.launch.environment import drop_environment, keep_environment
from app.launch.hub import of_shell
from app.launch.options import Options
from app.launch.plan import Plan
from app.launch.planning import free_name
from app.settings import Home
from app.store import wishes
from app.store.reservations import release, reserve
from app.store.tables import Deployment


def record_launch(session: Session, home: Home, plan: Plan, options: Options, actor: str) -> Deployment:
    """Wish for what `plan` says; the row.

    Raises what failed in the plan, NAME_TAKEN, and GPU_INCOMPATIBLE where somebody has taken its GPU meanwhile.

    A name that was made from the model's is made again here, where nobody else can take it meanwhile.
    """
    plan.require()
    if options.name is None:
        taken = session.exec(select(Deployment.name).where(col(Deployment.gone_at).is_(None))).all()
        plan = replace(plan, name=free_name(plan.base, taken))
    with _environment(home, plan, options) as spec:
        deployment = wishes.launch(session, plan.name, _on(plan.claim, spec), plan.replicas, actor)
        set_aside(session, deployment, plan.claim)
        return deployment


def record_change(session: Session, home: Home, plan: Plan, options: Options, actor: str) -> int:
    """Wish for the variant that `plan` says; its number. Raises what failed in the plan, and NOT_FOUND."""
    with _environment(home, plan, options) as spec:
        number = wishes.change(session, plan.name, _on(plan.claim, spec), plan.replicas, actor)
        set_aside(session, wishes.find(session, plan.name), plan.claim)
        return number


def set_aside(session: Session, deployment: Deployment, claim: Claim | None) -> None:
    """Set aside what a plan claims, in place of what the deployment had. Raises GPU_INCOMPATIBLE, naming who has it."""
    if claim is None:
        release(session, deployment)
    else:
        reserve(session, deployment, claim.host, claim.slots, claim.need, force=claim.forced)


def _on(claim: Claim | None, spec: VariantSpec) -> VariantSpec:
    """`spec` on the GPUs that are claimed for it."""
    return spec if claim is None else claim.pinned(spec)


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
