"""What every code, status and phase means, what to do about it, and what follows by itself: for `explain` and `?`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from app.domain.engines import nearest
from app.domain.failures import CATALOGUE, Failure, Retry, StokerError
from app.domain.lifecycle import Phase
from app.domain.status import Status

Kind = Literal["code", "status", "phase"]
GROUPS = ("auth", "launch", "runtime", "host", "commands")
"""Where a code comes up: at the door, before a start, in an engine, on the machine, in a command."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """One word explained. `then` is what happens by itself; `group` is empty for a status or phase."""

    word: str
    kind: Kind
    group: str
    meaning: str
    remedy: str
    then: str


_GROUPED = {
    "auth": "AUTH_MISSING_TOKEN AUTH_INVALID_TOKEN AUTH_REVOKED_TOKEN MODEL_UNKNOWN RATE_LIMITED KEY_LIMIT PLAN_LIMIT"
    " FIREWALL_BLOCKED JUDGE_UNREACHABLE PROVIDER_AUTH",
    "launch": "MODEL_NOT_FOUND MODEL_GATED ARCH_UNSUPPORTED CODE_NOT_ALLOWED IMAGE_NOT_ALLOWED IMAGE_PULL_FAILED"
    " NAME_TAKEN CONFIG_INVALID OFFLINE GPU_INCOMPATIBLE SMART_NO_MATCH BILLING_BELOW_MINIMUM BILLING_BLOCKED"
    " MUST_REDOWNLOAD MODEL_LOAD_ERROR BAD_FLAG ENTRYPOINT_MISSING STARTUP_TIMEOUT PROVIDER_TIMEOUT",
    "host": "HOST_OOM CUDA_ERROR GPU_ACCESS PORT_IN_USE DISK_FULL KILLED_EXTERNALLY HOST_UNREACHABLE",
    "commands": "NOT_FOUND SERVER_DOWN SERVER_OLDER STORE_NEWER STORE_CORRUPT STORE_BUSY STORE_DENIED ID_REUSED"
    " MODEL_IN_USE USAGE",
}
_GROUP_OF = {code: group for group, codes in _GROUPED.items() for code in codes.split()}

STATUSES: Mapping[Status, tuple[str, str]] = {
    Status.REQUESTED: ("It is recorded, and no instance has begun.", "Wait a moment; `stoker status` if it stays so."),
    Status.DEPLOYING: ("An instance is being brought up: files, image, process.", "Wait; its phase says for what."),
    Status.INITIALIZING: ("The engine reads the weights.", "Wait; the log shows how far it is."),
    Status.DEPLOYED: ("At least one instance answers, or it sleeps and wakes on request.", "Use it."),
    Status.STOPPING: (
        "It is to stop, and something of it still runs.",
        "Wait; `stoker stop NAME --now` cuts it short.",
    ),
    Status.STOPPED: ("It is stopped, as was wished.", "Start it: `stoker start NAME`."),
    Status.ERROR: ("Every instance has failed, and one will be tried again.", "Wait, or mend it: `stoker fix NAME`."),
    Status.FAILED: ("Every instance has failed for good; something must change.", "Mend it: `stoker fix NAME`."),
    Status.MUST_REDOWNLOAD: ("The weights are missing or damaged.", "Fetch them again: `stoker fix NAME`."),
    Status.UNREACHABLE: (
        "Nobody can look at its instances; they may well run.",
        "Mend the way there; it is looked again.",
    ),
}
"""Meaning and remedy of each status of a deployment."""

PHASES: Mapping[Phase, tuple[str, str]] = {
    Phase.REGISTERING: ("The instance is written down.", "Wait a moment."),
    Phase.ALLOCATING: ("A place for it is being found.", "Wait; a place may be taken by what is stopping."),
    Phase.PULLING_IMAGE: ("The engine's image is being fetched.", "Wait; once here it stays."),
    Phase.COPYING_FILES: ("The weights are being fetched.", "Wait; once here they stay."),
    Phase.STARTING: (
        "The engine's process has begun and has not spoken of weights yet.",
        "Wait; see `stoker logs NAME`.",
    ),
    Phase.LOADING: ("The engine reads the weights and makes ready.", "Wait; see `stoker logs NAME`."),
    Phase.SERVING: ("It has answered with a token.", "Use it."),
    Phase.DRAINING: (
        "It gets no new requests; those in flight finish.",
        "Wait; `stoker stop NAME --now` cuts it short.",
    ),
    Phase.STOPPING: ("It was asked to end.", "Wait; after ten seconds it is ended by force."),
    Phase.BY_USER: ("Stopped, because it was wished.", "Start it: `stoker start NAME`."),
    Phase.ASLEEP: ("Stopped, because nobody asked; a request wakes it.", "Ask it something."),
    Phase.BY_SHUTDOWN: ("Stopped with the machine or with everything.", "Start it: `stoker start NAME`."),
    Phase.BY_BILLING: (
        "Stopped, because the balance is used up or a cap is reached.",
        "Top up, or raise the cap; it starts again by itself.",
    ),
    Phase.FAILED: ("Ended without having been asked to.", "Mend it: `stoker fix NAME`."),
}
"""Meaning and remedy of each phase of an instance."""

_THEN = {
    Retry.NEVER: "nothing by itself: change something first",
    Retry.ONCE: "tried again once; with back-off, five times, if it has ever served",
    Retry.BACKOFF: "tried again with back-off, five times: at once, after 10, 20 and 40 s",
}


def everything() -> list[Explanation]:
    """All there is to explain: codes by group, then statuses, then phases."""
    codes = sorted(CATALOGUE.values(), key=lambda row: GROUPS.index(group_of(row.code)))
    return [
        *(_code(row) for row in codes),
        *(Explanation(word.value, "status", "", *texts, "") for word, texts in STATUSES.items()),
        *(Explanation(word.value, "phase", "", *texts, "") for word, texts in PHASES.items()),
    ]


def explain(word: str) -> list[Explanation]:
    """What `word` means: a code or one of its aliases, a status or a phase, in any spelling of its case.

    Both a phase and a code where both are called so. Raises NOT_FOUND, naming the nearest.
    """
    wanted = word.strip().lower().replace("-", "_").replace(" ", "_")
    names = {alias.lower(): row.code for row in CATALOGUE.values() for alias in (row.code, *row.aliases)}
    found = [each for each in everything() if each.word.lower() == names.get(wanted, wanted).lower()]
    if not found:
        near = nearest(wanted, [each.word.lower() for each in everything()])
        raise StokerError("NOT_FOUND", f"`{word}` is no code, status or phase.", f"Did you mean `{near}`?")
    return found


def group_of(code: str) -> str:
    """Where a code comes up; what is said nowhere comes up while an engine runs."""
    return _GROUP_OF.get(code, "runtime")


def _code(row: Failure) -> Explanation:
    then = f"clients get HTTP {row.http}" if row.http is not None else _THEN[row.retry]
    return Explanation(row.code, "code", group_of(row.code), row.meaning, row.remedy, then)
