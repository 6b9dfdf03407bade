"""Deployments as JSON documents (the shapes of DESIGN §12) and as the tables that people read."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.domain.facts import Deployment, Instance
from app.domain.failures import CATALOGUE
from app.domain.findings import label
from app.domain.fleet import Fleet
from app.domain.lifecycle import Phase, State
from app.domain.offers import Wanted
from app.domain.status import Status, derive
from app.domain.variant import VariantSpec
from app.render.cells import Cell, Line, line, table
from app.render.states import instance_cell, status_cell
from app.render.words import UNKNOWN, ago, brief, clock

Document = dict[str, Any]


def rows(fleet: Fleet) -> list[Document]:
    """One document a deployment, as `ps --json` prints them."""
    return [row(fleet, deployment) for deployment in fleet.deployments]


def row(fleet: Fleet, deployment: Deployment) -> Document:
    """The document of one deployment. Its status is derived from the rows, so it is right even if no server runs."""
    status, detail = derive(deployment.wish, deployment.replicas, deployment.instances)
    if status is Status.INITIALIZING:
        detail = next((word for i in deployment.instances if (word := progress(fleet, i))), detail)
    if status is Status.DEPLOYING:
        detail = next((i.progress for i in deployment.instances if i.progress), detail)
        if (work := fleet.fetches.get(deployment.variant_id)) is not None and detail == Phase.COPYING_FILES:
            detail = f"{detail} {100 * work.done // work.total} %"
    spec = fleet.specs[deployment.variant_id]
    places = ", ".join(dict.fromkeys(i.backend for i in deployment.instances)) if spec.smart is not None else ""
    if places and status is Status.DEPLOYING:
        detail = f"{detail} on {places}"
    observed_at, stale_s = _age(fleet, deployment)
    return {
        "name": deployment.name,
        "status": status.value,
        "detail": detail,
        "replicas": {"ready": sum(_serves(i) for i in deployment.instances), "want": deployment.replicas},
        "model": spec.model.name,
        "engine": spec.engine,
        "backend": places or spec.place,
        "url": fleet.endpoint,
        "failure": next((f for i in deployment.instances if (f := failure(i, deployment.name))), None),
        "observed_at": observed_at,
        "stale_s": stale_s,
        "reachable": all(i.unreachable_since is None for i in deployment.instances),
    }


def progress(fleet: Fleet, instance: Instance) -> str:
    """How far the start of an instance is that reads its weights: `capturing graphs 40 %`; empty if nothing says so."""
    if instance.phase is not Phase.LOADING or instance.attempt is None:
        return ""
    found = fleet.milestones.get(instance.attempt.id)
    return label(found) if found is not None else ""


def failure(instance: Instance, name: str) -> Document | None:
    """Why an instance of deployment `name` failed, None if it has not. Times are UTC microseconds."""
    if instance.failure_code is None or not (instance.state is State.FAILED or instance.phase is Phase.BY_BILLING):
        return None
    known = CATALOGUE.get(instance.failure_code)
    return {
        "code": instance.failure_code,
        "meaning": known.meaning if known else "",
        "remedy": known.remedy_for(instance.failure_evidence or "").replace("NAME", name) if known else "",
        "evidence": instance.failure_evidence or "",
        "at": instance.failed_at,
        "retry_at": instance.retry_at,
    }


def variants(found: Sequence[tuple[str, int, VariantSpec, int]], current_id: str) -> list[Document]:
    """The variants of a deployment, oldest first, each with what changed since the one before."""
    documents = []
    before: VariantSpec | None = None
    for variant_id, number, spec, created_at in found:
        changed = {} if before is None else before.changes(spec)
        documents.append(
            {
                "number": number,
                "current": variant_id == current_id,
                "created_at": created_at,
                "model": spec.model.name,
                "engine": spec.engine,
                "backend": spec.place,
                "image": spec.image,
                "digest": spec.digest,
                "gpus": spec.gpus,
                "context": spec.context,
                "seqs": spec.seqs,
                "kv_type": spec.kv_type,
                "flags": dict(spec.flags),
                "env_names": list(spec.env_names),
                "memory_limit": spec.memory_limit,
                "smart": None if spec.smart is None else " ".join(spec.smart.options()),
                "changed": {key: list(pair) for key, pair in changed.items() if key != "env_file"},
            }
        )
        before = spec
    return documents


def instances(deployment: Deployment, numbers: Mapping[str, int]) -> list[Document]:
    """The instances of a deployment, oldest first. `numbers` gives the number of a variant by its id."""
    return [
        {
            "id": i.id,
            "name": i.name,
            "variant": numbers.get(i.variant_id),
            "state": i.state.value,
            "phase": i.phase.value,
            "pid": i.pid,
            "container": i.container,
            "progress": i.progress,
            "endpoint": i.endpoint,
            "attempt": i.attempt.number if i.attempt else None,
            "since": i.since,
            "failure_reason": failure(i, deployment.name),
            "holds": ["memory"] if i.attempt is not None and i.attempt.ended_at is None else [],
        }
        for i in deployment.instances
    ]


def ps_table(documents: Sequence[Document], now: int) -> list[Line]:
    """What `stoker ps` shows, from the documents of `rows`."""
    headers = ("NAME", "STATUS", "READY", "MODEL", "ENGINE", "ON")
    body = [(d["name"], headline(d, now), ready(d), d["model"], d["engine"], d["backend"]) for d in documents]
    return table(headers, body, right=("READY",))


def headline(document: Document, now: int) -> Cell:
    """Glyph, status and the one thing worth saying beside it."""
    fail, status, detail = document["failure"], document["status"], document["detail"]
    if status == "DEPLOYED":
        words = ["degraded"] if "degraded" in detail else []
    elif status == "ERROR" and fail and fail["retry_at"] is not None:
        words = [fail["code"], f"retry in {brief(fail['retry_at'] - now)}"]
    else:
        words = [detail if fail else detail.replace("_", " ")]
    if not document["reachable"]:
        words.append("unreachable")
    return status_cell(document["status"], *words)


def ready(document: Document) -> str:
    """`1/2`: how many replicas serve of those that should."""
    return f"{document['replicas']['ready']}/{document['replicas']['want']}"


def show_lines(document: Document, now: int) -> list[Line]:
    """What `stoker show` says, from a row with its `variants` and `instances`."""
    url = f'{document["url"]}   model "{document["name"]}"' if document["url"] else UNKNOWN
    lines = [
        line(Cell(document["name"], "accent"), "   ", headline(document, now), f"   {ready(document)} ready"),
        line(f"endpoint  {url}"),
        line(f"model     {document['model']}   {document['engine']} on {document['backend']}"),
    ]
    if document["failure"]:
        lines += [line(), *failure_lines(document["failure"], now)]
    lines += [line(), *variant_table(document["variants"], now)]
    return lines + ([line(), *instance_table(document["instances"], now)] if document["instances"] else [])


def instance_table(documents: Sequence[Document], now: int) -> list[Line]:
    """The instances of `show`."""
    headers = ("INSTANCE", "STATE", "SINCE", "VARIANT", "ATTEMPT", "PID", "ENDPOINT")
    body = [
        (
            d["name"],
            instance_cell(d["state"], d["phase"]),
            ago(now, d["since"]),
            *(UNKNOWN if d[key] is None else str(d[key]) for key in ("variant", "attempt", "pid", "endpoint")),
        )
        for d in documents
    ]
    return table(headers, body, right=("VARIANT", "ATTEMPT", "PID"))


def variant_table(documents: Sequence[Document], now: int) -> list[Line]:
    """The variants of a deployment: number, age and what changed."""
    body = [
        (
            f"▸{d['number']}" if d["current"] else str(d["number"]),
            ago(now, d["created_at"]),
            d["model"],
            variant_words(d),
        )
        for d in documents
    ]
    return table(("VARIANT", "MADE", "MODEL", "WHAT"), body, right=("VARIANT",))


def variant_words(document: Document) -> str:
    """What a variant changed, or of the first one what it is."""
    return change_words(document["changed"]) or _settings(document)


def failure_lines(fail: Document, now: int, *, remedy: bool = True) -> list[Line]:
    """A failure for a person: what it means, the line that proves it, and what to do."""
    lines = [line(Cell(fail["code"], "bad"), f"   {fail['meaning']}")]
    if fail["evidence"]:
        lines.append(line(Cell(f"  {fail['evidence']}", "dim")))
    if fail["retry_at"] is not None:
        at = fail["retry_at"]
        lines.append(line(f"  It is tried again in {brief(at - now)}, at {clock(at, now)}."))
    elif remedy and fail["remedy"]:
        lines.append(line(f"  {fail['remedy']}"))
    return lines


def freshness_lines(fleet: Fleet) -> list[Line]:
    """What to say about the age of the facts: nothing while the server watches."""
    fresh = fleet.freshness
    if fresh.answering:
        return []
    if fresh.server == "starting":
        return [line(Cell("○ server starting", "dim"))]
    if fresh.server == "running":
        age = "the machine started" if fresh.observed_at is None else brief(fleet.now - fresh.observed_at)
        return [line(Cell(f"? server not answering since {age}", "look"))]
    seen = "" if fresh.observed_at is None else f", all this is as of {ago(fleet.now, fresh.observed_at)}"
    return [line(Cell(f"○ server down{seen}. Start it: stoker up", "look"))]


def _age(fleet: Fleet, deployment: Deployment) -> tuple[int | None, int | None]:
    """When the deployment was last seen, and how many seconds old that is; 0 while it is being watched."""
    unseen = [i.observed_at or i.unreachable_since or 0 for i in deployment.instances if i.unreachable_since]
    if fleet.freshness.answering and not unseen:
        return fleet.freshness.observed_at, 0
    times = [t for t in (fleet.freshness.observed_at, *unseen) if t is not None]
    if not times or (not fleet.freshness.answering and fleet.freshness.observed_at is None):
        return None, None
    return min(times), max(0, fleet.now - min(times)) // 1_000_000


def _serves(instance: Instance) -> bool:
    return instance.state is State.RUNNING and instance.phase is Phase.SERVING and instance.unreachable_since is None


def change_words(changed: Mapping[str, Sequence[Any]]) -> str:
    """`context 8192 → 4096, KV f16 → q8_0`, from fields with what was before and after."""
    return ", ".join(f"{_label(key)} {_value(before)} → {_value(after)}" for key, (before, after) in changed.items())


def _settings(document: Document) -> str:
    flags = " ".join(k if v is True else f"{k}={v}" for k, v in document["flags"].items())
    words = f"context {document['context']}, {document['seqs']} at once, KV {document['kv_type']}"
    words += f", {document['smart']}" if document["smart"] else ""
    return f"{words}, {flags}" if flags else words


def _label(key: str) -> str:
    return {"env_names": "environment", "memory_limit": "memory", "kv_type": "KV"}.get(key, key)


def _value(value: Any) -> str:
    if isinstance(value, Mapping) and "path" in value:
        return str(value["name"])
    if isinstance(value, Mapping) and "max_price" in value:
        return " ".join(Wanted.from_json(value).options())
    if isinstance(value, Mapping):
        return " ".join(k if v is True else f"{k}={v}" for k, v in value.items()) or UNKNOWN
    if isinstance(value, list | tuple):
        return " ".join(map(str, value)) or UNKNOWN
    return UNKNOWN if value is None else str(value)
