"""Keys: their form, their checksum, and what the store may keep of them."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.keys import RANDOM_BYTES, digest, make_key, parse_key

randomness = st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES)


@given(randomness)
def test_a_key_is_read_back_as_its_public_part(data: bytes) -> None:
    key = make_key(data)
    assert parse_key(key.text) == key.id
    assert len(key.id) == 8
    assert len(key.text) == len("stk_") + 8 + 1 + 43 + 6


@given(randomness, randomness)
def test_different_secrets_make_different_keys(one: bytes, other: bytes) -> None:
    assert (make_key(one).text == make_key(other).text) <= (one[:32] == other[:32])


@given(randomness, st.integers(0, 61), st.sampled_from("0Aaz9"))
def test_a_changed_character_is_noticed(data: bytes, position: int, other: str) -> None:
    text = make_key(data).text
    changed = text[:position] + other + text[position + 1 :]
    assert changed == text or parse_key(changed) is None


@pytest.mark.parametrize("text", ["", "stk_", "sk-123", "stk_abcdefgh_short", "stk_ábcdefgh_" + "a" * 49, "\udc00"])
def test_what_is_no_key_has_no_public_part(text: str) -> None:
    assert parse_key(text) is None


def test_the_store_keeps_a_sha256_of_the_whole() -> None:
    key = make_key(bytes(range(RANDOM_BYTES)))
    assert key.digest == digest(key.text.encode()) == hashlib.sha256(key.text.encode()).digest()
    assert key.text not in repr(key)


def test_too_little_randomness_is_refused() -> None:
    with pytest.raises(ValueError, match="38 random bytes"):
        make_key(b"short")
