"""Keys, refusals and requests as rows."""

from typing import Any

from app.render.access import key_row, refusal_lines, request_row, searchable
from app.render.cells import Cell, plain

NOW = 1_800_000_000_000_000
MINUTE = 60_000_000
KEY: dict[str, Any] = {
    "id": "abcdefgh",
    "prefix": "stk_abcdefgh",
    "name": "alice",
    "scope": ["demo", "coder"],
    "state": "active",
    "created_at": NOW - MINUTE,
    "expires_at": NOW + 48 * 60 * MINUTE,
    "last_used": NOW - 2 * MINUTE,
}
REQUEST: dict[str, Any] = {
    "id": "01R0000000000000000000000A",
    "request_id": "req-1",
    "key_id": "abcdefgh",
    "key": "alice",
    "deployment": "demo",
    "instance": "demo-a",
    "attempt_id": "01T0000000000000000000000A",
    "status": 200,
    "code": None,
    "started_at": NOW - MINUTE,
    "ttft_us": 182_400,
    "duration_us": 2_300_000,
    "tokens_in": 31,
    "tokens_out": 128,
    "estimated": 0,
}


def texts(cells: tuple[Cell, ...]) -> list[str]:
    return [cell.text for cell in cells]


def test_a_key() -> None:
    assert texts(key_row(KEY, NOW)) == ["stk_abcdefgh", "alice", "demo, coder", "active", "in 2d", "2m ago"]
    bare = {**KEY, "name": "", "scope": None, "expires_at": None, "last_used": None}
    assert texts(key_row(bare, NOW)) == ["stk_abcdefgh", "–", "all", "active", "never", "–"]
    ended = {**KEY, "scope": [], "state": "expired", "expires_at": NOW - MINUTE}
    assert texts(key_row(ended, NOW)) == ["stk_abcdefgh", "alice", "none left", "expired", "1m ago", "2m ago"]


def test_a_request() -> None:
    cells = request_row(REQUEST, NOW)
    assert texts(cells) == ["1m ago", "req-1", "alice", "demo", "● 200", "182 ms", "2.3 s", "31", "128"]
    assert cells[4].tone == "good"


def test_a_request_that_was_refused_has_no_figures_and_is_told_without_colour() -> None:
    cells = request_row(
        {
            **REQUEST,
            "key": None,
            "deployment": None,
            "attempt_id": None,
            "status": 401,
            "code": "AUTH_INVALID_TOKEN",
            "ttft_us": None,
            "tokens_in": 0,
            "tokens_out": 0,
        },
        NOW,
    )
    assert texts(cells)[2:] == ["abcdefgh", "–", "✖ 401 AUTH_INVALID_TOKEN", "–", "2.3 s", "–", "–"]
    assert cells[4].tone == "bad"


def test_whoever_left_early_was_not_refused_and_an_estimate_says_so() -> None:
    cells = request_row({**REQUEST, "status": 499, "estimated": 1}, NOW)
    assert texts(cells)[4:] == ["○ 499 left early", "182 ms", "2.3 s", "~31", "~128"]
    assert cells[4].tone == "dim"


def test_refusals_are_counted() -> None:
    def row(code: str, deployment: str | None, count: int) -> dict[str, Any]:
        return {"code": code, "deployment": deployment, "count": count, "last": NOW - MINUTE}

    rows = [row("NO_CAPACITY", "demo", 120), row("AUTH_MISSING_TOKEN", None, 7), row("A", "a", 2), row("B", "b", 1)]
    assert [plain(line) for line in refusal_lines(rows, NOW, most=2)] == [
        "refused or failed in the last hour",
        "120  NO_CAPACITY  demo  last 1m ago",
        "  7  AUTH_MISSING_TOKEN  no deployment  last 1m ago",
        "3 more of 2 other kinds",
    ]
    assert len(refusal_lines(rows[:2], NOW, most=2)) == 3
    assert [plain(line) for line in refusal_lines([], NOW)] == [
        "Nothing was refused and nothing failed in the last hour."
    ]


def test_a_filter_looks_at_names_and_codes() -> None:
    text = searchable({**REQUEST, "code": "NO_CAPACITY"})
    assert all(word in text for word in ("req-1", "alice", "demo", "no_capacity", "200"))
