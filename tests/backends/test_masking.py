"""Secrets never reach the log, however the engine's output happens to be cut into reads."""

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backends.masking import MASK, Masker

TOKENS = (
    b"hf_" + b"aB3" * 11,
    b"stk_12345678_" + b"k" * 43,
    b"Bearer abc.DEF-0123456789",
    b"BEARER  abcdefghijklmnopq",
)
# Few letters, so that secrets begin, end and overlap in every way there is.
secrets = st.lists(st.text("ab ", min_size=8, max_size=12).map(str.encode), max_size=3)
pieces = st.one_of(
    st.text("ab \n", max_size=20).map(str.encode),
    st.sampled_from(TOKENS),
    st.sampled_from(TOKENS).flatmap(lambda token: st.integers(0, len(token)).map(lambda end: token[:end])),
    st.binary(max_size=6),
)


def masked(known: list[bytes], chunks: list[bytes]) -> bytes:
    masker = Masker(known)
    return b"".join([*(masker.feed(chunk) for chunk in chunks), masker.flush()])


def cut(text: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[start:end] for start, end in itertools.pairwise(edges)]


@given(secrets, st.lists(pieces, max_size=8), st.lists(st.integers(0, 400), max_size=12), st.data())
def test_the_result_does_not_depend_on_where_the_stream_was_cut(
    known: list[bytes], parts: list[bytes], places: list[int], data: st.DataObject
) -> None:
    if known:
        parts = [*parts, *data.draw(st.lists(st.sampled_from(known), max_size=3))]
    text = b"".join(data.draw(st.permutations(parts)))
    whole = masked(known, [text])
    assert masked(known, cut(text, places)) == whole
    assert masked(known, [bytes([byte]) for byte in text]) == whole
    assert not any(secret in whole for secret in known)


@given(st.lists(st.text("xyz hf_\n", max_size=30).map(str.encode)))
def test_innocent_text_passes_unchanged_and_in_order(chunks: list[bytes]) -> None:
    assert masked([b"secret-value"], chunks) == b"".join(chunks)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"key=hf_" + b"a" * 34 + b" ok", b"key=hf_[masked] ok"),
        (b"stk_12345678_" + b"Z" * 43 + b"\n", b"stk_[masked]\n"),
        (b"Authorization: Bearer sesame-open-sesame\r\n", b"Authorization: Bearer [masked]\r\n"),
        (b"authorization: bearer hf_" + b"a" * 34, b"authorization: bearer [masked]"),
        (b"the hf_config_overrides of a bearer of news", b"the hf_config_overrides of a bearer of news"),
        (b"pass=open sesame!", b"pass=[masked]!"),
    ],
)
def test_what_is_masked_and_what_is_left(text: bytes, expected: bytes) -> None:
    assert masked([b"open sesame"], [text]) == expected


def test_short_values_are_left_alone() -> None:
    assert masked([b"1", b"cuda:0"], [b"1 layer on cuda:0"]) == b"1 layer on cuda:0"


def test_each_line_of_a_secret_is_a_secret() -> None:
    assert masked([b"first line\nsecond line"], [b"a second line\n"]) == b"a " + MASK + b"\n"


@example(b"Bearer ")
@given(st.sampled_from([b"hf_", b"stk_", b"Bearer ", b"secret-valu"]))
def test_no_more_is_held_back_than_may_be_a_secret(word: bytes) -> None:
    masker = Masker([b"secret-value"])
    assert masker.feed(b"loading " + word) == b"loading "
    assert masker.feed(b"..") + masker.flush() == word + b".."
