"""The themes: legible on every ground, usable by every widget, and an ANSI one that names no colour of its own."""

from itertools import product

import pytest
from textual.color import Color
from textual.theme import Theme

from tests.widgets.support import Stage, play
from widgets.lines import Lines
from widgets.theme import ANSI, ASCII, ASH, EMBER, THEMES, UNICODE, Inks, inks


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours by WCAG 2."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    parts = (part / 255 for part in Color.parse(colour).rgb)
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("chosen", [EMBER, ASH], ids=lambda theme: theme.name)
def test_every_text_is_legible_on_every_ground(chosen: Theme) -> None:
    texts = {
        name: value
        for name, value in (
            ("foreground", chosen.foreground),
            ("accent", chosen.accent),
            ("green", chosen.success),
            ("cyan", chosen.secondary),
            ("yellow", chosen.warning),
            ("red", chosen.error),
            ("dim", chosen.variables["dim-text"]),
        )
        if value is not None
    }
    assert len(texts) == 7
    grounds = {"background": chosen.background or "", "cursor": chosen.variables["cursor-line"]}
    for (text, colour), (ground, behind) in product(texts.items(), grounds.items()):
        # 4.5 is what WCAG 2 asks of normal text.
        assert contrast(colour, behind) >= 4.5, (text, ground)
    assert len(set(texts.values())) == 7


def _inks_under(theme: str) -> list[Inks]:
    found: list[Inks] = []

    async def scene() -> None:
        block = Lines([[("text", "plain")]])
        async with Stage(block, theme=theme).on_stage():
            found.append(inks(block))

    play(scene)
    return found


@pytest.mark.parametrize("name", [*(theme.name for theme in THEMES), "textual-dark", "ansi-light"])
def test_every_theme_gives_every_name_a_style_with_a_ground(name: str) -> None:
    for ink in _inks_under(name):
        for styles in (ink.line, ink.cursor, ink.chosen):
            assert set(styles) == set(_inks_under("ember")[0].line)
            assert all(style.bgcolor is not None for style in styles.values())
        assert ink.line["good"] == ink.line["green"]
        assert ink.line["dim"] != ink.line["plain"]
        assert ink.cursor["plain"] != ink.line["plain"]
        assert ink.chosen["plain"] != ink.cursor["plain"]


def test_the_ansi_theme_uses_the_terminals_own_colours() -> None:
    for ink in _inks_under(ANSI.name):
        for style in (*ink.line.values(), *ink.cursor.values(), *ink.chosen.values(), ink.match):
            assert style.color is None or style.color.triplet is None
            assert style.bgcolor is None or style.bgcolor.is_default


def test_ascii_glyphs_are_ascii_and_tell_states_apart() -> None:
    for glyphs in (UNICODE, ASCII):
        states = (
            glyphs.serving,
            glyphs.under_way,
            glyphs.waiting,
            glyphs.asleep,
            glyphs.failed,
            glyphs.unreachable,
        )
        assert len(set(states)) == 6
        assert len(glyphs.steps) == 8
    assert all(str(getattr(ASCII, name)).isascii() for name in ASCII.__slots__)
    assert (ASCII.serving, ASCII.under_way, ASCII.waiting, ASCII.asleep, ASCII.failed) == ("*", "~", ".", "o", "x")
