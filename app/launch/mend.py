"""What would mend a deployment that failed, from what is known of its model, its engine and this machine; and doing it.

Blocking: files are looked for and the store is read.
"""

import re
import socket
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.domain.engines import Preset, gpu_choice
from app.domain.facts import Deployment, Instance
from app.domain.failures import StokerError
from app.domain.findings import Captured
from app.domain.fitting import Card
from app.domain.fix import Fix, Situation
from app.domain.fixes import change_of, options
from app.domain.hosts import LOCAL
from app.domain.variant import ModelRef, VariantSpec
from app.launch.cache import unused
from app.launch.choosing import other_engines
from app.launch.memory import memory_of
from app.launch.models import local_models, resolve
from app.launch.planning import plan_variant
from app.settings import Home, load_presets
from app.store import findings, hosts, read

if TYPE_CHECKING:
    from sqlmodel import Session

UNRECOVERED_US = 900_000_000
"""What has failed for a quarter of an hour is worth showing to somebody else."""
_AGAIN_S = 5.0
_PORTS = 50
"""How far above a port that is taken a free one is looked for."""
_ANOTHER_ENGINE = ("ARCH_UNSUPPORTED", "ENTRYPOINT_MISSING")
"""What another engine may mend."""
_FILES = 500
"""Files of a directory that are looked at for others of the same model."""
_QUANTISATION = re.compile(r"[-._](i?q\d\w*|f16|f32|bf16|mxfp4\w*|fp8)$", re.IGNORECASE)
_HUB_PATH = re.compile(r"models--([^/]+?)--([^/]+)/snapshots/")


def fixes_of(home: Home, deployment: Deployment) -> list[Fix]:
    """What would mend `deployment`, the best first; empty if nothing has failed."""
    instance = deployment.failed
    if instance is None or instance.failure_code is None:
        return []
    with read.reading(home.store) as connection:
        spec = read.specs(connection, [instance.variant_id])[instance.variant_id]
        captured = _captured(connection, instance)
        looks = [facts.look for facts in hosts.hosts(connection) if facts.name == (spec.host or LOCAL)]
    cards = [
        Card(gpu.index, gpu.vram_total, gpu.vram_free or 0)
        for look in looks
        for gpu in look.gpus
        if gpu.vram_total and gpu.slice is None
    ]
    presets = load_presets(home)
    return options(_situation(home, deployment.name, instance, instance.failure_code, spec, presets, captured, cards))


class KnownFixes:
    """What would mend the deployment that somebody looks at, found once a failure and again every few seconds.

    Again, because a file may have come back, a port been given up, an engine been installed.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._of: tuple[object, ...] = ()
        self._due = 0.0
        self._found: list[Fix] = []

    def of(self, deployment: Deployment | None) -> list[Fix]:
        """The same as `fixes_of`; empty for None."""
        instance = None if deployment is None else deployment.failed
        if deployment is None or instance is None:
            return []
        about = instance.id, instance.failed_at, instance.retry_at
        if about != self._of or time.monotonic() >= self._due:
            self._of, self._due = about, time.monotonic() + _AGAIN_S
            self._found = fixes_of(self._home, deployment)
        return self._found


def apply_fix(session: "Session", home: Home, deployment: Deployment, fix: Fix, actor: str) -> int:
    """Wish for what `fix` says, after the checks of any change; the number of the variant that is to run.

    Raises what a check that fails says, and CONFIG_INVALID for a command, which is a person's to run.
    """
    from app.store import jobs, wishes

    instance = deployment.failed
    if fix.command:
        raise StokerError("CONFIG_INVALID", f"`{fix.title}` is a command for this host.", f"Run it: {fix.command}")
    with read.reading(home.store) as connection:
        variant_id = deployment.variant_id if instance is None else instance.variant_id
        before = read.specs(connection, [variant_id])[variant_id]
    # What is changed may take another share of a GPU; what is not keeps its own.
    spec = before if fix.spec is None else replace(fix.spec, share=None)
    if fix.refetch and spec.model.source == "bundled":
        (home.models / Path(spec.model.path).name).unlink(missing_ok=True)
    spec = plan_variant(deployment.name, spec, deployment.replicas, load_presets(home), home).require()
    number = wishes.mend(session, deployment.name, spec, change_of(before, spec) or fix.title, actor)
    if fix.refetch and spec.model.files:
        payload = {"variant_id": wishes.find(session, deployment.name).variant_id, "compare": True}
        jobs.submit(session, "fetch", payload, jobs.FETCH_DEADLINE_US)
    return number


def _captured(connection: sqlite3.Connection, instance: Instance) -> Captured:
    """What the detector took from the line that decided, or from the last one that says the same."""
    if instance.attempt is None:
        return {}
    found = [each.finding for each in findings.of_attempt(connection, instance.attempt.id)]
    same = [finding for finding in found if finding.kind == "failure" and finding.code == instance.failure_code]
    exact = [finding for finding in same if finding.evidence == instance.failure_evidence]
    return next((finding.captured for finding in [*exact, *reversed(same)]), {})


def _situation(
    home: Home,
    name: str,
    instance: Instance,
    code: str,
    spec: VariantSpec,
    presets: dict[str, Preset],
    captured: Captured,
    cards: Sequence[Card],
) -> Situation:
    preset = presets.get(spec.engine)
    evidence = instance.failure_evidence or ""
    directory = home.attempts / (instance.attempt.id if instance.attempt else "none")
    port = spec.flags.get("port")
    return Situation(
        name=name,
        code=code,
        spec=spec,
        evidence=evidence,
        captured={key: str(value) for key, value in captured.items()},
        memory=memory_of(code, spec, evidence, directory, _seen_by(spec, cards)),
        cards=cards,
        kv_types=preset.kv_types if preset else (),
        flags=_flags(preset),
        engines=other_engines(spec, home, presets) if code in _ANOTHER_ENGINE else (),
        install=preset.install if preset else "",
        siblings=list(_siblings(home, spec.model)),
        free_port=_free_port(int(port)) if isinstance(port, str) and port.isdecimal() else None,
        returned=spec.model.source == "file" and _returned(Path(spec.model.path), code, instance.failed_at or 0),
        fetched=spec.model.source == "bundled" or bool(spec.model.files),
        unused=unused(home) if code == "DISK_FULL" else (),
        repo=spec.model.repo or ("/".join(match.groups()) if (match := _HUB_PATH.search(spec.model.path)) else ""),
        retried=instance.retry_at is not None,
        unrecovered=time.time_ns() // 1_000 - (instance.failed_at or 0) > UNRECOVERED_US,
    )


def _seen_by(spec: VariantSpec, cards: Sequence[Card]) -> Sequence[Card]:
    """The GPUs as the engine counts them: in a container its own, from 0."""
    indexes, _ = gpu_choice(spec.gpus)
    if not indexes or indexes == ("all",):
        return cards
    return [replace(card, index=n) for n, card in enumerate(c for c in cards if str(c.index) in indexes)]


def _flags(preset: Preset | None) -> Sequence[str]:
    """Flags that the engine is known to have: those that its preset passes."""
    return [word.removeprefix("--") for word in preset.arguments if word.startswith("--")] if preset else []


def _siblings(home: Home, model: ModelRef) -> Iterator[ModelRef]:
    """Other GGUF files with the same model in them: beside it, and in the hub's cache."""
    if model.source != "file" or model.format not in ("gguf", "unknown"):
        return
    own = Path(model.path)
    beside = [path for path, _ in zip(own.parent.glob("*.gguf"), range(_FILES), strict=False)]
    for path in sorted({*beside, *local_models(home)}):
        if path != own and _base(path) == _base(own) and _sound(path):
            yield resolve(str(path), home)


def _base(path: Path) -> str:
    """The model's name in a file's, without its quantisation."""
    return _QUANTISATION.sub("", path.stem).lower()


def _returned(path: Path, code: str, failed_at: int) -> bool:
    """Whether a file that was missing is there now, or one that was not sound is another one than it was."""
    try:
        written = path.stat().st_mtime_ns // 1_000
    except OSError:
        return False
    return _sound(path) and (code == "MUST_REDOWNLOAD" or written > failed_at)


def _sound(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"GGUF"
    except OSError:
        return False


def _free_port(taken: int) -> int | None:
    for port in range(taken + 1, min(taken + _PORTS, 65_536)):
        with closing(socket.socket()) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    return None
