"""Which replica serves a request: the least loaded with room, a short queue when there is none, and the reasons why."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Iterator

from app.domain.facts import Deployment, Instance
from app.domain.lifecycle import Phase, State
from app.domain.status import Status, derive
from app.domain.text import safe
from app.gateway.errors import EdgeError
from app.gateway.snapshot import Snapshot
from app.gateway.upstream import Upstream
from app.settings import EdgeSettings

QUEUE_LENGTH = 30
"""A queue holds this many requests, or twice what the replicas take at once if that is more (DESIGN §8)."""
QUARANTINE_S = 30.0
STRIKES = 3
"""Connections refused or reset in a row that put a replica into quarantine."""
RETRY_AFTER_S = 2
"""What a refused client is told while nothing was measured."""
RETRY_AFTER_MOST_S = 60
PACE_WINDOW_S = 60.0
"""How far back the pace is measured at which requests are finished."""

_LEAVING = (Phase.DRAINING, Phase.STOPPING)


class Replica:
    """One attempt of an instance, as a place to send requests to. Lives across snapshots, as long as it is used."""

    def __init__(self, deployment_id: str, instance: Instance, attempt_id: str, upstream: Upstream) -> None:
        self.deployment_id = deployment_id
        self.variant_id = instance.variant_id
        self.instance_id = instance.id
        self.name = instance.name
        self.attempt_id = attempt_id
        self.upstream = upstream
        self.cap = 1
        self.in_flight = 0
        self.strikes = 0
        self.quarantined_until = -math.inf


def route_to(deployment_id: str, variant_id: str | None) -> str:
    """The id of the route to a deployment, or to those of its replicas that run one variant."""
    return deployment_id if variant_id is None else f"{deployment_id}@{variant_id}"


class Route:
    """A deployment, the replicas that serve it now, and the requests that wait for one.

    With `variant_id` only the replicas of that variant; `name` is what requests call it.
    """

    def __init__(self, variant_id: str | None, name: str, deployment: Deployment) -> None:
        self.variant_id = variant_id
        self.name = name
        self.deployment = deployment
        self.replicas: list[Replica] = []
        self.waiting: deque[asyncio.Future[Replica]] = deque()
        self.released: deque[float] = deque(maxlen=64)

    @property
    def instances(self) -> list[Instance]:
        """The instances it is about, serving or not."""
        return [i for i in self.deployment.instances if self.variant_id in (None, i.variant_id)]

    def pick(self, now: float, exclude: frozenset[str] = frozenset()) -> Replica | None:
        """The replica with the fewest requests that has room; one in quarantine only if there is no other at all."""
        able = [replica for replica in self.replicas if replica.quarantined_until <= now] or self.replicas
        free = [r for r in able if r.in_flight < r.cap and r.attempt_id not in exclude]
        return min(free, key=_load) if free else None

    def retry_after(self, now: float) -> int:
        """Seconds until the queue has probably moved on, from the pace at which requests were finished lately."""
        while self.released and self.released[0] < now - PACE_WINDOW_S:
            self.released.popleft()
        if len(self.released) < 2:
            return RETRY_AFTER_S
        pace = len(self.released) / max(now - self.released[0], 0.001)
        return max(1, min(math.ceil((len(self.waiting) + 1) / pace), RETRY_AFTER_MOST_S))


class Router:
    """All routes. Used by the event loop only. `on_drained` is told each instance that is leaving, and the generation
    as of which nothing more is sent to it, once nothing is in flight there."""

    def __init__(self, settings: EdgeSettings, on_drained: Callable[[str, int], None]) -> None:
        self._settings = settings
        self._on_drained = on_drained
        self._routes: dict[str, Route] = {}
        self._replicas: dict[str, Replica] = {}
        self._leaving: set[str] = set()
        self._generation = 0

    def replace(self, snapshot: Snapshot) -> None:
        """Route by `snapshot` from now on. Requests in flight and in queues keep their places."""
        self._generation = snapshot.generation
        routes: dict[str, Route] = {}
        current: set[str] = set()
        self._leaving = set()
        for deployment in snapshot.deployments.values():
            own = self._renew(routes, deployment, None, deployment.name)
            for instance in deployment.instances:
                name = f"{deployment.name}@{snapshot.numbers[instance.variant_id]}"
                of_variant = self._renew(routes, deployment, instance.variant_id, name)
                replica = self._place(deployment, instance, snapshot)
                if replica is not None:
                    current.add(replica.attempt_id)
                    if deployment.wish == "running" and _routable(instance):
                        own.replicas.append(replica)
                        of_variant.replicas.append(replica)
                if instance.phase in _LEAVING:
                    self._leaving.add(instance.id)
        self._routes = routes
        self._forget_all_but(current)
        for instance_id in self._leaving:
            self._check_drained(instance_id)
        for route in routes.values():
            self._serve_waiting(route)

    def check_times(self) -> None:
        """Close connections to engines that are idle, end answers that are late. Called about every second."""
        now = time.monotonic()
        for replica in self._replicas.values():
            replica.upstream.check_times(now)

    async def acquire(self, route_id: str) -> Replica:
        """A place at a replica of a route, to be given back by `release`; waits in the queue for it if need be.

        Raises DEPLOYMENT_STOPPED, or NO_CAPACITY with the reason for each replica.
        """
        route = self._routes.get(route_id)
        if route is None:
            raise EdgeError("DEPLOYMENT_STOPPED", "The deployment is gone.", "Launch it again.")
        now = time.monotonic()
        if not route.waiting and (replica := route.pick(now)) is not None:
            replica.in_flight += 1
            return replica
        self._refuse_hopeless(route)
        room = sum(replica.cap for replica in route.replicas)
        if len(route.waiting) >= max(QUEUE_LENGTH, 2 * room):
            raise self._no_capacity(route)
        return await self._queue(route)

    def acquire_other(self, route_id: str, tried: frozenset[str]) -> Replica | None:
        """A place at a replica whose attempt is not in `tried`, if there is one free at once."""
        route = self._routes.get(route_id)
        replica = route and route.pick(time.monotonic(), tried)
        if not replica:
            return None
        replica.in_flight += 1
        return replica

    def passed_over(self, route_id: str, chosen: Replica) -> str:
        """Why no other replica was chosen, by name; empty if there is no other."""
        route = self._routes.get(route_id)
        if route is None or len(instances := route.instances) < 2:
            return ""
        now = time.monotonic()
        places = {replica.instance_id: replica for replica in route.replicas}
        others = (i for i in instances if i.id != chosen.instance_id)
        return "; ".join(f"{i.name}: {_reason(i, places.get(i.id), now)}" for i in others)

    def release(self, replica: Replica) -> None:
        """Give a place back."""
        replica.in_flight -= 1
        for variant_id in (None, replica.variant_id):
            if route := self._routes.get(route_to(replica.deployment_id, variant_id)):
                route.released.append(time.monotonic())
                if route.waiting:
                    self._serve_waiting(route)
        if replica.instance_id in self._leaving:
            self._check_drained(replica.instance_id)

    def strike(self, replica: Replica) -> None:
        """Note that the replica refused or reset a connection."""
        replica.strikes += 1
        if replica.strikes >= STRIKES:
            replica.strikes = 0
            replica.quarantined_until = time.monotonic() + QUARANTINE_S

    def status(self, deployment: Deployment) -> tuple[Status, str]:
        """The deployment's status and its detail, as of the snapshot."""
        return derive(deployment.wish, deployment.replicas, deployment.instances)

    def gauges(self) -> Iterator[tuple[str, dict[str, str], float]]:
        """In-flight and cap of each replica, depth of each queue."""
        names = {route.deployment.id: route.deployment.name for route in self._routes.values()}
        waiting = dict.fromkeys(names.values(), 0)
        for replica in self._replicas.values():
            labels = {"deployment": names.get(replica.deployment_id, ""), "instance": replica.name}
            yield "stoker_in_flight", labels, replica.in_flight
            yield "stoker_replica_cap", labels, replica.cap
        for route in self._routes.values():
            waiting[route.deployment.name] += len(route.waiting)
        for name, depth in waiting.items():
            yield "stoker_queue_depth", {"deployment": name}, depth

    def _renew(self, routes: dict[str, Route], deployment: Deployment, variant_id: str | None, name: str) -> Route:
        """The route of that id in `routes`, with what is known of the deployment now; its queue goes on."""
        identity = route_to(deployment.id, variant_id)
        if identity not in routes:
            route = routes[identity] = self._routes.get(identity) or Route(variant_id, name, deployment)
            route.deployment, route.name, route.replicas = deployment, name, []
        return routes[identity]

    def _place(self, deployment: Deployment, instance: Instance, snapshot: Snapshot) -> Replica | None:
        if instance.attempt is None or instance.endpoint is None:
            return None
        attempt_id = instance.attempt.id
        replica = self._replicas.get(attempt_id)
        if replica is None or replica.upstream.endpoint != instance.endpoint:
            try:
                upstream = Upstream(instance.endpoint, snapshot.secrets.get(attempt_id), self._settings)
            except ValueError:
                return None  # not an address that can be called
            replica = self._replicas[attempt_id] = Replica(deployment.id, instance, attempt_id, upstream)
        replica.cap = min(self._settings.replica_cap, snapshot.specs[instance.variant_id].seqs)
        return replica

    def _forget_all_but(self, current: set[str]) -> None:
        for attempt_id, replica in list(self._replicas.items()):
            if attempt_id not in current:
                replica.upstream.close()
                if not replica.in_flight:
                    del self._replicas[attempt_id]

    def _check_drained(self, instance_id: str) -> None:
        if not any(r.in_flight for r in self._replicas.values() if r.instance_id == instance_id):
            self._on_drained(instance_id, self._generation)

    async def _queue(self, route: Route) -> Replica:
        loop = asyncio.get_running_loop()
        place: asyncio.Future[Replica] = loop.create_future()
        route.waiting.append(place)
        timer = loop.call_later(self._settings.queue_time, self._give_up, route, place)
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self.release(place.result())  # it was granted in the moment in which the client left
            raise
        finally:
            timer.cancel()
            if place in route.waiting:
                route.waiting.remove(place)

    def _give_up(self, route: Route, place: asyncio.Future[Replica]) -> None:
        if place.done():
            return
        try:
            self._refuse_hopeless(route)
            raise self._no_capacity(route)
        except EdgeError as error:
            place.set_exception(error)

    def _serve_waiting(self, route: Route) -> None:
        now = time.monotonic()
        while route.waiting and (replica := route.pick(now)) is not None:
            place = route.waiting.popleft()
            if not place.done():
                replica.in_flight += 1
                place.set_result(replica)

    def _refuse_hopeless(self, route: Route) -> None:
        """Raise if waiting would be in vain: what is stopped or failed for good comes back only when somebody acts."""
        if route.replicas:
            return
        name = route.deployment.name
        status, detail = self.status(route.deployment)
        if status in (Status.STOPPED, Status.STOPPING):
            raise EdgeError("DEPLOYMENT_STOPPED", f"`{name}` is {status.lower()}.", f"Start it: `stoker start {name}`.")
        if status in (Status.FAILED, Status.MUST_REDOWNLOAD):
            raise self._no_capacity(route, f"`{name}` has failed and needs a change: {detail or status}.")

    def _no_capacity(self, route: Route, message: str = "") -> EdgeError:
        now = time.monotonic()
        deployment = route.deployment
        if not message and route.replicas:
            message = f"All replicas of `{route.name}` are busy, and {len(route.waiting)} requests wait."
        elif not message and route.variant_id is not None:
            message = f"No replica of `{route.name}` serves."
        elif not message:
            status, _ = self.status(deployment)
            missing = "; ".join(dict.fromkeys(_missing(i) for i in route.instances if i.unreachable_since is not None))
            why_not = missing if status is Status.UNREACHABLE else "no replica serves yet"
            message = f"`{deployment.name}` is {status}: {why_not}."
        places = {replica.instance_id: replica for replica in route.replicas}
        reasons = [(i, _reason(i, places.get(i.id), now)) for i in route.instances]
        after = route.retry_after(now)
        told = [{"id": i.id, "reason": reason} for i, reason in reasons]
        why = tuple(f"{i.name}: {reason}" for i, reason in reasons)
        detail: dict[str, object] = {"retry_after_s": after, "replicas": told}
        return EdgeError("NO_CAPACITY", message, detail=detail, retry_after=after, why=why)


def _routable(instance: Instance) -> bool:
    return instance.state is State.RUNNING and instance.phase is Phase.SERVING and instance.unreachable_since is None


def _missing(instance: Instance) -> str:
    """What cannot be reached, and since when."""
    backend, _, host = instance.backend.partition("@")
    where = f"host {host}" if host else f"{backend} on this machine"
    moment = time.gmtime((instance.unreachable_since or 0) / 1_000_000)
    return f"{where} has not been reached since {time.strftime('%Y-%m-%d %H:%M:%S', moment)} UTC"


def _load(replica: Replica) -> int:
    return replica.in_flight


def _reason(instance: Instance, replica: Replica | None, now: float) -> str:
    if replica is not None and replica.quarantined_until > now:
        return f"left alone for {replica.quarantined_until - now:.0f} s: it refused or reset {STRIKES} connections"
    if replica is not None:
        return f"{replica.in_flight} of {replica.cap} requests in flight"
    if instance.unreachable_since is not None:
        return f"unreachable: {_missing(instance)}"
    if instance.state is State.FAILED:
        return safe(f"failed: {instance.failure_code} {instance.failure_evidence or ''}", 300).strip()
    return instance.phase.value.replace("_", " ")
