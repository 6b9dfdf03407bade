"""What follows from the failure of an attempt that may be placed elsewhere."""

from dataclasses import replace

import pytest

from app.domain import reconcile as rules
from app.domain.facts import Ended, Seen
from tests.domain.model import S, up


def delay(code: str, before: int, *, elsewhere: bool) -> int | None:
    """Microseconds until the next attempt, after a failure with `code` that follows on `before` others in a row."""
    model = up()
    (instance,) = model.deployment.instances
    assert instance.attempt is not None
    failing = replace(instance, failure_count=before, served=False, ready_at=None)
    seen = {instance.attempt.id: Seen(model.now, ended=Ended(model.now, code, "it says"))}
    left = frozenset({instance.id}) if elsewhere else frozenset()
    world = replace(model.world(), seen=seen, elsewhere=left)
    (change,) = rules.reconcile(replace(model.deployment, instances=(failing,)), world)
    assert isinstance(change, rules.Change)
    retry_at: int | None = change.instance["retry_at"]
    return None if retry_at is None else retry_at - world.now


@pytest.mark.parametrize(
    "code", ["PROVIDER_TIMEOUT", "PROVIDER_AUTH", "HOST_UNREACHABLE", "IMAGE_PULL_FAILED", "GPU_ACCESS"]
)
def test_a_failure_of_the_host_moves_on_at_once_while_there_is_another(code: str) -> None:
    assert delay(code, 0, elsewhere=True) == 0
    assert delay(code, 7, elsewhere=True) == 0


def test_when_all_have_been_tried_it_waits_as_ever() -> None:
    assert delay("PROVIDER_TIMEOUT", 2, elsewhere=False) == 20 * S
    assert delay("PROVIDER_TIMEOUT", 4, elsewhere=False) is None
    assert delay("PROVIDER_AUTH", 0, elsewhere=False) is None


@pytest.mark.parametrize("code", ["OOM_KILLED", "BAD_FLAG", "MODEL_LOAD_ERROR"])
def test_a_failure_of_the_engine_is_the_same_everywhere(code: str) -> None:
    assert delay(code, 0, elsewhere=True) is None
