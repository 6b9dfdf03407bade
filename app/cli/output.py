"""How commands print: documents for scripts, lines for people, notes beside them, and questions on a terminal."""

import json
import os
import sys
from collections.abc import Iterable
from typing import Any, TextIO

from app.domain.text import safe
from app.render.cells import Cell, Line, ansi, line, plain
from app.render.states import to_ascii

_LONGEST_LINE = 1_000_000


def emit(document: Any) -> None:
    """Print one JSON document on stdout. ASCII only, so that nothing in it can act on a terminal."""
    print(json.dumps(document, indent=2 if sys.stdout.isatty() else None))  # noqa: T201 # this is where printing is


def say(*lines: Line | str) -> None:
    """Print lines on stdout."""
    _print(lines, sys.stdout)


def stream(texts: Iterable[str], prefix: str = "") -> None:
    """Print lines of a log on stdout as they come, each made safe whatever its length, after `prefix`."""
    start = _text(line(Cell(prefix, "dim"), " "), sys.stdout) + " " if prefix else ""
    for text in texts:
        sys.stdout.write(start + _fit(safe(text, _LONGEST_LINE), sys.stdout).rstrip() + "\n")
    sys.stdout.flush()


def note(*lines: Line | str) -> None:
    """Print lines on stderr: progress and remarks that are not the answer."""
    _print(lines, sys.stderr)


def say_part(text: str) -> None:
    """Print text on stdout as it is and at once, without ending the line. The caller has made it safe."""
    sys.stdout.write(_fit(text, sys.stdout))
    sys.stdout.flush()


def redraw(shown: Line | str) -> None:
    """Print a line on stderr in place of the one before, if that is a terminal."""
    sys.stderr.write("\r\x1b[K" + _text(shown, sys.stderr))
    sys.stderr.flush()


def interactive() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def confirm(question: str, *, default: bool) -> bool:
    """Ask on the terminal; enter is `default`, the end of input is no."""
    note_part(f"{question} [{'Y/n' if default else 'y/N'}] ")
    answer = sys.stdin.readline()
    if not answer:
        note("")
        return False
    return answer.strip().lower() in (("", "y", "yes") if default else ("y", "yes"))


def note_part(text: str) -> None:
    """Print text on stderr without ending the line."""
    sys.stderr.write(_fit(safe(text), sys.stderr))
    sys.stderr.flush()


def colourful(stream: TextIO) -> bool:
    """Whether colours go to `stream` (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _print(lines: Iterable[Line | str], stream: TextIO) -> None:
    stream.write("".join(_text(shown, stream) + "\n" for shown in lines))
    stream.flush()


def _text(shown: Line | str, stream: TextIO) -> str:
    parts = line(shown) if isinstance(shown, str) else shown
    return _fit(ansi(parts) if colourful(stream) else plain(parts), stream)


def _fit(text: str, stream: TextIO) -> str:
    """`text` as far as the stream's encoding goes."""
    encoding = stream.encoding or "ascii"
    if encoding.lower().replace("-", "") == "utf8":
        return text
    return to_ascii(text).encode(encoding, "replace").decode(encoding)
