"""One request as the edge sees it, from its headers to the row that remains of it."""

import re
import time
from collections.abc import Iterable
from json.encoder import encode_basestring_ascii as quote
from typing import Literal

from app.domain.ids import ulid
from app.domain.text import clean_text

COLUMNS = (
    "id", "request_id", "key_id", "deployment_id", "instance_id", "attempt_id", "path", "stream", "status", "code",
    "started_at", "ttft_us", "duration_us", "tokens_in", "tokens_out", "estimated", "steps",
)  # fmt: skip
"""The columns of the `requests` table, in the order of a line after its kind."""

CLIENT_GONE = 499
"""The status of a request whose client left before the answer was complete, as nginx logs it."""

Kind = Literal["s", "e"]

_PATH_LIMIT = 200
_REQUEST_ID = re.compile(rb"[A-Za-z0-9_-]{1,64}")


class Request:
    """A request with its own copy of the headers that matter, taken before anything of the body is read."""

    key_id: str | None = None
    deployment_id: str | None = None
    deployment_name = ""
    instance_id: str | None = None
    attempt_id: str | None = None
    stream = False
    status = CLIENT_GONE
    code: str | None = None
    trouble = ""
    ttft_us: int | None = None
    tokens_in = 0
    tokens_out = 0
    estimated = False
    content_length: int | None = None
    encoding = b""

    def __init__(self, method: str, path: str, headers: Iterable[tuple[bytes, bytes]], client: str) -> None:
        self.started_at = time.time_ns() // 1000
        self._began = time.monotonic_ns()
        self._steps = ""
        self._noted: list[tuple[str, int, str]] = []
        self.id = self.request_id = ulid()
        self.method = method
        self.path = path if path.isprintable() and len(path) <= _PATH_LIMIT else clean_text(path, _PATH_LIMIT)
        self.local = client.startswith(("127.", "::ffff:127.")) or client == "::1"
        self.authorization: list[bytes] = []
        for name, value in headers:
            if name == b"authorization":
                self.authorization.append(value)
            elif name == b"content-length":
                self.content_length = int(value)
            elif name == b"content-encoding":
                self.encoding = value.strip().lower()
            elif name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
                self.request_id = value.decode()

    def step(self, name: str, detail: str = "") -> None:
        """Note that the request came to `name` now."""
        self._noted.append((name, time.monotonic_ns(), detail))

    def elapsed_us(self) -> int:
        """Microseconds since the request was received, unmoved by changes of the clock."""
        return (time.monotonic_ns() - self._began) // 1000

    def start_line(self, tokens_in: int) -> str:
        """The row that remains if nothing more is heard of the request: an estimate, the engine's answer unknown."""
        return self._line("s", 502, "UPSTREAM_FAILED", tokens_in, 0, True)

    def end_line(self) -> str:
        """The row of the request, which is over."""
        return self._line("e", self.status, self.code, self.tokens_in, self.tokens_out, self.estimated)

    def _line(
        self, kind: Kind, status: int, code: str | None, tokens_in: int, tokens_out: int, estimated: bool
    ) -> str:  # fmt: skip
        # Put together by hand, as this is done twice for every request: ids, codes and numbers need no escaping.
        return (
            f'["{kind}","{self.id}","{self.request_id}",{_text(self.key_id)},{_text(self.deployment_id)},'
            f"{_text(self.instance_id)},{_text(self.attempt_id)},{quote(self.path)},{self.stream:d},{status},"
            f"{_text(code)},{self.started_at},{'null' if self.ttft_us is None else self.ttft_us},{self.elapsed_us()},"
            f"{tokens_in},{tokens_out},{estimated:d},{quote(self._write_steps())}]"
        )

    def _write_steps(self) -> str:
        if not self._steps:
            received = quote(f"{self.method} {self.path}")
            self._steps = f'[{{"name":"received","at":{self.started_at},"detail":{received}}}'
        for name, moment, detail in self._noted:
            at = self.started_at + (moment - self._began) // 1000
            self._steps += f',{{"name":"{name}","at":{at},"detail":{quote(detail)}}}'
        self._noted.clear()
        return f"{self._steps}]"


def _text(word: str | None) -> str:
    return "null" if word is None else f'"{word}"'
