"""States as a glyph and a word, so that colour is never the only sign."""

from app.domain.lifecycle import Phase, State
from app.domain.status import Status
from app.render.cells import Cell, Tone

_STATUS: dict[str, tuple[str, Tone]] = {
    Status.REQUESTED: ("◔", "busy"),
    Status.DEPLOYING: ("◐", "busy"),
    Status.INITIALIZING: ("◐", "busy"),
    Status.DEPLOYED: ("●", "good"),
    Status.STOPPING: ("◐", "busy"),
    Status.STOPPED: ("○", "dim"),
    Status.ERROR: ("◔", "look"),
    Status.FAILED: ("✖", "bad"),
    Status.MUST_REDOWNLOAD: ("✖", "bad"),
    Status.UNREACHABLE: ("?", "look"),
}
_STATE: dict[str, tuple[str, Tone]] = {
    State.NON_BOOTSTRAP: ("◔", "busy"),
    State.PENDING: ("◐", "busy"),
    State.RUNNING: ("●", "good"),
    State.STOPPED: ("○", "dim"),
    State.FAILED: ("✖", "bad"),
}
_RESULT: dict[str, tuple[str, Tone]] = {"pass": ("●", "good"), "warn": ("◔", "look"), "fail": ("✖", "bad")}
_ASCII = str.maketrans(
    {
        "●": "*",
        "◐": "~",
        "◔": ".",
        "○": "o",
        "✖": "x",
        "▸": ">",
        "\N{EN DASH}": "-",
        "→": ">",
        "·": "-",
        "…": "~",
        "█": "#",
        "░": "=",
        "▒": "+",
        "▓": "%",
        "±": "~",
    }
)


def status_cell(status: str, *more: str) -> Cell:
    """`● DEPLOYED degraded`: a deployment's status with what is said beside it."""
    glyph, tone = _STATUS[status]
    if status == Status.DEPLOYED and "degraded" in more:
        tone = "look"
    return Cell(" ".join((glyph, status, *filter(None, more))), tone)


def instance_cell(state: str, phase: str) -> Cell:
    """`● running serving`: an instance's state and phase."""
    glyph, tone = _STATE[state]
    if phase in (Phase.DRAINING, Phase.STOPPING):
        glyph, tone = "◐", "busy"
    word = phase.removeprefix("by_").replace("_", " ")
    return Cell(f"{glyph} {state}" + (f" {word}" if phase != state else ""), tone)


def result_cell(result: str) -> Cell:
    """`● pass`: how a check ended."""
    glyph, tone = _RESULT[result]
    return Cell(f"{glyph} {result}", tone)


def to_ascii(text: str) -> str:
    """`text` with our own signs in plain ASCII, for a terminal that shows nothing else."""
    return text.translate(_ASCII)
