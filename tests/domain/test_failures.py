"""One catalogue of what can go wrong, and what the server does about it by itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.domain.failures import CATALOGUE, Failure, Retry, StokerError, retry_delay_us
from tests.domain.rules import SHIPPED

APP = Path(__file__).parents[2] / "app"
ROWS = list(CATALOGUE.values())
S = 1_000_000


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.code)
def test_a_row_is_fit_to_be_read(row: Failure) -> None:
    assert row.code == row.code.upper().replace(" ", "_")
    for line in (row.meaning, row.remedy):
        assert line == line.strip()
        assert "\n" not in line
        assert line[0].isupper()
        assert line.endswith(".")
        assert len(line) <= 100
    assert row.http is None or 400 <= row.http < 600


def test_codes_and_aliases_are_unique() -> None:
    names = [name for row in ROWS for name in (row.code, *row.aliases)]
    assert sorted(names) == sorted(set(names))


def test_what_a_caller_used_up_is_never_a_503() -> None:
    assert {row.code for row in ROWS if row.http == 503} <= {
        "NO_CAPACITY", "WAKE_TIMEOUT", "DEPLOYMENT_STOPPED", "JUDGE_UNREACHABLE",
    }  # fmt: skip


def test_an_error_speaks_for_itself_or_in_the_catalogues_words() -> None:
    plain = StokerError("DISK_FULL")
    assert (plain.message, plain.remedy, plain.detail) == (
        "The disk is full.",
        "Free some space, then start again.",
        {},
    )
    own = StokerError("DISK_FULL", "No room.", "Delete it.", {"size": 1})
    assert str(own) == "DISK_FULL: No room. Delete it."
    assert own.detail == {"size": 1}
    with pytest.raises(KeyError):
        StokerError("NO_SUCH_CODE")


def delays(code: str, *, served: bool) -> list[int | None]:
    return [retry_delay_us(code, count, served) for count in range(1, 8)]


@pytest.mark.parametrize("row", [r for r in ROWS if r.retry is Retry.BACKOFF], ids=lambda row: row.code)
@pytest.mark.parametrize("served", [True, False])
def test_back_off_ends_at_the_fifth(row: Failure, served: bool) -> None:
    assert delays(row.code, served=served) == [0, 10 * S, 20 * S, 40 * S, None, None, None]


@pytest.mark.parametrize("row", [r for r in ROWS if r.retry is Retry.ONCE], ids=lambda row: row.code)
def test_once_is_once_for_what_never_served(row: Failure) -> None:
    assert delays(row.code, served=False) == [0, None, None, None, None, None, None]
    assert delays(row.code, served=True) == [0, 10 * S, 20 * S, 40 * S, None, None, None]


@pytest.mark.parametrize("row", [r for r in ROWS if r.retry is Retry.NEVER], ids=lambda row: row.code)
@pytest.mark.parametrize("served", [True, False])
def test_never_is_never(row: Failure, served: bool) -> None:
    assert delays(row.code, served=served) == [None] * 7


def test_the_wait_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.domain.failures.ATTEMPTS_IN_A_ROW", 12)
    waits = [retry_delay_us("KILLED_EXTERNALLY", count, True) for count in range(1, 12)]
    assert waits == [s * S for s in (0, 10, 20, 40, 80, 160, 300, 300, 300, 300, 300)]


NEVER = (
    "OOM_KILLED", "HOST_OOM", "BAD_FLAG", "MODEL_LOAD_ERROR", "ARCH_UNSUPPORTED", "MUST_REDOWNLOAD", "PORT_IN_USE",
    "DISK_FULL",
)  # fmt: skip


def test_who_is_retried() -> None:
    assert {code for code, row in CATALOGUE.items() if row.retry is Retry.ONCE} <= {
        "CONTAINER_EXITED", "RUNTIME_ERROR", "CUDA_ERROR",
    }  # fmt: skip
    assert CATALOGUE["KILLED_EXTERNALLY"].retry is Retry.BACKOFF
    assert {CATALOGUE[code].retry for code in NEVER} == {Retry.NEVER}


def constants() -> Iterator[str]:
    """Every text in our source but the catalogue's own, and the codes of the rules that ship."""
    for path in APP.rglob("*.py"):
        if path.name != "failures.py":
            tree = ast.parse(path.read_text("utf-8"))
            yield from (n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str))
    yield from (rule.code for rule in SHIPPED)


def raised() -> Iterator[str]:
    """Every code that is given to an error as it stands."""
    for path in APP.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ("StokerError", "Ended")
            ):
                codes = [a.value for a in node.args[:2] if isinstance(a, ast.Constant) and isinstance(a.value, str)]
                yield from codes[:1]


def test_every_code_that_is_used_is_in_the_catalogue() -> None:
    assert set(raised()) - CATALOGUE.keys() == set()


def test_every_code_of_the_catalogue_can_be_reached() -> None:
    assert CATALOGUE.keys() - set(constants()) == set()
