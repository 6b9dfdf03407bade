"""Questions asked all at once: each in a thread of its own, so that one that is slow holds up no other."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread

from app.domain.failures import StokerError
from app.launch.checks import Check, from_error


@dataclass(frozen=True, slots=True)
class Question:
    """What a check is called, and what finds it out, which may take seconds. A StokerError is an answer as well."""

    name: str
    ask: Callable[[], Iterable[Check]]


Told = Callable[[tuple[Check, ...], tuple[str, ...]], None]
"""Takes the checks that have ended, in the order of their questions, and the names of the questions still open."""


def ask_all(questions: Sequence[Question], told: Told | None = None) -> tuple[Check, ...]:
    """All answers, in the order of their questions. After each of them `told` is called, in the caller's thread.

    What `told` raises ends the asking; whoever is still being asked ends by itself, and nobody waits for it.
    """
    answers: SimpleQueue[tuple[int, Sequence[Check] | BaseException]] = SimpleQueue()
    for number, question in enumerate(questions):
        # Daemons: a registry that never answers must not keep a program from ending.
        Thread(target=_ask, args=(number, question, answers), name=f"check {question.name}", daemon=True).start()
    ended: dict[int, Sequence[Check]] = {}
    while len(ended) < len(questions):
        number, answer = answers.get()
        if isinstance(answer, BaseException):
            raise answer
        ended[number] = answer
        if told is not None:
            told(_in_order(ended), tuple(q.name for n, q in enumerate(questions) if n not in ended))
    return _in_order(ended)


def _ask(number: int, question: Question, answers: "SimpleQueue[tuple[int, Sequence[Check] | BaseException]]") -> None:
    try:
        answers.put((number, list(question.ask())))
    except StokerError as error:
        answers.put((number, [from_error(question.name, error)]))
    except BaseException as error:
        answers.put((number, error))  # raised where it was asked


def _in_order(ended: Mapping[int, Sequence[Check]]) -> tuple[Check, ...]:
    return tuple(check for number in sorted(ended) for check in ended[number])
