"""What the server perceives: looks at backends, probes of engines and their logs, put together as one `World`."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

from app.control.act import Actor, engine_key
from app.control.health import Pace, Prober, Target
from app.control.judge import Judge
from app.control.look import Look
from app.control.room import no_room
from app.control.traffic import Traffic
from app.domain.engines import Preset
from app.domain.facts import Deployment, Instance, Patience, Seen, Weights, World
from app.domain.lifecycle import State
from app.domain.rules import Rule
from app.domain.variant import VariantSpec
from app.settings import Home, Settings
from app.store.findings import Found
from backends.base import Backend, CouldNotLook, Resource


class Senses:
    """Turns what backends, engines and logs show into facts for the rules."""

    def __init__(
        self,
        home: Home,
        settings: Settings,
        presets: Mapping[str, Preset],
        rules: tuple[Rule, ...],
        changed: Callable[[], None],
    ) -> None:
        self._home = home
        self._presets = presets
        self._judge = Judge(home, rules)
        self._patience = Patience(int(settings.server.start_stall * 1e6), int(settings.server.start_ceiling * 1e6))
        self._prober = Prober(changed, Traffic(home), Pace(patience_s=settings.edge.answer_timeout))

    async def close(self) -> None:
        """End every probe."""
        await self._prober.close()

    async def world(
        self,
        deployments: list[Deployment],
        specs: Mapping[str, VariantSpec],
        weights: Mapping[str, Weights],
        *,
        now: int,
        looks: Mapping[str, Look],
        actor: Actor,
        backends: Mapping[str, Backend],
        gateway_up: bool,
        blocked: Mapping[str, str],
        shutting_down: bool,
        resume: bool,
        elsewhere: frozenset[str],
    ) -> World:
        """The world as known at `now` (UTC microseconds), for one pass over `deployments`."""
        instances = [i for d in deployments for i in d.instances]
        # One state of each look and of the calls for all of it: what a look brings while logs are read would else count
        # as looked at and be missing from what was seen, and a sound engine be taken for gone.
        looks = {name: replace(look) for name, look in looks.items()}
        busy = actor.busy({i.id: looks[i.backend].began for i in instances})
        perceived, targets = await asyncio.to_thread(self._perceive, instances, specs, looks, actor, now)
        self._prober.watch(targets, frozenset(i.attempt.id for i in instances if i.attempt and i.ready_at))
        seen = {}
        for attempt_id, facts in perceived.items():
            health = self._prober.health(attempt_id)
            seen[attempt_id] = replace(facts, ready=health.ready, lost=health.lost)
        return World(
            now=now,
            seen=seen,
            unlooked=frozenset(n for n, look in looks.items() if look.resources is None or look.failing_since),
            weights=weights,
            busy=busy,
            stops_sent=frozenset(actor.stops_sent),
            no_room=await _no_room(deployments, specs, backends, self._home),
            elsewhere=elsewhere,
            gateway_up=gateway_up,
            blocked=blocked,
            shutting_down=shutting_down,
            resume_after_reboot=resume,
            patience=self._patience,
        )

    @property
    def found(self) -> list[Found]:
        """What has been recognised in logs and not been stored; whoever has stored some of it takes that out."""
        return self._judge.found

    def _perceive(
        self,
        instances: list[Instance],
        specs: Mapping[str, VariantSpec],
        looks: Mapping[str, Look],
        actor: Actor,
        now: int,
    ) -> tuple[dict[str, Seen], dict[str, Target]]:
        """What each current attempt shows, and which engines there are to probe. Reads logs: runs in a thread."""
        seen: dict[str, Seen] = {}
        targets: dict[str, Target] = {}
        for instance in instances:
            attempt = instance.attempt
            if attempt is None or attempt.released_at is not None:
                continue
            spec = specs[instance.variant_id].placed(attempt.placement)
            resource = (looks[instance.backend].resources or {}).get(attempt.id)
            if attempt.ended_at is not None:
                if resource is not None and resource.exit is None:
                    seen[attempt.id] = Seen(resource.started_at)  # given up, and there all the same
                continue
            if resource is None:
                if attempt.id in actor.refused:
                    ended = self._judge.refused(actor.refused[attempt.id])
                    seen[attempt.id] = Seen(started_at=ended.at, ended=ended)
            elif resource.exit is not None:
                ended = self._judge.ended(attempt.id, spec, resource.exit)
                seen[attempt.id] = Seen(started_at=resource.started_at, ended=ended)
            else:
                seen[attempt.id] = self._alive(instance, resource, spec, now)
                preset = self._presets.get(spec.engine)
                # Where the host cannot be looked at, silence is the way's and not the engine's.
                visible = looks[instance.backend].failing_since is None
                if preset is not None and resource.endpoint is not None and visible:
                    key = engine_key(self._home.attempts / attempt.id)
                    targets[attempt.id] = Target(instance.name, resource.endpoint, key, preset.health)
        self._judge.forget(seen.keys())
        return seen, targets

    def _alive(self, instance: Instance, resource: Resource, spec: VariantSpec, now: int) -> Seen:
        reader = self._judge.reader(resource.key, spec, now)
        seen = Seen(
            resource.started_at,
            resource.pid,
            resource.endpoint,
            loading=reader.loading,
            container=resource.container,
            preparing=resource.presence == "preparing",
            fetching=resource.progress,
        )
        if instance.state is not State.PENDING:
            return seen
        # A pid is one of the host's: on another host than this it says nothing here.
        reader.watch(resource.pid if spec.host is None else None, now)
        return replace(seen, moved_at=reader.moved_at, progress=reader.progress)


async def _no_room(
    deployments: list[Deployment], specs: Mapping[str, VariantSpec], backends: Mapping[str, Backend], home: Home
) -> dict[str, str]:
    """Why two replicas cannot run at once, for each deployment in a rollout whose host has no memory for it."""
    reasons = {}
    for deployment in deployments:
        if all(i.variant_id == deployment.variant_id for i in deployment.instances):
            continue
        spec = specs[deployment.variant_id]
        # What may run anywhere finds a place of its own; one that is new to us is looked at once something is there.
        if spec.smart is not None or spec.place not in backends:
            continue
        try:
            reason = await asyncio.to_thread(no_room, spec, await backends[spec.place].probe(), home)
        except CouldNotLook as error:
            reason = str(error)
        if reason:
            reasons[deployment.id] = reason
    return reasons
