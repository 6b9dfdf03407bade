"""`scan`: what a log proves, whoever wrote it."""

import contextlib
import gzip
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import click

from app.cli.output import emit, note, say
from app.cli.params import json_option
from app.domain.detector import Detector, Rules
from app.domain.failures import StokerError
from app.domain.findings import Finding
from app.domain.verdict import ExitFacts, cause, judge
from app.render.findings import document, finding_line, verdict_lines
from app.settings import find_home, load_rules

_READ = 1 << 20
_MOST = 10_000
"""Findings that are told: a log of a thousand restarts needs no more memory than any other."""
_GZIP = b"\x1f\x8b"


@click.command()
@click.argument("file", metavar="FILE|-", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--exit-code", type=int, help="How the program ended that wrote it.")
@json_option
def scan(file: Path, exit_code: int | None, as_json: bool) -> None:
    """Say what a log proves: why an engine failed, and how far it came.

    FILE is a log, a compressed one (.gz), or `-` for standard input. The status is 0 whatever was found.
    """
    detector = Detector(Rules(load_rules(find_home())))
    findings: list[Finding] = []
    with _opened(file) as stream:
        for count, found in enumerate(_findings(detector, stream, file)):
            if count == _MOST:
                note(f"more than {_MOST:,} findings; the rest is read, but not told.")
            elif count < _MOST and as_json:
                findings.append(found)
            elif count < _MOST:
                say(finding_line(found))
    if exit_code:
        verdict: Finding | None = judge(detector, ExitFacts(exit_code), requests=True)
    else:
        standing = [s for s in detector.standing.values() if exit_code is None or not s.rule.summary]
        nearest = cause(standing)
        verdict = nearest.finding if nearest else None
    if as_json:
        emit(document(verdict, findings))
    else:
        say(*verdict_lines(verdict, detector.lines))


def _findings(detector: Detector, stream: IO[bytes] | gzip.GzipFile, file: Path) -> Iterator[Finding]:
    try:
        while data := stream.read(_READ):
            yield from detector.feed(data)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise StokerError("INVALID_REQUEST", f"{file}: {error}.", "Give a whole .gz, or the log itself.") from error
    yield from detector.end()


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    """The bytes of a file or of standard input, decompressed if they are a gzip's."""
    if str(file) == "-":
        yield sys.stdin.buffer
        return
    try:
        with file.open("rb") as raw:
            if raw.read(len(_GZIP)) == _GZIP:
                raw.seek(0)
                with gzip.open(raw) as unpacked:
                    yield unpacked
            else:
                raw.seek(0)
                yield raw
    except OSError as error:
        raise StokerError("NOT_FOUND", f"{file}: {error.strerror or error}.", "Give a log that can be read.") from error
