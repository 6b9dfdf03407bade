"""Who is asked, how, and what goes along."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.chat import (
    Answer,
    BadSetting,
    ChatSettings,
    Target,
    Turn,
    messages,
    read_settings,
    read_target,
    request_body,
)

GOOD = st.builds(
    ChatSettings,
    temperature=st.none() | st.floats(0, 2),
    max_tokens=st.none() | st.integers(1, 1 << 30),
    seed=st.none() | st.integers(0, (1 << 32) - 2),
    system=st.text(max_size=20).map(str.strip),
)


@pytest.mark.parametrize("text", ["demo", "demo@3", "a-b@10"])
def test_a_target_is_a_models_name(text: str) -> None:
    assert read_target(text).model == text


@pytest.mark.parametrize("text", ["", "demo@", "demo@0", "demo@x", "demo@1@2", "Demo", "demo@-1", "demo@01", "@3"])
def test_what_names_nobody(text: str) -> None:
    with pytest.raises(ValueError, match="names no deployment"):
        read_target(text)


@given(GOOD)
def test_settings_come_back_as_they_were(settings: ChatSettings) -> None:
    assert ChatSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings
    assert read_settings({name: str(value) for name, value in settings.to_json().items()}) == settings


def test_what_is_not_set_is_left_to_the_engine() -> None:
    body = request_body("demo@2", messages([], "Hi"), read_settings({"temperature": " ", "seed": "7"}))
    assert body == {
        "model": "demo@2",
        "messages": [{"role": "user", "content": "Hi"}],
        "seed": 7,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("temperature", "warm"),
        ("temperature", "2.1"),
        ("temperature", "-0.1"),
        ("temperature", "nan"),
        ("temperature", "inf"),
        ("max_tokens", "0"),
        ("max_tokens", "1.5"),
        ("max_tokens", "\u0663"),
        ("seed", "-1"),
        ("seed", "4294967295"),
        ("seed", "9" * 5000),
    ],
)
def test_a_setting_that_means_nothing_is_named(field: str, text: str) -> None:
    with pytest.raises(BadSetting, match="is no ") as caught:
        read_settings({field: text})
    assert caught.value.field == field
    assert len(str(caught.value)) < 120


def test_a_conversation_goes_on_without_what_was_never_answered() -> None:
    turns = [
        Turn("one?", Answer("One.")),
        Turn("two?", code="NO_CAPACITY"),
        Turn("three?", Answer("Thr"), stopped=True),
    ]
    assert messages(turns, "four?", "Be brief.") == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "one?"},
        {"role": "assistant", "content": "One."},
        {"role": "user", "content": "three?"},
        {"role": "assistant", "content": "Thr"},
        {"role": "user", "content": "four?"},
    ]


def test_speed_is_of_the_tokens_after_the_first() -> None:
    assert Answer(ttft_us=500_000, took_us=1_500_000, tokens_out=11).speed == 10
    assert Answer(ttft_us=500_000, took_us=1_500_000, tokens_out=1).speed is None
    assert Answer(ttft_us=500_000, took_us=500_000, tokens_out=9).speed is None
    assert Answer(took_us=500_000, tokens_out=9).speed is None
    assert Answer(ttft_us=500_000, took_us=900_000).speed is None


def test_of_tokens_that_came_in_one_piece_it_is_known_how_fast_they_were_at_least() -> None:
    assert Answer(ttft_us=500_000, took_us=500_000, tokens_out=9).least_speed == 18
    assert Answer(ttft_us=500_000, took_us=500_000, tokens_out=1).least_speed is None
    assert Answer(ttft_us=500_000, took_us=1_500_000, tokens_out=11).least_speed is None
    assert Answer(took_us=500_000, tokens_out=9).least_speed is None
    assert Answer(ttft_us=500_000, took_us=500_000).least_speed is None


def test_targets_are_told_apart() -> None:
    assert len({Target("a"), Target("a", 1), Target("a", 2), Target("a")}) == 3
