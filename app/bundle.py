"""Everything that somebody else needs to understand a failure, in one archive, without a secret in it."""

import io
import json
import os
import platform
import sqlite3
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from app.domain.facts import Deployment
from app.domain.redact import SECRET_NAME, Redactor
from app.domain.reproduce import reproduction
from app.domain.variant import VariantSpec
from app.render import deployment as render
from app.render.events import document as event_document
from app.render.findings import finding_document
from app.render.requests import document as request_document
from app.settings import Home
from app.store import findings, read
from app.store.attempts import AttemptLog
from app.store.fleet import look
from app.version import __version__

Progress = Callable[[int, int, str], None]
"""Told how many of how many parts are done, and which one is next."""

LOG_BYTES = 262_144
"""Kept of each end of a log: what it began with, and its last words."""
ATTEMPTS = 5
"""Of each instance, the last ones and the first of a streak of failures."""
REQUESTS = 50
_PACKAGES = frozenset({"stoker", "xllamacpp", "vllm", "sglang", "transformers", "torch", "docker", "huggingface-hub"})

Part = tuple[str, Callable[[], str]]


def make_bundle(
    home: Home, name: str | None, request_id: str | None = None, progress: Progress = lambda *_: None
) -> tuple[Path, list[str]]:
    """Write an archive about one deployment, or about all; its path and the names of what is inside.

    `request_id` is a request that it is about, too. Blocking. Raises what reading the store raises; a part that cannot
    be read says so in its place.
    """
    redactor = Redactor(_secrets(home), str(Path.home()))
    parts = list(_of_installation(home))
    for deployment in look(home, name).deployments:
        parts += _of_deployment(home, deployment, request_id)
    files = ["CONTENTS.txt", *(part for part, _ in parts)]
    folder = home.state / "bundles"
    folder.mkdir(mode=0o700, exist_ok=True)
    stem = f"stoker-{name or 'all'}-{time.strftime('%Y%m%d-%H%M%S')}"
    path, unfinished = folder / f"{stem}.tar.gz", folder / f"{stem}.unfinished"
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
        _add(archive, f"{stem}/{files[0]}", "\n".join([*_INTRODUCTION, *files, ""]))
        for done, (part, make) in enumerate(parts):
            progress(done, len(parts), part)
            _add(archive, f"{stem}/{part}", redactor.text(_made(make)))
    unfinished.replace(path)
    progress(len(parts), len(parts), "")
    return path, files


_INTRODUCTION = (
    "Made by stoker, for whoever looks into a failure.",
    "Known secrets, and what looks like one, are [masked]; prompts and answers are not kept anywhere in it.",
    "reproduce.sh of each deployment is what launches the same.",
    "",
)


def _of_installation(home: Home) -> Iterator[Part]:
    yield "versions.json", lambda: _json(_versions())
    yield "doctor.json", lambda: _json(_doctor(home))
    for name in ("config.toml", "engines.toml", "failures.toml"):
        if (home.config / name).exists():
            yield name, partial(_text, home.config / name)
    yield "server.log", lambda: _tail(home.server_log)
    yield "gateway.log", lambda: _tail(home.gateway_log)


def _of_deployment(home: Home, deployment: Deployment, request_id: str | None) -> Iterator[Part]:
    name = deployment.name
    with read.reading(home.store) as connection:
        variants = read.variants(connection, deployment.id)
        attempts = [(i, a) for i in deployment.instances for a in _worth_having(connection, i.id)]
    yield f"{name}/deployment.json", lambda: _json(_deployment(home, name))
    yield f"{name}/events.json", lambda: _json(_events(home, deployment.id))
    yield f"{name}/requests.json", lambda: _json(_requests(home, deployment.id, request_id))
    current = next(spec for variant_id, _, spec, _ in variants if variant_id == deployment.variant_id)
    yield f"{name}/reproduce.sh", lambda: reproduction(name, current, deployment.replicas)
    for instance, attempt in attempts:
        directory, where = home.attempts / attempt["id"], f"{name}/{instance.name}-{attempt['number']}"
        yield f"{where}/attempt.json", partial(_json, attempt)
        for file in ("spec.json", "record.json", "exit.json"):
            if (directory / file).exists():
                yield f"{where}/{file}", partial(_text, directory / file)
        yield f"{where}/findings.json", partial(_findings, home, attempt["id"])
        if directory.is_dir():
            yield f"{where}/output.log", partial(_output, directory)


def _worth_having(connection: sqlite3.Connection, instance_id: str) -> list[dict[str, Any]]:
    rows = connection.execute(
        "SELECT * FROM (SELECT * FROM attempts WHERE instance_id = ?1 ORDER BY number DESC LIMIT ?2)"
        " UNION SELECT * FROM (SELECT * FROM attempts WHERE instance_id = ?1 AND kept ORDER BY number DESC LIMIT 1)"
        " ORDER BY number",
        (instance_id, ATTEMPTS),
    )
    return [dict(row) for row in rows]


def _deployment(home: Home, name: str) -> dict[str, Any]:
    from app.launch.mend import fixes_of
    from app.render.fixes import fix_documents

    fleet = look(home, name)
    deployment = fleet.deployments[0]
    with read.reading(home.store) as connection:
        found = read.variants(connection, deployment.id)
    numbers = {variant_id: number for variant_id, number, _, _ in found}
    return {
        **render.row(fleet, deployment),
        "variants": render.variants(found, deployment.variant_id),
        "instances": render.instances(deployment, numbers),
        "fixes": fix_documents(fixes_of(home, deployment)),
    }


def _events(home: Home, deployment_id: str) -> list[dict[str, Any]]:
    with read.reading(home.store) as connection:
        return [event_document(dict(row)) for row in read.events(connection, deployment_id)]


def _requests(home: Home, deployment_id: str, request_id: str | None) -> list[dict[str, Any]]:
    """The last requests of a deployment that went wrong, and the one that was asked about."""
    with read.reading(home.store) as connection:
        rows = read.requests_in_trouble(connection, deployment_id, REQUESTS)
        rows += read.requests_with(connection, request_id) if request_id else []
    return [{**request_document(dict(row)), "id": row["id"], "at": row["started_at"]} for row in rows]


def _findings(home: Home, attempt_id: str) -> str:
    with read.reading(home.store) as connection:
        found = findings.of_attempt(connection, attempt_id)
    return _json([{"at": each.at, **finding_document(each.finding)} for each in found])


def _versions() -> dict[str, Any]:
    found = {(d.metadata["Name"] or "").lower(): d.version for d in distributions()}
    return {
        "stoker": __version__,
        "python": sys.version,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "sqlite": sqlite3.sqlite_version,
        "packages": {name: found[name] for name in sorted(_PACKAGES & found.keys())},
    }


def _doctor(home: Home) -> list[dict[str, Any]]:
    from app.launch.doctor import examine
    from app.launch.outside import examine_outside

    checks = [*examine(home), *examine_outside()]
    return [{"name": c.name, "result": c.result, "detail": c.detail, "remedy": c.remedy} for c in checks]


def _output(directory: Path) -> str:
    """Both ends of what an engine wrote, and how much there is between them."""
    log = AttemptLog(directory)
    end = log.end()
    head = log.read(0, min(LOG_BYTES, end)).data
    start = max(len(head), end - LOG_BYTES)
    pieces, at = [], start
    while at < end and (piece := log.read(at, end - at)).data:
        pieces.append(piece.data)
        at = piece.start + len(piece.data)
    between = f"\n… {start - len(head):,} bytes in between are left out …\n" if start > len(head) else ""
    return head.decode("utf-8", "replace") + between + b"".join(pieces).decode("utf-8", "replace")


def _tail(path: Path) -> str:
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - LOG_BYTES))
        return file.read().decode("utf-8", "replace")


def _secrets(home: Home) -> Iterator[str]:
    """Every secret that this installation keeps: variables given at launch, the engines' keys, the server's variables,
    flags that are called so, and the hub's token of this user. Raises CONFIG_INVALID: what cannot be read cannot be
    masked."""
    from app.settings import load_settings

    yield from load_settings(home).server.env.values()
    with read.reading(home.store) as connection:
        for (spec,) in connection.execute("SELECT spec FROM variants").fetchall():
            flags = VariantSpec.from_json(json.loads(spec)).flags
            yield from (str(value) for flag, value in flags.items() if SECRET_NAME.search(flag))
    for path in home.keys.glob("env-*.json"):
        yield from json.loads(path.read_text("utf-8")).values()
    for path in home.attempts.glob("*/key"):
        yield path.read_text("ascii", "replace")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        yield os.environ.get(name, "")
    token = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface") / "token"
    if token.is_file():
        yield token.read_text("utf-8", "replace")


def _text(path: Path) -> str:
    return path.read_text("utf-8", "replace")


def _made(make: Callable[[], str]) -> str:
    try:
        return make()
    except Exception as error:  # one part that cannot be read takes none of the others along
        return f"This could not be read: {error!r}\n"


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n"


def _add(archive: tarfile.TarFile, name: str, text: str) -> None:
    data = text.encode("utf-8", "replace")
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = len(data), 0o600, int(time.time())
    archive.addfile(entry, io.BytesIO(data))


def bundled_about(home: Home, subject: str | None) -> tuple[str | None, str | None]:
    """The deployment and the request that `subject` means: a deployment's name, or the id of a request."""
    if subject is None:
        return None, None
    with read.reading(home.store) as connection:
        if read.deployments(connection, subject):
            return subject, None
        rows: Sequence[sqlite3.Row] = read.requests_with(connection, subject)
        if not rows:
            read.deployment(connection, subject)
    return (rows[0]["deployment"], subject) if rows else (None, subject)
