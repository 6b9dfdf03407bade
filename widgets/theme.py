"""The look: three themes, the names that styles go by, and the signs for states.

Widgets and their callers speak of styles by name and of states by sign, never of colours: a theme says what a name
looks like, a set of glyphs what a sign is in a terminal that shows nothing but ASCII.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from rich.style import Style
from textual.color import Color, ColorParseError
from textual.theme import Theme
from textual.widget import Widget

StyleName = Literal[
    "plain", "accent", "green", "cyan", "yellow", "red", "dim", "faint", "strong", "good", "busy", "look", "bad"
]
"""What a piece of text may be: a colour by its name, or by what it means (good, busy, look, bad: the tones that facts
are rendered with for commands too). `accent` is where you are, `strong` a heading, `dim` what is asleep or old, `faint`
what nobody reads, such as rules and the empty part of a bar."""

# Name → theme variable, in order of preference: our own themes define them all, any other theme of Textual's some.
_VARIABLES: dict[StyleName, str] = {
    "accent": "accent",
    "green": "success",
    "good": "success",
    "cyan": "secondary",
    "busy": "secondary",
    "yellow": "warning",
    "look": "warning",
    "red": "error",
    "bad": "error",
}


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The signs drawn by widgets, one set for Unicode and one for plain ASCII.

    `steps` rise from nearly empty to full; `dots` fill a stacked bar, the first for the first part.
    """

    serving: str = "●"
    under_way: str = "◐"
    waiting: str = "◔"
    asleep: str = "○"
    failed: str = "✖"
    unreachable: str = "?"
    cursor: str = "▸"
    mark: str = "▐"
    rising: str = "▴"
    falling: str = "▾"
    left: str = "◂"
    right: str = "▸"
    rule: str = "─"
    axis: str = "│"
    corner: str = "└"
    bar: str = "━"
    bar_half: str = "╸"
    bar_empty: str = "━"
    thumb: str = "┃"
    ellipsis: str = "…"
    unknown: str = "–"
    between: str = "·"
    steps: str = "▁▂▃▄▅▆▇█"
    dots: str = "█░▒▓"


UNICODE = Glyphs()
ASCII = Glyphs(
    serving="*",
    under_way="~",
    waiting=".",
    asleep="o",
    failed="x",
    cursor=">",
    mark="!",
    rising="^",
    falling="v",
    left="<",
    right=">",
    rule="-",
    axis="|",
    corner="+",
    bar="#",
    bar_half="-",
    bar_empty=".",
    thumb="|",
    ellipsis="~",
    unknown="-",
    between="-",
    steps="_.-=+*%#",
    dots="#=-%",
)

EMBER = Theme(
    name="ember",
    primary="#f0a03c",
    secondary="#6cb4b4",
    accent="#f0a03c",
    success="#94b871",
    warning="#d9cd72",
    error="#e8705f",
    foreground="#d8d0c4",
    background="#1b1816",
    surface="#1b1816",
    panel="#2b2622",
    dark=True,
    variables={
        "dim-text": "#968c80",
        "hairline": "#4a423a",
        "cursor-line": "#2b2622",
        "chosen-line": "#40362c",
        "scrollbar": "#4a423a",
        "scrollbar-hover": "#6b6055",
        "scrollbar-active": "#f0a03c",
        "scrollbar-background": "#1b1816",
        "scrollbar-background-hover": "#1b1816",
        "scrollbar-background-active": "#1b1816",
        "scrollbar-corner-color": "#1b1816",
        "input-cursor-background": "#f0a03c",
        "input-cursor-foreground": "#1b1816",
        "input-selection-background": "#40362c",
    },
)

ASH = Theme(
    name="ash",
    primary="#9e4600",
    secondary="#0b6672",
    accent="#9e4600",
    success="#35701f",
    warning="#6e5a00",
    error="#b02a23",
    foreground="#2e2925",
    background="#f6f3ee",
    surface="#f6f3ee",
    panel="#e8e2d9",
    dark=False,
    variables={
        "dim-text": "#6b635a",
        "hairline": "#cdc4b7",
        "cursor-line": "#e8e2d9",
        "chosen-line": "#dccfba",
        "scrollbar": "#cdc4b7",
        "scrollbar-hover": "#b3a899",
        "scrollbar-active": "#9e4600",
        "scrollbar-background": "#f6f3ee",
        "scrollbar-background-hover": "#f6f3ee",
        "scrollbar-background-active": "#f6f3ee",
        "scrollbar-corner-color": "#f6f3ee",
        "input-cursor-background": "#9e4600",
        "input-cursor-foreground": "#f6f3ee",
        "input-selection-background": "#dccfba",
    },
)

# The accent is magenta because it is the one bright colour that 16-colour palettes keep legible on black and on white,
# and yellow already means something.
ANSI = Theme(
    name="ansi",
    ansi=True,
    primary="ansi_magenta",
    secondary="ansi_cyan",
    accent="ansi_magenta",
    success="ansi_green",
    warning="ansi_yellow",
    error="ansi_red",
    foreground="ansi_default",
    background="ansi_default",
    surface="ansi_default",
    panel="ansi_default",
    boost="ansi_default",
    dark=True,
    variables={
        "ansi-background": "ansi_default",
        "ansi-foreground": "ansi_default",
        "scrollbar": "ansi_bright_black",
        "scrollbar-hover": "ansi_bright_black",
        "scrollbar-active": "ansi_magenta",
        "scrollbar-background": "ansi_default",
        "scrollbar-background-hover": "ansi_default",
        "scrollbar-background-active": "ansi_default",
        "input-selection-background": "ansi_bright_black",
        "input-selection-foreground": "ansi_default",
    },
)

THEMES: tuple[Theme, ...] = (EMBER, ASH, ANSI)


@dataclass(frozen=True, slots=True)
class Inks:
    """The styles of the current theme, ready for segments, over the three grounds that a line may have.

    `line` is the widget's own ground, `cursor` the line under the cursor, `chosen` a selected one; `match` is for text
    that a search found. All of them name a background, because a line-API widget paints its own.
    """

    line: Mapping[StyleName, Style]
    cursor: Mapping[StyleName, Style]
    chosen: Mapping[StyleName, Style]
    match: Style


def inks(widget: Widget) -> Inks:
    """The inks of the app's theme over the background of `widget`."""
    variables = widget.app.theme_variables
    colours = {name: _colour(variables.get(variable)) for name, variable in _VARIABLES.items()}
    dim = _colour(variables.get("dim-text")) or Style(dim=True)
    marks: dict[StyleName, Style] = {name: colour or Style() for name, colour in colours.items()}
    marks |= {
        "plain": Style(),
        "strong": Style(bold=True),
        "dim": dim,
        "faint": _colour(variables.get("hairline")) or dim,
    }
    # Bold, so that where you are can be told without colour.
    marks["accent"] += Style(bold=True)
    base = widget.rich_style

    def over(ground: Style) -> dict[StyleName, Style]:
        return {name: base + ground + style for name, style in marks.items()}

    return Inks(
        line=over(Style()),
        cursor=over(_ground(variables.get("cursor-line")) or Style(bold=True)),
        chosen=over(_ground(variables.get("chosen-line")) or Style(reverse=True)),
        match=base + marks["accent"] + Style(reverse=True),
    )


def _colour(value: str | None) -> Style | None:
    colour = _parse(value)
    return None if colour is None else Style(color=colour.rich_color)


def _ground(value: str | None) -> Style | None:
    colour = _parse(value)
    return None if colour is None else Style(bgcolor=colour.rich_color)


def _parse(value: str | None) -> Color | None:
    """A colour of a theme; None for a missing one and for what is a mixture only Textual's CSS can work out."""
    try:
        colour = Color.parse(value or "")
    except ColorParseError:
        return None
    return None if colour.is_transparent or colour.auto else colour
