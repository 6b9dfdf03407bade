"""Every code, status and phase has a meaning and a remedy, and is found however it is spelled."""

import pytest

from app.domain.explain import GROUPS, PHASES, STATUSES, Explanation, everything, explain
from app.domain.failures import CATALOGUE, StokerError
from app.domain.lifecycle import Phase
from app.domain.status import Status


@pytest.mark.parametrize("found", everything(), ids=lambda found: f"{found.kind}-{found.word}")
def test_each_is_fit_to_be_read(found: Explanation) -> None:
    for text in (found.meaning, found.remedy):
        assert text.endswith(".")
        assert text[0].isupper()
        assert len(text) <= 100
    assert (found.group in GROUPS) == (found.kind == "code")
    assert bool(found.then) == (found.kind == "code")


def test_nothing_is_left_unexplained() -> None:
    assert set(STATUSES) == set(Status)
    assert set(PHASES) == set(Phase)
    assert {each.word for each in everything() if each.kind == "code"} == set(CATALOGUE)


@pytest.mark.parametrize("word", ["OOM_KILLED", "oom", "oom-killed", "Oom Killed"])
def test_a_code_is_found_by_any_name(word: str) -> None:
    (found,) = explain(word)
    assert (found.word, found.kind) == ("OOM_KILLED", "code")
    assert found.meaning == CATALOGUE["OOM_KILLED"].meaning


def test_one_word_may_be_two_things() -> None:
    assert [each.kind for each in explain("must_redownload")] == ["code", "status"]
    assert [each.kind for each in explain("failed")] == ["status", "phase"]


def test_what_is_not_known_names_the_nearest() -> None:
    with pytest.raises(StokerError, match="host_oom"):
        explain("hostoom")
