"""How screens look: what stands where, and in what colour, written down as text."""

from pathlib import Path

import pytest
from textual.app import App
from textual.color import Color

from tests.screens.support import HOUR, MINUTE, SECOND, Scribe, failing, serving
from tests.screens.talking import Person, visit
from tests.widgets.support import LARGE, SMALL, golden, strips_of

SIZES = [pytest.param(SMALL, id="80"), pytest.param(LARGE, id="120")]
LETTERS = {
    "accent": "a",
    "success": "g",
    "secondary": "c",
    "warning": "y",
    "error": "r",
    "dim-text": "d",
    "hairline": "h",
    "foreground": ".",
}


def tones_of(app: App[None]) -> str:
    """The screen with a letter for the colour of each character, blanks left out: `g` is green, `.` plain."""
    letters = {Color.parse(app.theme_variables[name]).hex6: letter for name, letter in LETTERS.items()}

    def tone(text: str, colour: str) -> str:
        return "".join(" " if char == " " else letters.get(colour, "?") for char in text)

    lines = []
    for strip in strips_of(app):
        colours = [(s.text, s.style.color if s.style else None) for s in strip]
        lines.append("".join(tone(text, c.get_truecolor().hex.upper() if c else "") for text, c in colours).rstrip())
    return "\n".join(lines).rstrip() + "\n"


def of_every_state(path: Path) -> Scribe:
    """A home with a deployment in each of the states that tell apart what has to be done."""
    scribe = Scribe(path)
    with scribe:
        serving(scribe)
        failing(scribe, evidence="ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer")
        since = scribe.now - 2 * MINUTE - 30 * SECOND
        for name, state, phase in (("embed", "pending", "loading"), ("nightly", "stopped", "by_user")):
            deployment = scribe.deployment(name, age=HOUR)
            scribe.attempt(scribe.instance(deployment, state=state, phase=phase, since=since))
    return scribe


@pytest.mark.parametrize("size", SIZES)
def test_the_fleet(tmp_path: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)
    scribe = of_every_state(tmp_path)

    async def scene(person: Person) -> None:
        await person.sees("nightly")
        await person.presses("j")
        await person.sees("HOST_OOM   The engine needs")
        await person.looks(f"fleet-{size[0]}")
        golden(f"fleet-{size[0]}-tones", tones_of(person.app), Path(__file__).parent)

    visit(scribe.home, scene, size)
