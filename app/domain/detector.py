"""What an engine's output proves, line by line as it comes: failures, recoveries and milestones, in one pass.

One automaton looks for the fixed texts of every rule at once; only a line that holds one is looked at closely. So the
cost hangs on the bytes, not on the number of rules, and what is kept in memory on neither the bytes nor the lines.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from app.domain.findings import Captured, Finding, captured, evidence
from app.domain.normalise import COLOURS, Said, said, strip_colours
from app.domain.rules import Rule

if TYPE_CHECKING:
    from ahocorasick_rs import BytesAhoCorasick

CONTEXT_LINES = 40
"""How far up a rule's context may stand: a decisive line is up to some thirty lines above the last one."""
REPEATS = 3
"""How often one rule is reported between two recoveries; the same fault is told by every rank and every layer."""
_LINE_LIMIT = 1 << 20
"""A line longer than this is taken in parts, so that a program that never ends one fills no memory."""
_STEP = 0.05
"""How much of a stage must have passed before it is reported again."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A failure that nothing has taken back, with the rule that found it and the start of the engine it belongs to."""

    finding: Finding
    rule: Rule
    start: int
    rank: float


_EVERY_LINE = -1


class Rules:
    """Rules made ready to be looked for together. Made once and shared: building the automaton takes milliseconds."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.all = tuple(rules)
        owners: dict[bytes, list[int]] = {}
        for index, rule in enumerate(self.all):
            for text in rule.find:
                owners.setdefault(text.encode(), []).append(index)
        self._owners = [frozenset(indexes) for indexes in owners.values()]
        # A colour may stand in the middle of a text, so whatever is coloured is looked at.
        self._texts = [*owners, *COLOURS]
        self._always = frozenset(index for index, rule in enumerate(self.all) if not rule.find)
        self._seeking = [*map(self._ranked, self._owners), *(self.all for _ in COLOURS), self.all]

    @cached_property
    def _automaton(self) -> "BytesAhoCorasick":
        from ahocorasick_rs import BytesAhoCorasick, Implementation

        return BytesAhoCorasick(self._texts, implementation=Implementation.DFA)

    def places(self, data: bytes) -> Sequence[tuple[int, int, int]]:
        """What of that which rules look for stands in `data`: (a number for it, where it begins, where it ends)."""
        if self._always:
            return [(_EVERY_LINE, *found.span()) for found in re.finditer(rb"[^\r\n]+", data)]
        return self._automaton.find_matches_as_indexes(data, overlapping=True)

    def seeking(self, number: int) -> Sequence[Rule]:
        """The rules that may be looking for what has this number, those nearest to a cause first."""
        return self._seeking[number]

    def found(self, numbers: AbstractSet[int], line: bytes) -> tuple[bytes, Sequence[Rule]]:
        """A line that holds what has these `numbers`, without colours, and the rules whose fixed text stands in it."""
        if len(numbers) == 1 and 0 <= (number := min(numbers)) < len(self._owners):
            return line, self._seeking[number]
        if min(numbers) >= 0 and max(numbers) < len(self._owners):
            return line, self._ranked(frozenset().union(*(self._owners[number] for number in numbers)))
        line = strip_colours(line)
        return line, self.concerned(line)

    def concerned(self, text: bytes) -> Sequence[Rule]:
        """The rules whose fixed text stands in a line, those nearest to a cause first."""
        places = self._automaton.find_matches_as_indexes(text, overlapping=True)
        numbers = {number for number, _, _ in places if number < len(self._owners)}
        return self._ranked(self._always.union(*(self._owners[number] for number in numbers)))

    def _ranked(self, indexes: Iterable[int]) -> tuple[Rule, ...]:
        return tuple(sorted((self.all[index] for index in indexes), key=lambda rule: rule.rank))


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
        self._gradual: set[str] = set()
        self._known: dict[int, bool] = {}
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

    def _scan(self, text: bytes) -> Iterator[Finding]:
        done = counted = at = 0
        places, known = self._rules.places(text), self._known
        most = len(places)
        while at < most:
            number, place, _ = places[at]
            at += 1
            if known.get(number) or place < done or self._dull(number):
                continue
            begin = max(text.rfind(b"\n", done, place), text.rfind(b"\r", done, place), done - 1) + 1
            end = text.find(b"\n", place)
            end = len(text) if end < 0 else end
            back = text.find(b"\r", place, end)
            done = end if back < 0 else back
            numbers = {number}
            while at < most and places[at][1] < done:
                numbers.add(places[at][0])
                at += 1
            self._line += text.count(b"\n", counted, begin)
            counted = begin
            yield from self._look(text[begin:done], self._offset + begin, numbers)
        self._line += text.count(b"\n", counted)
        self._offset += len(text)
        self.last = _last(text) or self.last

    def _look(self, raw: bytes, offset: int, numbers: AbstractSet[int]) -> Iterator[Finding]:
        raw, rules = self._rules.found(numbers, raw)
        concerned = [rule for rule in rules if self._matters(rule)]
        if not concerned:
            return
        line, codes = said(raw.decode("utf-8", "replace")), set()
        for rule in concerned:
            if rule.code in codes or (rule.find and not any(text in line.text for text in rule.find)):
                continue
            values = self._match(rule, line)
            if values is None:
                continue
            match rule.kind:
                case "context":
                    self._contexts[rule.id] = self._line
                case "milestone":
                    yield from self._milestone(rule, line.text, values, offset)
                case "recovered":
                    yield from self._recovered(rule, line.text, offset)
                case "failure":
                    codes.add(rule.code)  # one line is evidence of one thing once
                    yield from self._failure(rule, line, values, offset)

    def _dull(self, number: int) -> bool:
        """Whether no rule that looks for this can tell anything new, as things stand."""
        dull = self._known.get(number)
        if dull is None:
            dull = True
            for rule in self._rules.seeking(number):  # a loop, because `any` would be half of what this costs
                if self._matters(rule):
                    dull = False
                    break
            self._known[number] = dull
        return dull

    def _matters(self, rule: Rule) -> bool:
        """Whether a match of `rule` could tell anything new; most lines of a long log cannot, and are left at that."""
        if rule.engines and self._engine is not None and self._engine not in rule.engines:
            return False
        key = rule.id, self._starts
        match rule.kind:
            case "failure":
                standing = self.standing.get(key)
                known = standing is not None and standing.rank == rule.rank and self._told.get(key, 0) >= REPEATS
                return not known and (self._limited or not rule.limited)
            case "recovered":
                return bool(self.standing)
            case "milestone" if rule.stage not in ("start", "stop") and rule.id not in self._gradual:
                return key not in self._told or bool(rule.cancels and self.standing)
        return True

    def _match(self, rule: Rule, line: Said) -> Captured | None:
        """What `rule` captures in the line, None if it does not apply."""
        if rule.after is not None and self._line - self._contexts.get(rule.after, -CONTEXT_LINES - 1) > CONTEXT_LINES:
            return None
        numbers: Captured = {}
        if rule.pattern is not None:
            found = rule.pattern.search(line.text)
            if found is None:
                return None
            numbers |= captured(found)
        if rule.unless is not None and rule.unless.search(line.text):
            return None
        if rule.capture is not None and (found := rule.capture.search(line.text)):
            numbers |= captured(found)
        return numbers

    def _failure(self, rule: Rule, line: Said, numbers: Captured, offset: int) -> Iterator[Finding]:
        if rule.summary and (self._stopping or line.level in ("TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "WARNING")):
            return  # an orderly end, or somebody who coped: neither is the end of the engine
        key = rule.id, self._starts
        told = self._told.get(key, 0)
        self._told[key] = told + 1
        self._known.clear()
        finding = Finding(rule.id, rule.code, "failure", self._line, evidence(line.text), numbers, offset)
        rank = rule.rank + (0.5 if line.quoted else 0)
        if key not in self.standing or rank < self.standing[key].rank:
            self.standing[key] = Standing(finding, rule, self._starts, rank)
        if told < REPEATS:
            yield finding

    def _recovered(self, rule: Rule, text: str, offset: int) -> Iterator[Finding]:
        codes = {s.finding.code: None for s in self._cancel(rule)}
        for code in codes:
            yield Finding(rule.id, code, "recovered", self._line, evidence(text), {}, offset)

    def _milestone(self, rule: Rule, text: str, numbers: Captured, offset: int) -> Iterator[Finding]:
        if rule.stage == "start":
            self._start_again()
        elif rule.stage == "stop":
            self._stopping = True
        if rule.cancels:
            yield from self._recovered(rule, text, offset)
        if "fraction" in numbers:
            fraction, before = float(numbers["fraction"]), self._fractions.get(rule.stage)
            if before is not None and before <= fraction < min(1.0, before + _STEP):
                return
            if before == fraction:
                return
            self._fractions[rule.stage] = fraction
            self._gradual.add(rule.id)
        elif self._told.get((rule.id, self._starts)):
            return
        self._told[rule.id, self._starts] = 1
        self._known.clear()
        yield Finding(rule.id, rule.stage, "milestone", self._line, evidence(text), numbers, offset)

    def _start_again(self) -> None:
        """Begin to count for another start; what the one before the last has left is forgotten."""
        self._starts += bool(self.standing)
        self._stopping = False
        self._known.clear()
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
        self._known.clear()
        for standing in gone:
            del self.standing[standing.rule.id, standing.start]
            self._told.pop((standing.rule.id, standing.start), None)
        return gone


def _last(text: bytes) -> bytes:
    """The last line that says something, as far as the end of `text` holds it."""
    tail = text[-4_096:].replace(b"\r", b"\n").rstrip()
    return tail[tail.rfind(b"\n") + 1 :]
