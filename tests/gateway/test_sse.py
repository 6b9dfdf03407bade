"""The tap on a stream: whatever the pieces, the same comes out and the same is counted."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.gateway.call import Call, read_call
from app.gateway.sse import EVENT_LIMIT, EventTooLong, Tap
from app.gateway.usage import COUNT_LIMIT, count_answer, count_stream, read_counts

delta = st.text(max_size=12).map(lambda text: {"choices": [{"index": 0, "delta": {"content": text}}]})
counts = st.integers(-2, 50)
usage = st.builds(lambda i, o: {"prompt_tokens": i, "completion_tokens": o}, counts, counts)
last = st.builds(lambda d, u: {**d, "usage": u}, delta, usage)
only = usage.map(lambda u: {"choices": [], "usage": u})
error = st.just({"error": {"message": "no"}})
document = (delta | last | only | error).map(lambda d: b"data: " + json.dumps(d).encode())
other = st.sampled_from([b": ping", b"event: error", b"data: null", b"data: {broken", b"data: [DONE]", b"retry: 5"])
stream = st.lists(st.tuples(document | other, st.sampled_from([b"\n\n", b"\r\n\r\n"])), max_size=8)


def run(pieces: list[bytes], hide: bool) -> tuple[bytes, int, list[tuple[int, int]], bool]:
    tap = Tap(hide)
    out = b"".join(tap.feed(piece) for piece in pieces) + tap.rest()
    return out, tap.events, tap.reported, tap.failed


@given(stream, st.lists(st.integers(0, 600)), st.booleans())
@example([(b'data: {"choices":[],"usage":{"prompt_tokens":1}}', b"\n\n")], [3], True)
def test_pieces_do_not_matter(events: list[tuple[bytes, bytes]], cuts: list[int], hide: bool) -> None:
    data = b"".join(event + end for event, end in events)
    borders = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    pieces = [data[a:b] for a, b in pairwise(borders)]
    assert run(pieces, hide) == run([data], hide)


@given(stream)
def test_nothing_is_changed_for_who_asked_for_usage(events: list[tuple[bytes, bytes]]) -> None:
    data = b"".join(event + end for event, end in events)
    assert run([data], hide=False)[0] == data


@given(stream)
def test_no_usage_reaches_who_did_not_ask(events: list[tuple[bytes, bytes]]) -> None:
    data = b"".join(event + end for event, end in events)
    out = run([data], hide=True)[0]
    assert b'"usage"' not in out
    assert out.count(b'"delta"') == data.count(b'"delta"')


def test_text_that_looks_like_usage_is_left_alone() -> None:
    event = (
        b"data: "
        + json.dumps({"choices": [{"delta": {"content": '"usage": {"prompt_tokens": 9}'}}]}).encode()
        + b"\n\n"
    )
    assert run([event], hide=True) == (event, 1, [], False)


def test_an_event_without_end_is_not_kept_for_ever() -> None:
    tap = Tap(hide=True)
    with pytest.raises(EventTooLong):
        for _ in range(EVENT_LIMIT // 1_000_000 + 2):
            tap.feed(b"x" * 1_000_000)


def call(**fields: Any) -> Call:
    return read_call(
        "/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "abcd"}], **fields}
    )


@pytest.mark.parametrize(
    "counted",
    [
        None,
        {},
        {"prompt_tokens": -1},
        {"prompt_tokens": True},
        {"prompt_tokens": 1.0},
        {"prompt_tokens": COUNT_LIMIT + 1},
    ],
)
def test_what_is_no_count_is_none(counted: object) -> None:
    assert read_counts(counted) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"not json",
        b'{"usage":null}',
        b'{"usage":{"prompt_tokens":"5"}}',
        b'{"usage":{"prompt_tokens":1e3}}',
    ],
)
def test_an_answer_without_counts_is_estimated(body: bytes) -> None:
    assert count_answer(call(), body) == ((1, 0), True)
    assert count_answer(call(n=2), body) == ((1, 0), True)


def test_usage_is_found_before_and_after_what_was_asked_for() -> None:
    usage_first = b'{"usage" : {"prompt_tokens": 3, "total_tokens": 3},"data":[{"embedding":[0.1]}]}'
    assert count_answer(call(), usage_first) == ((3, 0), False)
    usage_last = {
        "choices": [{"text": '"usage":{"prompt_tokens":9}'}],
        "usage": {"completion_tokens": 2, "prompt_tokens": 4},
    }
    quoted = json.dumps(usage_last).encode()
    assert count_answer(call(), quoted) == ((4, 2), False)


def test_prompts_given_together_are_each_counted_once() -> None:
    request = read_call("/v1/completions", {"model": "m", "prompt": ["a", "b"], "n": 2, "stream": True})
    reported = [(3, 4), (3, 4), (5, 6), (5, 6)]
    assert count_stream(request, reported, 9) == ((8, 20), False)
    assert count_stream(request, reported[:3], 9)[1]
    assert count_stream(request, [(8, 20)], 9) == ((8, 20), False)
