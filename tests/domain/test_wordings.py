"""What many programs print, in their own words: `wordings.txt` has the lines, each case the code that it proves."""

from pathlib import Path

import pytest

from tests.domain.rules import verdict

_TEXT = (Path(__file__).parent / "wordings.txt").read_text("utf-8")
_CASES = [block.split("\n") for block in _TEXT.strip().split("\n\n") if block.startswith("= ")]


@pytest.mark.parametrize(("code", "lines"), [(case[0].removeprefix("= "), case[1:]) for case in _CASES])
def test_it_is_named_for_what_it_is(code: str, lines: list[str]) -> None:
    assert verdict(*lines) == (None if code == "NONE" else code)
