"""Real processes of this machine, and none left behind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.harness import ProcessHarness


@pytest.fixture
def local(tmp_path: Path) -> Iterator[ProcessHarness]:
    """The process backend on an attempts directory of the test's own."""
    made = ProcessHarness(tmp_path)
    try:
        yield made
    finally:
        made.close()
