"""A conversation with one model or several at once: who is asked, how, and what came back."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from app.domain.names import valid_name
from app.domain.text import safe

Message = dict[str, str]
"""A message of OpenAI's chat protocol: `role` and `content`."""

COLUMNS = 4
"""How many are asked at once, at most."""

_VARIANT = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class Target:
    """Who is asked: a deployment by its name, or with `variant` only the replicas of that one."""

    name: str
    variant: int | None = None

    @property
    def model(self) -> str:
        """What a request names as its model: `demo`, or `demo@3` for a variant."""
        return self.name if self.variant is None else f"{self.name}@{self.variant}"


def read_target(text: str) -> Target:
    """The target that a model's name means. Raises ValueError."""
    name, at, number = text.partition("@")
    if not valid_name(name) or (at and not _VARIANT.fullmatch(number)):
        raise ValueError(f"`{safe(text, 80)}` names no deployment; give NAME, or NAME@3 for its variant 3.")
    return Target(name, int(number) if at else None)


@dataclass(frozen=True, slots=True)
class ChatSettings:
    """How an answer is generated. What is None is the engine's to choose; `system` goes before the first message."""

    temperature: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    system: str = ""

    def fields(self) -> dict[str, Any]:
        """What of it goes into the body of a request."""
        values = {"temperature": self.temperature, "max_tokens": self.max_tokens, "seed": self.seed}
        return {name: value for name, value in values.items() if value is not None}

    def to_json(self) -> dict[str, Any]:
        """What is kept of it: only what was set."""
        return {name: value for name, value in asdict(self).items() if value not in (None, "")}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "ChatSettings":
        """What `to_json` kept; a field that is not known is left out."""
        return cls(**{f.name: document[f.name] for f in fields(cls) if f.name in document})


class BadSetting(ValueError):
    """A setting whose text means nothing; `field` is its name."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


def read_settings(values: Mapping[str, str]) -> ChatSettings:
    """The settings that a form's texts mean; an empty one is not set. Raises BadSetting."""
    return ChatSettings(
        temperature=_number(values, "temperature", 0, 2),
        max_tokens=_whole(values, "max_tokens", 1, 1 << 30),
        seed=_whole(values, "seed", 0, (1 << 32) - 2),  # llama.cpp takes the last one for "a random one"
        system=values.get("system", "").strip(),
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, or as much of it as did. Times are microseconds from when the request was sent, `ttft_us` to the
    first text and `took_us` to the last; counts are the engine's own, None if it gave none."""

    text: str = ""
    request_id: str = ""
    ttft_us: int | None = None
    took_us: int | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None

    @property
    def speed(self) -> float | None:
        """Tokens a second after the first, None when that cannot be known."""
        if self.ttft_us is None or self.took_us is None or self.tokens_out is None:
            return None
        generating = self.took_us - self.ttft_us
        return (self.tokens_out - 1) * 1_000_000 / generating if generating > 0 and self.tokens_out > 1 else None

    @property
    def least_speed(self) -> float | None:
        """Tokens a second from the request on, for several tokens that came in one piece: they were made faster."""
        if self.speed is not None or self.ttft_us is None or not self.took_us or (self.tokens_out or 0) < 2:
            return None
        return (self.tokens_out or 0) * 1_000_000 / self.took_us


@dataclass(frozen=True, slots=True)
class Turn:
    """One question to one target, and what came of it. `code` says what went wrong, `stopped` that it was broken off by
    the person who asked."""

    question: str
    answer: Answer = Answer()
    code: str | None = None
    message: str = ""
    remedy: str = ""
    stopped: bool = False


def messages(turns: Sequence[Turn], question: str, system: str = "") -> list[Message]:
    """The conversation so far and the next question, as a request carries it.

    A question that got no answer is left out: many chat templates refuse two messages of one role in a row.
    """
    found: list[Message] = [{"role": "system", "content": system}] if system else []
    for turn in turns:
        if text := turn.answer.text:
            found += [{"role": "user", "content": turn.question}, {"role": "assistant", "content": text}]
    return [*found, {"role": "user", "content": question}]


def request_body(model: str, conversation: Sequence[Message], settings: ChatSettings) -> dict[str, Any]:
    """The body of the request that streams the next answer, with the engine's own counts at its end."""
    options = {"stream": True, "stream_options": {"include_usage": True}}
    return {"model": model, "messages": list(conversation), **settings.fields(), **options}


def _number(values: Mapping[str, str], field: str, low: float, high: float) -> float | None:
    text = values.get(field, "").strip()
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not low <= number <= high:
        raise BadSetting(field, f"`{safe(text, 40)}` is no number from {low} to {high}.")
    return number


def _whole(values: Mapping[str, str], field: str, low: int, high: int) -> int | None:
    text = values.get(field, "").strip()
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 12 or not low <= int(text) <= high:
        raise BadSetting(field, f"`{safe(text, 40)}` is no whole number from {low} to {high}.")
    return int(text)
