"""Questions asked side by side."""

from functools import partial
from threading import Event

import pytest

from app.domain.failures import StokerError
from app.launch.asking import Question, ask_all
from app.launch.checks import Check, passed

DEADLINE_S = 60.0


def at_once(name: str) -> list[Check]:
    return [passed(name, "")]


def test_a_slow_question_holds_up_no_other_and_answers_stand_in_the_order_of_questions() -> None:
    seen: list[tuple[list[str], tuple[str, ...]]] = []
    others_ended = Event()

    def slow() -> list[Check]:
        assert others_ended.wait(DEADLINE_S)
        return [passed("slow", "after all")]

    def told(checks: tuple[Check, ...], waiting: tuple[str, ...]) -> None:
        seen.append(([check.name for check in checks], waiting))
        if waiting == ("slow",):
            others_ended.set()

    questions = [Question("slow", slow), *(Question(name, partial(at_once, name)) for name in "ab")]
    assert [check.name for check in ask_all(questions, told)] == ["slow", "a", "b"]
    assert seen[-2:] == [(["a", "b"], ("slow",)), (["slow", "a", "b"], ())]


def test_an_error_for_a_person_is_an_answer_and_any_other_is_raised_where_it_was_asked() -> None:
    def refuse() -> list[Check]:
        raise StokerError("OFFLINE", "Nobody answers.")

    def break_down() -> list[Check]:
        raise ZeroDivisionError

    (check,) = ask_all([Question("hub", refuse)])
    assert (check.name, check.result, check.code, check.detail) == ("hub", "fail", "OFFLINE", "Nobody answers.")
    with pytest.raises(ZeroDivisionError):
        ask_all([Question("hub", break_down)])


def test_whoever_watches_may_give_up_while_somebody_never_answers() -> None:
    never = Event()

    def hang() -> list[Check]:
        never.wait(DEADLINE_S)
        return []

    def give_up(_checks: tuple[Check, ...], _waiting: tuple[str, ...]) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        ask_all([Question("hub", hang), Question("name", partial(at_once, "name"))], give_up)
    never.set()
