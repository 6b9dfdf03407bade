"""Actions become rows: every pass is one transaction, fenced by the lease, with an event for each transition.

What a pass decides to do outside (create, stop, release) is not done here; its intent is what this commits first.
"""

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict

from sqlmodel import Session, col, select

from app.control.places import Market
from app.domain import reconcile as rules
from app.domain.facts import Deployment as DeploymentFacts
from app.domain.failures import StokerError, retry_delay_us
from app.domain.ids import ulid
from app.domain.lifecycle import Phase, State, allowed
from app.domain.placement import Placement
from app.domain.status import Status, derive
from app.domain.text import clean_text
from app.domain.variant import VariantSpec
from app.store import tables
from app.store.jobs import FETCH_DEADLINE_US, submit
from app.store.purse import hold_attempt

ACTOR = "server"

log = logging.getLogger(__name__)


class Recorder:
    """Applies the actions of one pass to the rows of one deployment, inside the caller's transaction.

    `market` is where attempts are placed that may run anywhere. `held_back` says that an attempt was not begun, because
    no hour of it could be held.
    """

    def __init__(self, session: Session, deployment: DeploymentFacts, epoch: int, now: int, market: Market) -> None:
        self.session = session
        self.facts = deployment
        self.row = session.get_one(tables.Deployment, deployment.id)
        self.epoch = epoch
        self.now = now
        self.market = market
        self.held_back = False

    def apply(self, actions: Iterable[rules.Action]) -> None:
        """Record what the rows must say before and after the outside world is touched."""
        self._record_status()
        for action in actions:
            match action:
                case rules.Add():
                    self._add()
                case rules.Change():
                    self._change(action)
                case rules.Begin():
                    self._begin(action)
                case rules.Fetch():
                    submit(self.session, "fetch", {"variant_id": action.variant_id}, FETCH_DEADLINE_US)
                case rules.Remove():
                    self._remove(action.instance_id)
                case rules.Finish():
                    self.row.gone_at = self.now
                    self._note(self.row.name, self.row.status, "GONE", "removed")
                case rules.Create() | rules.Stop() | rules.Release():
                    pass
            self.session.flush()
        self._record_status()
        self.session.add(self.row)

    def _add(self) -> None:
        spec = self._spec(self.row.variant_id)
        taken = {row.name for row in self._instances()}
        name = next(n for i in range(1_000_000) if (n := f"{self.row.name}-{_letters(i)}") not in taken)
        instance = tables.Instance(
            id=ulid(),
            deployment_id=self.row.id,
            variant_id=self.row.variant_id,
            name=name,
            backend=spec.place,
            state=State.NON_BOOTSTRAP,
            phase=Phase.REGISTERING,
            since=self.now,
            created_at=self.now,
        )
        self.session.add(instance)
        self._note(name, None, f"{State.NON_BOOTSTRAP}/{Phase.REGISTERING}", "a replica is wanted")

    def _change(self, action: rules.Change) -> None:
        instance = self.session.get_one(tables.Instance, action.instance_id)
        for name, value in action.instance.items():
            setattr(instance, name, clean_text(value) if isinstance(value, str) else value)
        if action.attempt and instance.attempt_id is not None:
            attempt = self.session.get_one(tables.Attempt, instance.attempt_id)
            for name, value in action.attempt.items():
                setattr(attempt, name, value)
            self.session.add(attempt)
        if action.to is not None:
            self._move(instance, *action.to, action.cause, action.detail)
        if action.drain:
            self.session.add(instance)
            self.session.flush()
            instance.drain_generation = self._edge_generation()
        self.session.add(instance)
        if action.to is not None:
            self.session.flush()
            self._record_status()
        if action.instance.get("failure_code") == "MODEL_LOAD_ERROR":
            self._suspect(instance)

    def _suspect(self, instance: tables.Instance) -> None:
        """Have the files compared with their checksums that an engine could not load."""
        if self._spec(instance.variant_id).model.files:
            payload = {"variant_id": instance.variant_id, "instance_id": instance.id}
            submit(self.session, "verify", payload, FETCH_DEADLINE_US)

    def _spec(self, variant_id: str) -> VariantSpec:
        return VariantSpec.from_json(json.loads(self.session.get_one(tables.Variant, variant_id).spec))

    def _begin(self, action: rules.Begin) -> None:
        instance = self.session.get_one(tables.Instance, action.instance_id)
        # What is set aside for it where it goes is given back if there is no money for it there.
        with self.session.begin_nested() as kept:
            placement, refused = self._place(instance)
            hour = None if placement is None else placement.price
            if refused is None and not hold_attempt(self.session, instance, ACTOR, hour):
                kept.rollback()
                self.held_back = True
                return
        last = self.session.exec(
            select(tables.Attempt.number)
            .where(tables.Attempt.instance_id == instance.id)
            .order_by(col(tables.Attempt.number).desc())
        ).first()
        attempt = tables.Attempt(
            id=ulid(),
            instance_id=instance.id,
            number=(last or 0) + 1,
            epoch=self.epoch,
            created_at=self.now,
            placement=None if placement is None else json.dumps(asdict(placement)),
        )
        self.session.add(attempt)
        self.session.flush()
        instance.attempt_id = attempt.id
        instance.retry_at = instance.drain_generation = instance.drain_until = None
        instance.failure_count = 0 if action.forgive else instance.failure_count
        where = ""
        if placement is not None:
            instance.backend, instance.unreachable_since = placement.place, None
            where = f" on {placement.words}"
        self._move(instance, State.PENDING, Phase.ALLOCATING, action.cause, f"attempt {attempt.number}{where}")
        if refused is not None:
            self._nowhere(instance, attempt, refused)
        self.session.add(instance)

    def _place(self, instance: tables.Instance) -> tuple[Placement | None, StokerError | None]:
        """Where a new attempt goes that may run anywhere, or why that is nowhere; neither where its variant says it."""
        wanted = self._spec(instance.variant_id).smart
        if wanted is None:
            return None, None
        try:
            return self.market.place(self.session, self.row, instance, wanted), None
        except StokerError as error:
            return None, error

    def _nowhere(self, instance: tables.Instance, attempt: tables.Attempt, refused: StokerError) -> None:
        """Record an attempt that ended before there was a place for it."""
        evidence = clean_text(f"{refused.message} {refused.remedy}")
        attempt.ended_at = attempt.released_at = self.now
        attempt.failure_code = refused.code
        instance.failure_count += 1
        delay = retry_delay_us(refused.code, instance.failure_count, bool(instance.served))
        instance.failure_code, instance.failure_evidence = refused.code, evidence
        instance.failed_at, instance.retry_at = self.now, None if delay is None else self.now + delay
        self._move(instance, State.FAILED, Phase.FAILED, refused.code, evidence)
        self.session.add(attempt)

    def _remove(self, instance_id: str) -> None:
        instance = self.session.get_one(tables.Instance, instance_id)
        instance.gone_at = self.now
        if instance.attempt_id is not None:
            attempt = self.session.get_one(tables.Attempt, instance.attempt_id)
            attempt.ended_at = attempt.ended_at or self.now
            attempt.released_at = attempt.released_at or self.now
            self.session.add(attempt)
        self.session.add(instance)
        self._note(instance.name, f"{instance.state}/{instance.phase}", "gone", "nothing of it is left")

    def _move(self, instance: tables.Instance, state: State, phase: Phase, cause: str, detail: str) -> None:
        before = State(instance.state), Phase(instance.phase)
        if not allowed(*before, state, phase):
            raise RuntimeError(f"{instance.name}: {before} may not become {state}/{phase}")
        instance.state, instance.phase, instance.since = state, phase, self.now
        self._note(instance.name, f"{before[0]}/{before[1]}", f"{state}/{phase}", cause, detail)

    def _record_status(self) -> None:
        """Note the deployment's derived status if it is not the one that was noted last."""
        status, detail = derive(self.row.wish, self.row.replicas, self._instances())
        if status != self.row.status:
            cause = {Status.DEPLOYED: "an instance serves"}.get(status, "derived from its instances")
            self._note(self.row.name, self.row.status, status, cause, detail)
            self.row.status = status
            self.session.add(self.row)

    def _instances(self) -> list[tables.Instance]:
        where = tables.Instance.deployment_id == self.row.id, col(tables.Instance.gone_at).is_(None)
        return list(self.session.exec(select(tables.Instance).where(*where).order_by(tables.Instance.id)))

    def _edge_generation(self) -> int:
        return self.session.exec(select(tables.Generation.value).where(tables.Generation.name == "edge")).one()

    def _note(self, subject: str, before: str | None, after: str, cause: str, detail: str = "") -> None:
        log.info("%s: %s → %s (%s) %s", subject, before, after, cause, detail)
        event = tables.Event(
            at=self.now,
            deployment_id=self.row.id,
            subject=subject,
            from_state=before,
            to_state=after,
            cause=clean_text(cause),
            actor=ACTOR,
            detail=clean_text(detail),
        )
        self.session.add(event)


def _letters(index: int) -> str:
    """0 → a, 25 → z, 26 → aa: the names of replicas."""
    text = ""
    index += 1
    while index:
        index, digit = divmod(index - 1, 26)
        text = chr(ord("a") + digit) + text
    return text


def note_moved(session: Session, instance_id: str, detail: str, now: int) -> None:
    """Note, once for each digest, that the tag of an instance's image stands for something else by now."""
    instance = session.get_one(tables.Instance, instance_id)
    told = col(tables.Event.detail) == clean_text(detail), tables.Event.deployment_id == instance.deployment_id
    if session.exec(select(tables.Event.id).where(*told)).first() is None:
        event = tables.Event(
            at=now,
            deployment_id=instance.deployment_id,
            subject=instance.name,
            to_state=f"{instance.state}/{instance.phase}",
            cause="the tag of its image has moved",
            actor=ACTOR,
            detail=clean_text(detail),
        )
        session.add(event)


def mark_released(session: Session, attempt_ids: Iterable[str], now: int) -> None:
    """Note that the backend no longer holds anything for these attempts."""
    for attempt_id in attempt_ids:
        attempt = session.get_one(tables.Attempt, attempt_id)
        attempt.released_at = now
        session.add(attempt)


def mark_damaged(session: Session, instance_id: str, evidence: str) -> None:
    """Note what is wrong with the files that an instance could not load, if that is still why it failed."""
    instance = session.get(tables.Instance, instance_id)
    if instance is not None and instance.state == State.FAILED and instance.failure_code == "MODEL_LOAD_ERROR":
        instance.failure_evidence = clean_text(evidence)
        session.add(instance)


def mark_reachable(session: Session, backend: str, since: int | None) -> None:
    """Note since when the instances of a backend cannot be observed, None when they can. What is known stays: a server
    that begins while a host is away has not lost sight of it itself."""
    where = tables.Instance.backend == backend, col(tables.Instance.gone_at).is_(None)
    for instance in session.exec(select(tables.Instance).where(*where)):
        if since is None or instance.unreachable_since is None:
            instance.observed_at = since if since is not None else instance.observed_at
            instance.unreachable_since = since
            session.add(instance)
