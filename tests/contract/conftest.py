"""Every backend in turn."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.harness import HARNESSES, BackendHarness


@pytest.fixture(params=HARNESSES)
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BackendHarness]:
    """The backend that the story is told about this time."""
    made = HARNESSES[request.param](tmp_path, request)
    try:
        yield made
    finally:
        made.close()
