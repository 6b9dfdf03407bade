"""A small world for the rules: rows that obey actions as the server obeys them, a backend with faults, a clock.

A *pass* is what the server does when it wakes: look, then decide and record until there is nothing more to record, then
call the backend. An instance is left alone while a call for it is under way, and until a look that is newer than the
call (the server does the same). Every rule that must hold at every moment is asserted here, as the world moves.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from app.domain import reconcile as rules
from app.domain.facts import Attempt, Deployment, Ended, Instance, Seen, Weights, World
from app.domain.lifecycle import Phase, State, allowed

S = 1_000_000
UP = (State.PENDING, State.RUNNING)
Outcome = Literal["done", "lost", "late", "refused", "refused but done"]


@dataclass
class Engine:
    """What the backend holds of one attempt.

    `hidden` is one that appears only after the next look, `stubborn` one that does not end when it is asked to.
    """

    instance_id: str
    started_at: int
    loading: bool = False
    ready: bool = False
    lost: bool = False
    ended: Ended | None = None
    moved_at: int | None = None
    stopping: bool = False
    hidden: bool = False
    stubborn: bool = False


@dataclass
class Model:
    """One deployment, its rows and the world around it. `steady` engines load and answer by the next look."""

    replicas: int = 1
    steady: bool = True
    now: int = 1_000 * S
    resume: bool = False
    deployment: Deployment = field(init=False)
    engines: dict[str, Engine] = field(default_factory=dict)
    refused: dict[str, Ended] = field(default_factory=dict)
    weights: dict[str, Weights] = field(default_factory=dict)
    calls: list[rules.Create | rules.Stop | rules.Release] = field(default_factory=list)
    called: set[str] = field(default_factory=set)
    stops_sent: set[str] = field(default_factory=set)
    drains: set[str] = field(default_factory=set)
    look: dict[str, Engine] = field(default_factory=dict)
    looked: bool = False
    no_room: bool = False
    gateway_up: bool = True
    acknowledging: bool = True
    shutting_down: bool = False
    finished: bool = False
    made: int = 0
    rounds: int = 0
    history: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.deployment = Deployment(
            "d", "demo", "running", self.now, self.replicas, "v1", "REQUESTED", created_at=self.now
        )

    # What people do.

    def wish(self, **columns: object) -> None:
        """Rows that a command writes: `wish`, `stop_now`, `variant_id`, `replicas`, …"""
        self.now += 1
        if "wish" in columns:
            columns["wish_at"] = self.now
        self.deployment = replace(self.deployment, **columns)  # type: ignore[arg-type] # columns by name

    def restart(self) -> None:
        self.now += 1
        self.wish(wish="running", stop_now=False, restart_at=self.now + 1)

    # What the world does.

    def tick(self, seconds: float) -> None:
        self.now += int(seconds * S)

    def end(self, engine: Engine, code: str = "CONTAINER_EXITED", *, rebooted: bool = False) -> None:
        """An engine ends by itself."""
        if engine.ended is None:
            engine.ended = Ended(self.now, code, f"{code} is what it said", exit_code=1, rebooted=rebooted)

    def reboot(self) -> None:
        """The machine goes down and comes up again: every engine ends, and so does the server."""
        for engine in self.engines.values():
            self.end(engine, "KILLED_EXTERNALLY", rebooted=True)
        self.restart_server(lose_calls=True)

    def restart_server(self, *, lose_calls: bool) -> None:
        """What the server kept in memory is gone; calls under way were carried out or not."""
        if lose_calls:
            self.calls.clear()
        self.complete()
        self.stops_sent.clear()
        self.refused.clear()
        self.called.clear()
        self.looked = False

    def acknowledge(self) -> bool:
        """The gateway lets go of every instance it was told to; whether there was one."""
        told = bool(self.drains) and self.gateway_up
        if told:
            self._each(lambda i: replace(i, drained=i.drained or i.id in self.drains))
            self.drains.clear()
        return told

    def complete(self, outcome: Outcome = "done") -> None:
        """Calls under way come to their end."""
        for call in self.calls:
            self.called.add(call.instance_id)
            match call:
                case rules.Create():
                    self._create(call, outcome)
                case rules.Stop() if outcome == "done":
                    self.stops_sent.add(call.attempt_id)
                    if engine := self.engines.get(call.attempt_id):
                        engine.stopping = True
                case rules.Release() if outcome == "done" and call.attempt_id not in self.alive:
                    self.engines.pop(call.attempt_id, None)
                    self._attempt(call.instance_id, released_at=self.now)
        self.calls.clear()

    def _create(self, call: rules.Create, outcome: Outcome) -> None:
        if call.attempt_id not in self.engines and outcome in ("done", "late", "refused but done"):
            siblings = [e for e in self.engines.values() if e.instance_id == call.instance_id and e.ended is None]
            assert not siblings, "two live attempts of one instance"
            self.engines[call.attempt_id] = Engine(call.instance_id, self.now, hidden=outcome == "late")
        if outcome in ("refused", "refused but done"):
            self.refused[call.attempt_id] = Ended(self.now, "ENTRYPOINT_MISSING", "no such file")

    # What the server does.

    def take_look(self) -> None:
        """A successful look: engines have moved on since the last one."""
        for engine in self.engines.values():
            if engine.ended is None and engine.stopping and not engine.stubborn:
                engine.ended = Ended(self.now, "CONTAINER_EXITED", "stopped")
            if self.steady and not engine.hidden:
                engine.loading = engine.ready = True
                engine.lost = False
        self.look = {key: replace(engine) for key, engine in self.engines.items() if not engine.hidden}
        for engine in self.engines.values():
            engine.hidden = False
        self.looked = True
        self.called.clear()

    def world(self, *, looked: bool = True) -> World:
        """What a pass knows: the last look, whatever its age."""
        seen = {
            key: Seen(e.started_at, 7, f"http://{key}", e.loading, e.ready, e.lost, e.ended, e.moved_at, "weights 40 %")
            for key, e in self.look.items()
        }
        refused = {key: Seen(ended.at, ended=ended) for key, ended in self.refused.items() if key not in seen}
        return World(
            now=self.now,
            seen=refused | seen,
            unlooked=frozenset() if looked and self.looked else frozenset({"process"}),
            weights=self.weights,
            busy=frozenset(call.instance_id for call in self.calls) | self.called,
            stops_sent=frozenset(self.stops_sent),
            no_room={"d": "too little memory"} if self.no_room else {},
            gateway_up=self.gateway_up,
            shutting_down=self.shutting_down,
            resume_after_reboot=self.resume,
        )

    def decide(self, *, looked: bool = True) -> list[rules.Action]:
        """Decide and record until there is nothing more to record; everything that was decided."""
        everything: list[rules.Action] = []
        for _ in range(12):
            world = self.world(looked=looked)
            actions = rules.reconcile(self.deployment, world)
            assert actions == rules.reconcile(self.deployment, world)
            if self.finished or not actions:
                return everything
            self.rounds += 1
            self._check(actions, world)
            self.apply(actions)
            everything += actions
            if all(isinstance(a, rules.Create | rules.Stop | rules.Release | rules.Fetch) for a in actions):
                return everything
        raise AssertionError(f"no end of rows to record: {actions}")

    def run_pass(self) -> bool:
        """A pass in which nothing goes wrong: a fresh look; calls, copies and drains come to their end.

        True if it did anything.
        """
        under_way = bool(self.calls)
        self.take_look()
        actions = self.decide()
        self.complete()
        acknowledged = self.acknowledging and self.acknowledge()
        arrived = [variant_id for variant_id, weights in self.weights.items() if weights.copying]
        for variant_id in arrived:
            del self.weights[variant_id]
        return bool(under_way or actions or arrived or acknowledged)

    def settle(self, most: int = 60) -> int:
        """Passes, a second apart, until one does nothing; how many did something. Waits for retries, too."""
        passes = 0
        while True:
            while self.run_pass():
                passes += 1
                assert passes <= most, "no fixed point"
                self.tick(1)
            retries = [i.retry_at for i in self.instances if i.retry_at is not None and i.retry_at > self.now]
            if not retries:
                return passes
            self.now = min(retries)
            before = self.rounds
            self.run_pass()
            if self.rounds == before:  # a retry that waits for something else: a rollout's room, or a person
                return passes

    # Rows.

    @property
    def instances(self) -> tuple[Instance, ...]:
        return self.deployment.instances

    @property
    def serving(self) -> list[Instance]:
        return [i for i in self.instances if i.phase is Phase.SERVING]

    @property
    def alive(self) -> list[str]:
        """Attempts whose engines run."""
        return [key for key, engine in self.engines.items() if engine.ended is None]

    def engine(self, index: int = 0) -> Engine:
        """The engine of the instance with this index."""
        attempt = self.instances[index].attempt
        assert attempt is not None
        return self.engines[attempt.id]

    def apply(self, actions: Sequence[rules.Action]) -> None:
        """What the server's recorder and its calls do with actions."""
        for action in actions:
            match action:
                case rules.Add():
                    self.made += 1
                    new = Instance(
                        id=f"i{self.made:03}",
                        name=f"demo-{self.made}",
                        variant_id=self.deployment.variant_id,
                        backend="process",
                        state=State.NON_BOOTSTRAP,
                        phase=Phase.REGISTERING,
                        since=self.now,
                        created_at=self.now,
                    )
                    self.deployment = replace(self.deployment, instances=(*self.instances, new))
                case rules.Change():
                    self._change(action)
                case rules.Begin():
                    self._begin(action)
                case rules.Fetch():
                    self.weights[action.variant_id] = Weights(present=False, copying=True)
                case rules.Create() | rules.Stop() | rules.Release():
                    assert action.instance_id not in {call.instance_id for call in self.calls}
                    self.calls.append(action)
                case rules.Remove():
                    self._remove(action.instance_id)
                case rules.Finish():
                    assert not self.instances
                    self.finished = True

    def _change(self, action: rules.Change) -> None:
        instance = self._find(action.instance_id)
        if action.attempt:
            self._attempt(instance.id, **{k: v for k, v in action.attempt.items() if k != "kept"})
        columns = dict(action.instance)
        if "served" in columns:
            columns["served"] = bool(columns["served"])
        if action.to is not None:
            columns |= self._moved(instance, *action.to, action.cause)
        if action.drain:
            self.drains.add(instance.id)
            columns["drained"] = False
        self._put(replace(self._find(instance.id), **columns))

    def _begin(self, action: rules.Begin) -> None:
        instance = self._find(action.instance_id)
        last = instance.attempt
        assert last is None or (last.ended_at is not None and last.released_at is not None)
        number = 1 if last is None else last.number + 1
        attempt = Attempt(f"{instance.id}-{number:03}", number, self.now)
        count = 0 if action.forgive else instance.failure_count
        columns = self._moved(instance, State.PENDING, Phase.ALLOCATING, action.cause)
        self._put(
            replace(
                instance,
                attempt=attempt,
                failure_count=count,
                retry_at=None,
                drain_until=None,
                drained=False,
                **columns,  # type: ignore[arg-type] # state, phase and since
            )
        )
        if (weights := self.weights.get(instance.variant_id)) and weights.code:
            self.weights[instance.variant_id] = Weights(present=False)

    def _remove(self, instance_id: str) -> None:
        for key in [k for k, e in self.engines.items() if e.instance_id == instance_id]:
            assert self.engines[key].ended is not None or self.deployment.forget, "removed while it runs"
            del self.engines[key]
        self.deployment = replace(self.deployment, instances=tuple(i for i in self.instances if i.id != instance_id))

    def _moved(self, instance: Instance, state: State, phase: Phase, cause: str) -> dict[str, object]:
        before = self._find(instance.id)
        assert allowed(before.state, before.phase, state, phase), f"{before.phase} → {phase} ({cause})"
        self.history.append((instance.id, phase.value))
        return {"state": state, "phase": phase, "since": self.now}

    def _attempt(self, instance_id: str, **columns: object) -> None:
        instance = self._find(instance_id)
        assert instance.attempt is not None
        changed = replace(instance.attempt, **columns)  # type: ignore[arg-type] # columns by name
        self._put(replace(instance, attempt=changed))

    def _find(self, instance_id: str) -> Instance:
        return next(i for i in self.instances if i.id == instance_id)

    def _put(self, instance: Instance) -> None:
        self._each(lambda i: instance if i.id == instance.id else i)

    def _each(self, change: Callable[[Instance], Instance]) -> None:
        self.deployment = replace(self.deployment, instances=tuple(map(change, self.instances)))

    # What must hold of every decision.

    def _check(self, actions: Sequence[rules.Action], world: World) -> None:
        if world.unlooked:
            touched = [a for a in actions if not isinstance(a, rules.Add | rules.Finish)]
            assert all(isinstance(a, rules.Remove) and self.deployment.forget for a in touched)
        assert not {a.instance_id for a in actions if hasattr(a, "instance_id")} & world.busy
        self._check_room(actions)
        self._check_service(actions)

    def _check_room(self, actions: Sequence[rules.Action]) -> None:
        """No start makes more replicas live than are wished, and one for a rollout if there is room."""
        begun = sum(isinstance(a, rules.Begin) for a in actions)
        if begun:
            up = sum(i.state in UP for i in self.instances) + begun
            assert up <= self.deployment.replicas + (0 if self.no_room else 1), f"{up} live"

    def _check_service(self, actions: Sequence[rules.Action]) -> None:
        """While it should run, nothing that serves is taken down unless enough others serve."""
        if self.deployment.wish != "running" or self.shutting_down:
            return
        given_up = sum(
            isinstance(a, rules.Change)
            and self._find(a.instance_id).phase is Phase.SERVING
            and (a.to == (State.RUNNING, Phase.DRAINING) or "stop_at" in a.attempt)
            for a in actions
        )
        asked = self.deployment.restart_at or 0
        restarting = any(
            i.attempt and i.attempt.ended_at is None and i.attempt.created_at < asked for i in self.instances
        )
        spare = int(self.no_room) + int(restarting)
        enough = min(self.deployment.replicas, len(self.serving)) - spare
        assert len(self.serving) - given_up >= enough, "a replica that serves was given up too early"


def up(replicas: int = 1, *, acknowledging: bool = True, gateway_up: bool = True, resume: bool = False) -> Model:
    """A deployment whose replicas all serve."""
    model = Model(replicas, acknowledging=acknowledging, gateway_up=gateway_up, resume=resume)
    model.settle()
    assert len(model.serving) == replicas
    return model


def phases(model: Model) -> list[str]:
    """Every phase that an instance went through, in order."""
    return [phase for _, phase in model.history]
