"""Secrets in an engine's output: replaced before anything is written, wherever a read happened to cut them.

Used by the keeper: standard library only, and little of it.
"""

import re

MASK = b"[masked]"
MASK_FLOOR = 8
"""Shortest value that is masked; a shorter one (`1`, `cuda:0`) would black out innocent text."""
# How keys look that nobody told us of: what they begin with, what they are made of, how long that is at least.
_SHAPES = (
    (b"bearer ", re.compile(rb"[A-Za-z0-9._~+/=-]*"), 16),
    (b"hf_", re.compile(rb"[A-Za-z0-9]*"), 30),
    (b"stk_", re.compile(rb"[A-Za-z0-9_]*"), 20),
)


class Masker:
    """Replaces secrets in a stream of bytes by `MASK`, wherever the stream was cut.

    What may be the beginning of a secret is held back until it is known to be one or not, so at most the longest
    secret is. The result does not depend on how the stream was cut.
    """

    def __init__(self, secrets: list[bytes]) -> None:
        lines = [line for secret in secrets for line in (secret, *secret.splitlines())]
        self._secrets = sorted({line for line in lines if len(line) >= MASK_FLOOR})
        self._held = b""
        self._covered = 0
        self._running: list[re.Pattern[bytes]] = []

    def feed(self, data: bytes) -> bytes:
        """What can be said of the stream after `data`."""
        return self._mask(data, final=False) if data else b""

    @property
    def holds(self) -> bool:
        """Whether something is held back, because it may be the beginning of a secret."""
        return bool(self._held)

    def flush(self) -> bytes:
        """What was held back, at the end of the stream."""
        return self._mask(b"", final=True)

    def _mask(self, data: bytes, final: bool) -> bytes:
        text = self._held + data
        # A span that begins before the text lies under a mark that has been written already.
        carried = max([self._covered, *(_end(body, text, 0) for body in self._running)])
        running = [body for body in self._running if _end(body, text, 0) == len(text)]
        spans = [(-1, carried)] if carried else []
        spans += self._literals(text)
        shapes, hold = self._shapes(text)
        spans += [(body, end) for _, body, end, _ in shapes]
        hold = len(text) if final else min(hold, self._first_partial(text))
        for start, body, _, _ in shapes:
            if start < hold <= body:
                hold = start
        running += [shape for _, body, end, shape in shapes if body < hold and end == len(text)]
        out, self._covered = _cover(text, spans, hold)
        self._held, self._running = text[hold:], running
        return out

    def _literals(self, text: bytes) -> list[tuple[int, int]]:
        spans = []
        for secret in self._secrets:
            at = text.find(secret)
            while at >= 0:
                spans.append((at, at + len(secret)))
                at = text.find(secret, at + 1)
        return spans

    def _shapes(self, text: bytes) -> tuple[list[tuple[int, int, int, re.Pattern[bytes]]], int]:
        """Keys by their looks as (start, body, end, class), last first; and where one begins that is yet too short."""
        found = []
        hold = len(text)
        for prefix, body, shortest in _SHAPES:
            end = 0
            for match in re.finditer(prefix, text, re.IGNORECASE):
                # Bodies that overlap end together; looking it up keeps hostile text from costing its square.
                end = end if match.end() < end else _end(body, text, match.end())
                if end - match.end() >= shortest:
                    found.append((match.start(), match.end(), end, body))
                elif end == len(text):
                    hold = min(hold, match.start())
        return sorted(found, key=lambda shape: -shape[0]), hold

    def _first_partial(self, text: bytes) -> int:
        """Where the first secret or prefix begins of which the text holds no more than the beginning."""
        words = [(secret, text) for secret in self._secrets]
        words += [(prefix, text.lower()) for prefix, *_ in _SHAPES]
        hold = len(text)
        for word, hay in words:
            at = hay.find(word[:1], max(0, len(text) - len(word) + 1), hold)
            while at >= 0 and not word.startswith(hay[at:]):
                at = hay.find(word[:1], at + 1, hold)
            hold = hold if at < 0 else at
        return hold


def _end(body: re.Pattern[bytes], text: bytes, at: int) -> int:
    match = body.match(text, at)
    return match.end() if match else at


def _cover(text: bytes, spans: list[tuple[int, int]], hold: int) -> tuple[bytes, int]:
    """`text` up to `hold` with one mark for each run of overlapping spans, and how far a run reaches beyond `hold`."""
    runs: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if runs and start < runs[-1][1]:
            runs[-1] = (runs[-1][0], max(runs[-1][1], end))
        else:
            runs.append((start, end))
    parts = []
    at = beyond = 0
    for start, end in runs:
        if start >= hold:
            break
        if start >= 0:
            parts += [text[at:start], MASK]
        at, beyond = min(end, hold), max(0, end - hold)
    return b"".join([*parts, text[at:hold]]), beyond
