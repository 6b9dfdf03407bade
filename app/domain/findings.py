"""What an engine's output proves, line by line as it comes: failures, recoveries and milestones, in one pass.

One automaton looks for the fixed texts of every rule at once; only a line that holds one is looked at closely. So the
cost hangs on the bytes, not on the number of rules, and what is kept in memory on neither the bytes nor the lines.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from app.domain.normalise import Said, mask, said, strip_colours
from app.domain.rules import Rule
from app.domain.text import safe

if TYPE_CHECKING:
    from ahocorasick_rs import BytesAhoCorasick

EVIDENCE_LIMIT = 300
"""Characters of evidence that are kept."""
CONTEXT_LINES = 40
"""How far up a rule's context may stand: a decisive line is up to some thirty lines above the last one."""
REPEATS = 3
"""How often one rule is reported between two recoveries; the same fault is told by every rank and every layer."""
_LINE_LIMIT = 1 << 20
"""A line longer than this is taken in parts, so that a program that never ends one fills no memory."""
_STEP = 0.05
"""How much of a stage must have passed before it is reported again."""

Kind = Literal["failure", "milestone", "recovered"]
Captured = dict[str, str | int | float]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something recognised in one line of output, or in an exit.

    `code` is one of the catalogue, for a milestone its stage (`weights`, `capture`, …). `line` counts from 1, `offset`
    is the global offset of its first byte; both are None for what no line says. `evidence` is that line, safe to show.
    `captured` holds numbers and names of it: sizes in bytes, `requested`, `free`, `limit`, `port`, `flag`, `xid`;
    `fraction` for a milestone that says how far it is.
    """

    rule: str
    code: str
    kind: Kind
    line: int | None
    evidence: str
    captured: Captured = field(default_factory=dict)
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """A failure that nothing has taken back, with the rule that found it and the start of the engine it belongs to."""

    finding: Finding
    rule: Rule
    start: int
    rank: float


class Rules:
    """Rules made ready to be looked for together. Made once and shared: building the automaton takes milliseconds."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.all = tuple(rules)
        owners: dict[bytes, list[int]] = {}
        for index, rule in enumerate(self.all):
            for text in rule.find:
                owners.setdefault(text.encode(), []).append(index)
        self._owners = list(owners.values())
        self._texts = list(owners)
        self._always = [index for index, rule in enumerate(self.all) if not rule.find]

    @cached_property
    def _automaton(self) -> "BytesAhoCorasick":
        from ahocorasick_rs import BytesAhoCorasick, Implementation

        return BytesAhoCorasick(self._texts, implementation=Implementation.DFA)

    def places(self, data: bytes) -> Iterator[int]:
        """Where in `data` something stands that a rule looks for, ascending: one place at least in each such line."""
        if self._always:
            yield from (found.start() for found in re.finditer(rb"[^\r\n]+", data))
        else:
            yield from (start for _, start, _ in self._automaton.find_matches_as_indexes(data))

    def concerned(self, text: bytes) -> list[Rule]:
        """The rules whose fixed text stands in a line, those nearest to a cause first."""
        matches = self._automaton.find_matches_as_indexes(text, overlapping=True) if self._texts else []
        found = {index for text_index, _, _ in matches for index in self._owners[text_index]}
        return sorted((self.all[index] for index in found.union(self._always)), key=lambda rule: rule.rank)


class Detector:
    """Finds what `rules` describe in one stream of output, given in pieces as it grows.

    `engine` leaves out the rules for others; None tries them all. `limited` says that it ran under a memory limit.
    """

    def __init__(self, rules: Rules, engine: str | None = None, *, limited: bool = False) -> None:
        self._rules, self._engine, self._limited = rules, engine, limited
        self._rest = b""
        self._offset = 0
        self._line = 1
        self._starts = 0
        self._stopping = False
        self._told: dict[tuple[str, int], int] = {}
        self._fractions: dict[str, float] = {}
        self._contexts: dict[str, int] = {}
        self.standing: dict[tuple[str, int], Standing] = {}
        self.last = b""

    @property
    def lines(self) -> int:
        """How many lines have come to an end."""
        return self._line - 1

    def feed(self, data: bytes) -> Iterator[Finding]:
        """What `data`, the next bytes of the stream, has brought. Iterate to the end before the next call."""
        data = self._rest + data
        cut = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        if not cut and len(data) < _LINE_LIMIT:
            self._rest = data
            return
        whole, self._rest = (data[:cut], data[cut:]) if cut else (data, b"")
        yield from self._scan(whole)

    def end(self) -> Iterator[Finding]:
        """What the line says that was never ended."""
        rest, self._rest = self._rest, b""
        if rest:
            yield from self._scan(rest)

    def skip(self, missing: int) -> None:
        """Note that `missing` bytes of the stream are not kept."""
        self._offset += missing

    def _scan(self, whole: bytes) -> Iterator[Finding]:
        text = strip_colours(whole)
        done = counted = 0
        for place in self._rules.places(text):
            if place < done:
                continue
            begin = max(text.rfind(b"\n", done, place), text.rfind(b"\r", done, place), done - 1) + 1
            end = text.find(b"\n", place)
            end = len(text) if end < 0 else end
            back = text.find(b"\r", place, end)
            done = end if back < 0 else back
            self._line += text.count(b"\n", counted, begin)
            counted = begin
            offset = self._offset + (begin if text is whole else _same_line(whole, text, begin))
            yield from self._look(text[begin:done], offset)
        self._line += text.count(b"\n", counted)
        self._offset += len(whole)
        self.last = _last(text) or self.last

    def _look(self, raw: bytes, offset: int) -> Iterator[Finding]:
        line = said(raw.decode("utf-8", "replace"))
        if not line.text:
            return
        codes = set()
        for rule in self._rules.concerned(line.text.encode()):
            if rule.code in codes or not self._applies(rule):
                continue
            captured = self._match(rule, line)
            if captured is None:
                continue
            match rule.kind:
                case "context":
                    self._contexts[rule.id] = self._line
                case "milestone":
                    yield from self._milestone(rule, line.text, captured, offset)
                case "recovered":
                    yield from self._recovered(rule, line.text, offset)
                case "failure":
                    codes.add(rule.code)  # one line is evidence of one thing once
                    yield from self._failure(rule, line, captured, offset)

    def _applies(self, rule: Rule) -> bool:
        others = rule.engines and self._engine is not None and self._engine not in rule.engines
        return not others and (self._limited or not rule.limited)

    def _match(self, rule: Rule, line: Said) -> Captured | None:
        """What `rule` captures in the line, None if it does not apply."""
        if rule.after is not None and self._line - self._contexts.get(rule.after, -CONTEXT_LINES - 1) > CONTEXT_LINES:
            return None
        captured: Captured = {}
        if rule.pattern is not None:
            found = rule.pattern.search(line.text)
            if found is None:
                return None
            captured |= _captured(found)
        if rule.unless is not None and rule.unless.search(line.text):
            return None
        if rule.capture is not None and (found := rule.capture.search(line.text)):
            captured |= _captured(found)
        return captured

    def _failure(self, rule: Rule, line: Said, captured: Captured, offset: int) -> Iterator[Finding]:
        if rule.summary and (self._stopping or line.level in ("TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "WARNING")):
            return  # an orderly end, or somebody who coped: neither is the end of the engine
        key = rule.id, self._starts
        told = self._told.get(key, 0)
        self._told[key] = told + 1
        finding = Finding(rule.id, rule.code, "failure", self._line, _evidence(line.text), captured, offset)
        rank = rule.rank + (0.5 if line.quoted else 0)
        if key not in self.standing or rank < self.standing[key].rank:
            self.standing[key] = Standing(finding, rule, self._starts, rank)
        if told < REPEATS:
            yield finding

    def _recovered(self, rule: Rule, text: str, offset: int) -> Iterator[Finding]:
        codes = {s.finding.code: None for s in self._cancel(rule)}
        for code in codes:
            yield Finding(rule.id, code, "recovered", self._line, _evidence(text), {}, offset)

    def _milestone(self, rule: Rule, text: str, captured: Captured, offset: int) -> Iterator[Finding]:
        if rule.stage == "start":
            self._start_again()
        elif rule.stage == "stop":
            self._stopping = True
        if rule.cancels:
            yield from self._recovered(rule, text, offset)
        if "fraction" in captured:
            fraction, before = float(captured["fraction"]), self._fractions.get(rule.stage)
            if before is not None and before <= fraction < min(1.0, before + _STEP):
                return
            if before == fraction:
                return
            self._fractions[rule.stage] = fraction
        elif self._told.get((rule.id, self._starts)):
            return
        self._told[rule.id, self._starts] = 1
        yield Finding(rule.id, rule.stage, "milestone", self._line, _evidence(text), captured, offset)

    def _start_again(self) -> None:
        """Begin to count for another start; what the one before the last has left is forgotten."""
        self._starts += bool(self.standing)
        self._stopping = False
        self._fractions.clear()
        self.standing = {key: s for key, s in self.standing.items() if s.start >= self._starts - 1}
        self._told = {key: times for key, times in self._told.items() if key[1] >= self._starts - 1}

    def _cancel(self, rule: Rule) -> list[Standing]:
        """Take back the standing failures that `rule` names by code or id, or all (`*`) but those of the hardware."""
        gone = [
            standing
            for standing in self.standing.values()
            if ("*" in rule.cancels and not standing.rule.lasting)
            or rule.cancels & {standing.finding.code, standing.rule.id}
        ]
        for standing in gone:
            del self.standing[standing.rule.id, standing.start]
            self._told.pop((standing.rule.id, standing.start), None)
        return gone


_STAGES = {
    "start": "starting",
    "download": "downloading",
    "weights": "reading the weights",
    "compile": "compiling",
    "kv": "KV cache",
    "capture": "capturing graphs",
    "warmup": "warming up",
    "ready": "listening",
    "stop": "shutting down",
}


def label(finding: Finding) -> str:
    """What was found, in a word or two: a code, or the stage and how far it is: `reading the weights 40 %`."""
    if finding.kind == "recovered":
        return f"recovered from {finding.code}"
    if finding.kind == "failure":
        return finding.code
    fraction = finding.captured.get("fraction")
    word = _STAGES[finding.code]
    return word if fraction is None else f"{word} {round(float(fraction) * 100)} %"


_SIZE = re.compile(r"([\d.]+) ?([KMGT]?)(i?)(B|bytes)?", re.IGNORECASE)


def _captured(found: re.Match[str]) -> Captured:
    """The named groups of a match: sizes with a unit in bytes, other numbers as they are, the rest as safe text.

    `percent`, or `done` of `total`, become `fraction`, from 0 to 1.
    """
    captured: Captured = {}
    for name, value in found.groupdict().items():
        if value is not None:
            captured[name] = _value(value.strip())
    percent, done, total = (captured.pop(name, None) for name in ("percent", "done", "total"))
    if isinstance(percent, int | float):
        captured["fraction"] = min(1.0, percent / 100)
    elif isinstance(done, int | float) and isinstance(total, int | float) and total:
        captured["fraction"] = min(1.0, done / total)
    return captured


def _value(text: str) -> str | int | float:
    plain = text.replace(",", "")
    size = _SIZE.fullmatch(plain)
    try:
        if size is None:
            return safe(mask(text), EVIDENCE_LIMIT)
        if size[2] or size[4]:
            return int(float(size[1]) * 1024 ** " kmgt".index(size[2].lower() or " "))
        return int(plain) if plain.isdigit() else float(plain)
    except ValueError:
        return safe(mask(text), EVIDENCE_LIMIT)


def _evidence(text: str) -> str:
    return safe(mask(text.strip()[: EVIDENCE_LIMIT * 4]), EVIDENCE_LIMIT)


def _same_line(whole: bytes, text: bytes, begin: int) -> int:
    """Where the line of `whole` begins that stands at `begin` in `text`, the same without colours."""
    place = -1
    for _ in range(text.count(b"\n", 0, begin)):
        place = whole.find(b"\n", place + 1)
    return place + 1


def _last(text: bytes) -> bytes:
    """The last line that says something, as far as the end of `text` holds it."""
    tail = text[-4_096:].replace(b"\r", b"\n").rstrip()
    return tail[tail.rfind(b"\n") + 1 :]
