"""A variant survives storage, and says what differs from another."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.variant import ModelRef, VariantSpec

words = st.text(max_size=8)
models = st.builds(
    ModelRef, words, st.sampled_from(["bundled", "file"]), words, words, st.one_of(st.none(), st.integers(0))
)
specs = st.builds(
    VariantSpec,
    models,
    words,
    words,
    st.integers(1, 10**7),
    st.integers(1, 1000),
    words,
    st.dictionaries(words, st.one_of(words, st.booleans()), max_size=3),
    st.lists(words, max_size=3).map(tuple),
    st.one_of(st.none(), words),
    st.one_of(st.none(), st.integers(1)),
)


@given(specs)
def test_it_survives_json(spec: VariantSpec) -> None:
    assert VariantSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    assert spec.changes(spec) == {}


@given(specs)
def test_a_change_is_named_with_both_sides(spec: VariantSpec) -> None:
    other = replace(spec, context=spec.context + 1, flags={**spec.flags, "more": "1"})
    changes = spec.changes(other)
    assert changes["context"] == (spec.context, spec.context + 1)
    assert set(changes) <= {"context", "flags"}


@pytest.mark.parametrize("data", [{}, {"model": {}, "env_names": []}, {"model": None}])
def test_anything_else_is_refused(data: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError)):
        VariantSpec.from_json(data)
