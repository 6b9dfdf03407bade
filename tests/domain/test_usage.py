"""The time in which a replica answered: each moment of it once, whoever asked, and whenever it came to be known."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.domain.usage import Span, busy

SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)).map(lambda pair: (pair[0], sum(pair))), max_size=20)


def moments(spans: list[Span]) -> set[int]:
    return {moment for start, end in spans for moment in range(start, end)}


@given(SPANS, SPANS)
def test_no_moment_counts_twice(new: list[Span], before: list[Span]) -> None:
    assert busy(new, before) == len(moments(new) - moments(before))


@given(SPANS, st.lists(st.integers(0, 20), max_size=3))
def test_the_parts_of_a_bill_are_the_whole(spans: list[Span], cuts: list[int]) -> None:
    edges = sorted({0, len(spans), *(min(cut, len(spans)) for cut in cuts)})
    assert sum(busy(spans[a:b], spans[:a]) for a, b in pairwise(edges)) == len(moments(spans))
