"""The regions of the deployment screen as lines, from facts. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from app.domain.facts import Deployment
from app.domain.fix import Fix
from app.domain.fleet import Fleet
from app.domain.flight import Mark
from app.domain.variant import VariantSpec
from app.feed import Rate, Traffic
from app.render import cells, detail
from app.render import deployment as render
from app.render.deployment import Document
from app.render.events import recent
from app.render.flight import SIGNS
from app.render.timeline import Step, steps
from app.render.words import UNKNOWN, ago, latency
from app.screens.base import to_spans
from app.store.traffic import MINUTE_US, Minute
from widgets.plot import Axis, beside, plot, sparkline
from widgets.spans import Line, Span
from widgets.theme import Glyphs
from widgets.timeline import Phase, Point, timeline, timeline_line

WIDE = 100
"""From this width on there are two columns; below, one with the most telling first."""
MARGIN = 1
GAP = 2
_INSTANCES_NARROW = 2
_INSTANCES_WIDE = 6
_MARKS_TOLD = 4
_PLOT = (6, 10)
"""Fewest and most lines of a plot; where there is less room a line of sparks stands for it."""
_NOTE = "last hour"


@dataclass(frozen=True, slots=True)
class Facts:
    """One deployment: its variants and its events, oldest first, the last hour by minute, and what goes on now."""

    deployment: Deployment
    variants: Sequence[tuple[str, int, VariantSpec, int]]
    events: Sequence[Document]
    minutes: Sequence[Minute | None]
    traffic: Traffic
    fixes: Sequence[Fix] = ()
    record: Sequence[Mark] = ()


class Overview:
    """What to show of `facts` in `width` columns. `chosen` names the instance that the attempt is shown of."""

    def __init__(self, fleet: Fleet, facts: Facts, chosen: str | None, width: int, glyphs: Glyphs) -> None:
        self.facts = facts
        self._fleet = fleet
        self.now = fleet.now
        self.document = render.row(fleet, facts.deployment)
        self.instance = detail.picked(facts.deployment.instances, chosen)
        self.wide = width >= WIDE
        self.half = (width - GAP) // 2
        self.width = width
        self._glyphs = glyphs
        self._steps = self._course()

    def top(self, room: int) -> list[Line]:
        """Who it is and why it failed; in one column also where it answers, its instances, traffic and attempt.

        One column has `room` lines for it all; what does not fit is left out, the least telling first.
        """
        deployment, width = self.facts.deployment, self.width - 2 * MARGIN
        number = next((v[1] for v in self.facts.variants if v[0] == deployment.variant_id), None)
        head = self._lines([detail.head(self.document, deployment, number, self.now)])
        card: list[Line] = []
        if self.instance is not None and (fail := render.failure(self.instance, deployment.name)) is not None:
            most = 4 if self.wide else 2
            fixes = self.facts.fixes if self.instance is deployment.failed else ()
            card = self._lines(detail.failure_card(self.instance, fail, fixes, width, self.now, most))
        shown = [head, card]
        if not self.wide:
            attempt, sparks = self._attempt_in_a_line(), self._sparks(width)
            endpoint = self._lines(detail.endpoint_lines(self.document, width)[:1])
            instances = self._lines(self._instances(_INSTANCES_NARROW))
            # From the fullest to the barest.
            for more in (
                ([attempt, *endpoint, sparks], instances),
                ([attempt, *endpoint], instances),
                ([attempt, *endpoint],),
                ([attempt],),
            ):
                shown = [head, card, *more]
                if sum(len(block) + 1 for block in shown if block) <= room:
                    break
        return [line for block in shown if block for line in (*block, ())]

    def attempt(self) -> list[Line]:
        """The attempt of the instance: a line a phase."""
        title = self._lines([detail.attempt_line(self.instance, self._steps, self.now)])
        phases = [self._phase(step) for step in self._steps]
        marks = self._marks()
        points = [Point(seconds, *SIGNS[mark.kind]) for seconds, mark in marks]
        return [*title, *timeline(phases, self.half, self._glyphs, points), *self._told(marks), ()]

    def _marks(self) -> list[tuple[float, Mark]]:
        """What the phases do not tell, each with its second of the attempt: milestones, findings, what people did."""
        attempt = None if self.instance is None else self.instance.attempt
        if attempt is None:
            return []
        told = (mark for mark in self.facts.record if mark.kind == "action" or mark.line is not None)
        return [((mark.at - attempt.created_at) / 1_000_000, mark) for mark in told]

    def _told(self, marks: Sequence[tuple[float, Mark]]) -> list[Line]:
        """The last kinds of them in words, each where it came first."""
        lines = []
        first = {mark.text: (seconds, mark) for seconds, mark in reversed(marks)}
        for seconds, mark in list(reversed(first.values()))[-_MARKS_TOLD:]:
            sign, tone = SIGNS[mark.kind]
            after = f" {latency(round(seconds * 1_000_000)):>7}  {mark.text}"
            lines.append(cells.line(cells.Cell(sign, tone), after, cells.Cell(f"  {mark.detail}", "dim")))
        return self._lines(lines)

    def right(self, room: int) -> list[Line]:
        """Where it answers, its instances, and its traffic as plots if there are lines for them in `room`."""
        width = self.half - MARGIN
        endpoint = self._lines(detail.endpoint_lines(self.document, width))
        most = max(1, min(_INSTANCES_WIDE, room - len(endpoint) - 4))
        lines = [*endpoint, (), *self._lines(self._instances(most)), ()]
        height = min(_PLOT[1], room - len(lines))
        pictures = self._plots(width, height) if height >= _PLOT[0] and self._busy else [self._sparks(width)]
        return lines + pictures

    def variants(self) -> list[tuple[str, Line]]:
        """A row a variant, newest first, by its number."""
        documents = render.variants(self.facts.variants, self.facts.deployment.variant_id)
        return [(str(d["number"]), self._variant(d)) for d in reversed(documents)]

    def events(self) -> list[Line]:
        """What happened, newest first."""
        return self._lines(recent(self.facts.events, self.now))

    def _course(self) -> list[Step]:
        attempt = None if self.instance is None else self.instance.attempt
        if self.instance is None or attempt is None:
            return []
        course = steps(self.facts.events, self.instance.name, attempt.created_at, self.now)
        word = render.progress(self._fleet, self.instance)
        return [replace(step, note=word) if step.state == "now" and word else step for step in course]

    def _phase(self, step: Step) -> Phase:
        # What is no step of the way up gets no bar: beside weeks of serving nothing else would be seen.
        seconds = None if step.us is None or step.rest else step.us / 1_000_000
        return Phase(step.name, step.state, seconds, step.text, step.note)

    def _attempt_in_a_line(self) -> Line:
        if not self._steps:
            return self._lines([detail.attempt_line(self.instance, self._steps, self.now)])[0]
        return [(" ATTEMPT   ", "dim"), *timeline_line([self._phase(step) for step in self._steps], self._glyphs)]

    def _instances(self, most: int) -> list[cells.Line]:
        deployment, traffic = self.facts.deployment, self.facts.traffic
        loads = {
            i.id: (traffic.in_flight.get(i.name), traffic.instances.get(i.id, Rate()).tokens)
            for i in deployment.instances
        }
        name = None if self.instance is None else self.instance.name
        return detail.instance_lines(deployment.instances, name, loads, self.now, most)

    def _variant(self, document: Document) -> Line:
        current = document["current"]
        number: Span = (f"{document['number']}{' current' if current else ''}", "accent" if current else "plain")
        words = to_spans((cells.Cell(render.variant_words(document)),), self._glyphs)
        return [number, (ago(self.now, document["created_at"]), "dim"), *words]

    def _series(self) -> tuple[list[float | None], list[float | None]]:
        """Requests a second and median times to a first token in microseconds.

        None before there was a deployment, and where a busy hour has not been read yet.
        """
        minutes = self.facts.minutes
        age = (self.now - self.facts.deployment.created_at) // MINUTE_US + 1
        known = [m if n >= len(minutes) - age else None for n, m in enumerate(minutes)]
        rates = [None if m is None else m.requests * 1_000_000 / m.us for m in known]
        return rates, [None if m is None or m.ttft_us is None else float(m.ttft_us) for m in known]

    @property
    def _busy(self) -> bool:
        return any(minute is not None and minute.requests for minute in self.facts.minutes)

    def _plots(self, width: int, height: int) -> list[Line]:
        rates, times = self._series()
        each = (width - GAP) // 2
        # The heading has the last value there is, which need not be of now.
        heading = "TTFT" if times[-1] is not None else "LAST TTFT"
        left = plot(rates, each, height, Axis("REQ/S", _rate, "1 h ago", note=_NOTE), glyphs=self._glyphs)
        right = plot(
            times, each, height, Axis(heading, _latency, "1 h ago", note=_NOTE), style="cyan", glyphs=self._glyphs
        )
        return [[(" ", "plain"), *line] for line in beside(left, right, each, GAP)]

    def _sparks(self, width: int) -> Line:
        if not self._busy:
            return [(" TRAFFIC   ", "dim"), ("no requests in the last hour", "dim")]
        rates, times = self._series()
        rate = self.facts.traffic.deployments.get(self.facts.deployment.id, Rate())
        ttft = UNKNOWN if rate.ttft_us is None else latency(rate.ttft_us)
        room = max(4, (width - 40) // 2)
        return [
            (" TRAFFIC   ", "dim"),
            (f"{rate.requests:.1f} req/s " if rate.requests else f"{UNKNOWN} req/s ", "plain"),
            (sparkline(rates, room, glyphs=self._glyphs), "accent"),
            (f"  TTFT {ttft} ", "plain"),
            (sparkline(times, room, glyphs=self._glyphs), "cyan"),
        ]

    def _lines(self, lines: Iterable[cells.Line]) -> list[Line]:
        return [[(" " * MARGIN, "plain"), *to_spans(line, self._glyphs)] for line in lines]


def _rate(value: float) -> str:
    return f"{value:.0f}" if value >= 10 or not value else f"{value:.2g}"


def _latency(us: float) -> str:
    return latency(round(us))
