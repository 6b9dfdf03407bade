"""One deployment on a screen of its own: who it is, where it answers, its instances, why it failed."""

import textwrap
from collections.abc import Mapping, Sequence

from app.domain.facts import Deployment, Instance
from app.domain.fix import Fix
from app.domain.lifecycle import State
from app.domain.text import safe
from app.render.cells import Cell, Line, line, table
from app.render.deployment import Document, failure_lines, headline, ready
from app.render.fixes import fix_lines
from app.render.states import instance_cell
from app.render.timeline import Step, way_up
from app.render.words import UNKNOWN, ago, brief, span

Load = tuple[tuple[int, int] | None, float]
"""What an instance has in flight with its cap, None if that is not known, and tokens a second."""


def head(document: Document, deployment: Deployment, variant: int | None, now: int) -> Line:
    """Name and status, then what it is, the most telling first."""
    since = min((i.ready_at for i in deployment.instances if i.ready_at is not None), default=None)
    words = [
        f"{ready(document)} ready",
        f"variant {UNKNOWN if variant is None else variant}",
        *([] if since is None else [f"up {span(now - since)}"]),
        document["model"],
        f"{document['engine']} on {document['backend']}",
    ]
    return line(Cell(document["name"], "accent"), "  ", headline(document, now), Cell("  " + " · ".join(words), "dim"))


def failure_card(
    instance: Instance, fail: Document, fixes: Sequence[Fix], width: int, now: int, most: int
) -> list[Line]:
    """A failure and what would mend it in at most `width` columns, its texts in at most `most` lines each."""
    attempt = "" if instance.attempt is None else f", attempt {instance.attempt.number}"
    lines = [line(Cell(f"{instance.name} failed {ago(now, fail['at'])}{attempt}", "dim"))]
    for parts in failure_lines(fail, now, remedy=not any(fix.mends for fix in fixes)):
        lines += _folded(parts, width, most)
    return lines + fix_lines(fixes, most=most)


def endpoint_lines(document: Document, width: int) -> list[Line]:
    """Where it answers and how to call it, with the keys that copy each."""
    url, name = document["url"], document["name"]
    if not url:
        return [line(Cell("ENDPOINT  ", "dim"), Cell("no gateway runs", "look"))]
    room = width - len("ENDPOINT   y copies")
    full = f'{url}   model "{name}"'
    rows = (
        ("ENDPOINT  ", full if len(full) <= room else url, "y"),
        ("CURL      ", f"curl {url}/chat/completions -d …", "c"),
        ("OPENAI    ", f'OpenAI(base_url="{url}", api_key=…)', "o"),
    )
    lines: list[Line] = []
    for title, text, key in rows:
        shown = text if len(text) <= room else text[: room - 1] + "…"
        lines.append(line(Cell(title, "dim"), shown.ljust(room), Cell(f" {key}", "accent"), Cell(" copies", "dim")))
    return lines


def instance_lines(
    instances: Sequence[Instance], chosen: str | None, loads: Mapping[str, Load], now: int, most: int
) -> list[Line]:
    """Instances under headings, at most `most` of them, the chosen one marked if there are several."""
    if not instances:
        return [line(Cell("no instance", "dim"))]
    shown = _around(instances, chosen, most)
    body = []
    for each in shown:
        flight, tokens = loads.get(each.id, (None, 0.0))
        here = each.name == chosen and len(instances) > 1
        body.append(
            (
                Cell(f"▸{each.name}" if here else f" {each.name}" if len(instances) > 1 else each.name),
                instance_cell(each.state, each.phase),
                UNKNOWN if flight is None else f"{flight[0]}/{flight[1]}",
                f"{tokens:.0f}" if tokens else UNKNOWN,
                brief(now - each.since),
            )
        )
    lines = table(("INSTANCE", "STATE", "IN FLIGHT", "TOK/S", "SINCE"), body, right=("IN FLIGHT", "TOK/S"))
    rest = len(instances) - len(shown)
    return [*lines, line(Cell(f"and {rest} more", "dim"))] if rest else lines


def attempt_line(instance: Instance | None, found: Sequence[Step], now: int) -> Line:
    """Which attempt the timeline is of, and how it went."""
    if instance is None or instance.attempt is None:
        return line(Cell("ATTEMPT   none yet", "dim"))
    took = way_up(found)
    words = [f"began {ago(now, instance.attempt.created_at)}"]
    if took is not None:
        words.append(f"up in {span(took)}")
    title = f"ATTEMPT {instance.attempt.number}"
    return line(Cell(f"{title:<10}", "dim"), instance.name, Cell(" · " + " · ".join(words), "dim"))


def words_of(document: Document, instances: Sequence[Instance]) -> list[str]:
    """The words in which a deployment is told of, for whoever asks what they mean: status, codes, phases."""
    codes = [i.failure_code for i in instances if i.state is State.FAILED and i.failure_code]
    phases = [i.phase.value for i in instances if i.state is not State.FAILED]
    return list(dict.fromkeys([document["status"], *codes, *phases]))


def _folded(parts: Line, width: int, most: int) -> list[Line]:
    """A line of cells folded at its last cell, which is the long one."""
    *lead, last = parts
    used = sum(len(safe(cell.text)) for cell in lead)
    text = safe(last.text)
    indent = " " * (len(text) - len(text.lstrip()))
    pieces = textwrap.wrap(
        text.strip(), max(10, width - used - len(indent)), max_lines=most, placeholder=" …", break_on_hyphens=False
    )
    pieces = pieces or [""]
    first: Line = (*lead, Cell(indent + pieces[0], last.tone))
    return [first, *((Cell(" " * used + indent + piece, last.tone),) for piece in pieces[1:])]


def _around(instances: Sequence[Instance], chosen: str | None, most: int) -> Sequence[Instance]:
    """At most `most` of the instances, the chosen one among them."""
    if len(instances) <= most:
        return instances
    at = next((n for n, each in enumerate(instances) if each.name == chosen), 0)
    first = max(0, min(at - most // 2, len(instances) - most))
    return instances[first : first + most]


def picked(instances: Sequence[Instance], name: str | None) -> Instance | None:
    """The instance of that name; else the first that has failed, else the first."""
    by_name = [i for i in instances if i.name == name]
    failed = [i for i in instances if i.state is State.FAILED]
    return next(iter((*by_name, *failed, *instances)), None)
