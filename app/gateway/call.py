"""What a request asks for: its fields checked against the allow-list, and its size against the context."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app.domain.text import safe
from app.gateway.errors import EdgeError
from app.gateway.fields import ALLOWED, CHOICES_LIMIT, NEEDED, TEMPLATE_SWITCHES

TOKEN_CHARACTERS = 256
"""No token of a vocabulary in use is longer: the longest of Llama 3, GPT-4o, Qwen and DeepSeek have 128 characters."""

_WHOLE_NUMBERS = {
    "n": (1, CHOICES_LIMIT),
    "best_of": (1, CHOICES_LIMIT),
    "max_tokens": (0, 1 << 31),
    "max_completion_tokens": (0, 1 << 31),
}
_MEDIA = ("image_url", "audio_url", "video_url", "file_url")


@dataclass(slots=True)
class Call:
    """A checked request. `fields` is what goes to the engine, `n` the answers asked for each prompt, `prompts` how many
    prompts there are, `characters` the length of all text in it, `tokens` that of the longest prompt given as tokens.

    `wants_usage` says whether the client asked for usage in its stream; the edge always does.
    """

    path: str
    model: str
    fields: dict[str, Any]
    stream: bool
    wants_usage: bool
    n: int
    prompts: int
    characters: int
    tokens: int

    def estimate_input(self) -> int:
        """Input tokens when the engine gave no count: four characters a token, as usual for English."""
        return max(self.characters // 4, self.tokens, 1)


def read_call(path: str, fields: dict[str, Any]) -> Call:
    """The call that `fields` make to `path`. Raises INVALID_REQUEST, naming the field at fault."""
    allowed = ALLOWED[path]
    if not fields.keys() <= allowed:
        name = safe(min(fields.keys() - allowed), 60)
        raise _invalid(name, f"`{name}` is not a field that this endpoint takes.")
    model = fields.get("model")
    if not isinstance(model, str) or not model:
        raise _invalid("model", "`model` must name a deployment, or be `default`.")
    if NEEDED[path] not in fields:
        raise _invalid(NEEDED[path], f"`{NEEDED[path]}` is missing.")
    for name in fields.keys() & _WHOLE_NUMBERS.keys():
        _check_number(name, fields[name], *_WHOLE_NUMBERS[name])
    stream = _read_bool(fields, "stream")
    wants_usage = _take_over_usage(fields, stream)
    _check_template(fields)
    n = max(fields.get("n") or 1, fields.get("best_of") or 1)
    call = Call(path, model, fields, stream, wants_usage, n, 1, 0, 0)
    if path == "/v1/chat/completions":
        call.characters = sum(map(len, _message_texts(fields["messages"])))
    else:
        _measure_prompts(call, NEEDED[path], fields[NEEDED[path]])
    return call


def check_context(call: Call, context: int) -> int:
    """How many tokens the prompt has, at the least.

    Raises CTX_TOO_LARGE if it cannot fit into `context` tokens, before an engine spends time on it. Exact for prompts
    given as tokens, a lower bound for text: the engine has the last word on what passes here.
    """
    size = max(call.tokens, -(-call.characters // (TOKEN_CHARACTERS * call.prompts)))
    if size > context:
        raise EdgeError(
            "CTX_TOO_LARGE",
            f"The prompt has at least {size} tokens, the context is {context}.",
            detail={"limit": context, "size": size},
            param=NEEDED[call.path],
        )
    return size


def _take_over_usage(fields: dict[str, Any], stream: bool) -> bool:
    options = fields.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise _invalid("stream_options", "`stream_options` must be an object.")
    if not stream:
        fields.pop("stream_options", None)
        return True
    wanted = _read_bool(options, "include_usage") if options else False
    fields["stream_options"] = {"include_usage": True}
    return wanted


def _check_template(fields: dict[str, Any]) -> None:
    switches = fields.get("chat_template_kwargs")
    if switches is None:
        return
    known = isinstance(switches, dict) and switches.keys() <= TEMPLATE_SWITCHES
    if not known or not all(isinstance(value, bool) for value in switches.values()):
        names = ", ".join(f"`{name}`" for name in sorted(TEMPLATE_SWITCHES))
        raise _invalid("chat_template_kwargs", f"`chat_template_kwargs` may only set {names}, to true or false.")


def _message_texts(messages: object) -> Iterator[str]:
    if not isinstance(messages, list) or not messages:
        raise _invalid("messages", "`messages` must be a list with at least one message.")
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        if not isinstance(message, dict):
            raise _invalid(where, f"`{where}` must be an object.")
        content = message.get("content")
        if isinstance(content, str):
            yield content
        elif isinstance(content, list):
            yield from _part_texts(content, f"{where}.content")
        elif content is not None:
            raise _invalid(f"{where}.content", f"`{where}.content` must be text or a list of parts.")


def _part_texts(parts: list[object], where: str) -> Iterator[str]:
    for index, part in enumerate(parts):
        if not isinstance(part, dict):
            raise _invalid(where, f"`{where}[{index}]` must be an object.")
        for kind in _MEDIA:
            if kind in part:
                _check_media(part[kind], f"{where}[{index}].{kind}")
        if isinstance(part.get("text"), str):
            yield part["text"]


def _check_media(value: object, where: str) -> None:
    url = value.get("url") if isinstance(value, dict) else value
    # An engine that fetches what a caller names can be sent to anything the machine reaches.
    if not isinstance(url, str) or not url.startswith("data:"):
        raise _invalid(where, f"`{where}` must hold the data itself, as a `data:` URL.")


def _measure_prompts(call: Call, name: str, prompt: object) -> None:
    if isinstance(prompt, str):
        call.characters = len(prompt)
        return
    if not isinstance(prompt, list) or not prompt:
        raise _invalid(name, f"`{name}` must be text, a list of texts, or lists of tokens.")
    if isinstance(prompt[0], int):
        call.tokens = len(prompt)
        return
    call.prompts = len(prompt)
    for item in prompt:
        if isinstance(item, str):
            call.characters += len(item)
        elif isinstance(item, list):
            call.tokens = max(call.tokens, len(item))
        else:
            raise _invalid(name, f"`{name}` must be text, a list of texts, or lists of tokens.")


def _read_bool(fields: dict[str, Any], name: str) -> bool:
    value = fields.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise _invalid(name, f"`{name}` must be true or false.")


def _check_number(name: str, value: object, low: int, high: int) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high):
        raise _invalid(name, f"`{name}` must be a whole number from {low} to {high}.")


def _invalid(param: str, message: str) -> EdgeError:
    return EdgeError("INVALID_REQUEST", message, param=param)
