"""Deployments as documents and headlines, for every state that a deployment can be in."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.facts import Deployment, Instance
from app.domain.failures import CATALOGUE
from app.domain.fleet import Fleet, Freshness
from app.domain.lifecycle import PHASES, Phase, State
from app.domain.status import Status
from app.domain.variant import ModelRef, VariantSpec
from app.render.cells import plain
from app.render.deployment import failure, freshness_lines, headline, instances, ps_table, rows, variants
from app.render.states import instance_cell, status_cell

NOW = 1_800_000_000_000_000
SPEC = VariantSpec(ModelRef("m", "file", "/m.gguf"), "llama.cpp", "process", 4096, 4, "f16")
FRESH = Freshness("running", NOW, True)


def an_instance(state: State = State.RUNNING, phase: Phase = Phase.SERVING, **more: Any) -> Instance:
    return Instance("i", "demo-a", "v", "process", state, phase, NOW, NOW, **more)


def a_fleet(*found: Instance, wish: Any = "running", replicas: int = 1, freshness: Freshness = FRESH) -> Fleet:
    deployment = Deployment("d", "demo", wish, NOW, replicas, "v", "REQUESTED", NOW, instances=found)
    return Fleet([deployment], {"v": SPEC}, freshness, "http://h/v1", NOW)


FAILED = an_instance(
    State.FAILED, Phase.FAILED, failure_code="HOST_OOM", failure_evidence="no memory", failed_at=NOW - 1
)


@pytest.mark.parametrize(
    ("found", "wish", "expected"),
    [
        ([], "running", "◔ REQUESTED"),
        ([an_instance()], "running", "● DEPLOYED"),
        ([an_instance(State.PENDING, Phase.COPYING_FILES)], "running", "◐ DEPLOYING copying files"),
        ([an_instance(State.PENDING, Phase.LOADING)], "running", "◐ INITIALIZING"),
        ([an_instance(State.RUNNING, Phase.STOPPING)], "stopped", "◐ STOPPING"),
        ([an_instance(State.STOPPED, Phase.BY_USER)], "stopped", "○ STOPPED"),
        ([an_instance(State.STOPPED, Phase.BY_SHUTDOWN)], "running", "○ STOPPED by shutdown"),
        ([FAILED], "running", "✖ FAILED HOST_OOM"),
        ([replace(FAILED, failure_code="MUST_REDOWNLOAD")], "running", "✖ MUST_REDOWNLOAD MUST_REDOWNLOAD"),
        ([replace(FAILED, retry_at=NOW + 40_000_000)], "running", "◔ ERROR HOST_OOM retry in 40s"),
        ([an_instance(unreachable_since=NOW - 1)], "running", "? UNREACHABLE unreachable"),
    ],
)
def test_headlines(found: list[Instance], wish: str, expected: str) -> None:
    (row,) = rows(a_fleet(*found, wish=wish))
    assert headline(row, NOW).text == expected
    assert expected in plain(ps_table([row], NOW)[1])


def test_every_state_and_phase_has_a_sign_and_a_word() -> None:
    for status in Status:
        assert status.value in status_cell(status).text
    for state, phases in PHASES.items():
        for phase in phases:
            assert state.value in instance_cell(state, phase).text


states = st.sampled_from([(state, phase) for state, phases in PHASES.items() for phase in phases])


@given(
    st.lists(
        st.tuples(states, st.sampled_from([None, *CATALOGUE, "UNHEARD_OF"]), st.booleans(), st.booleans()), max_size=3
    ),
    st.sampled_from(["running", "stopped", "gone"]),
)
def test_any_fleet_can_be_shown(drawn: list[Any], wish: Any) -> None:
    found = [
        an_instance(state, phase, failure_code=code, failed_at=NOW, retry_at=NOW if retried else None,
                    unreachable_since=NOW if lost else None)
        for (state, phase), code, retried, lost in drawn
    ]  # fmt: skip
    fleet = a_fleet(*found, wish=wish)
    (row,) = rows(fleet)
    assert ps_table([row], NOW)
    assert len(instances(fleet.deployments[0], {})) == len(found)


def test_a_failure_speaks_of_the_deployment_at_hand() -> None:
    document = failure(replace(FAILED, failure_code="RUNTIME_ERROR"), "demo")
    assert document is not None
    assert document["remedy"] == "Open the log: `stoker logs demo`."
    assert (document["evidence"], document["at"]) == ("no memory", NOW - 1)
    unknown = failure(replace(FAILED, failure_code="UNHEARD_OF"), "demo")
    assert unknown is not None
    assert (unknown["meaning"], unknown["remedy"]) == ("", "")
    assert failure(an_instance(failure_code="HOST_OOM"), "demo") is None


def test_variants_say_what_changed_but_not_where_secrets_lie() -> None:
    later = replace(SPEC, context=8192, env_names=("TOKEN",), env_file="01X")
    first, second = variants([("a", 1, SPEC, NOW), ("b", 2, later, NOW)], "b")
    assert (first["changed"], first["current"], second["current"]) == ({}, False, True)
    assert json.loads(json.dumps(second["changed"])) == {"context": [4096, 8192], "env_names": [[], ["TOKEN"]]}
    assert "01X" not in str(second)


@pytest.mark.parametrize(
    ("freshness", "stale_s", "said"),
    [
        (FRESH, 0, ""),
        (Freshness("running", NOW - 12_000_000, False), 12, "? server not answering since 12s"),
        (Freshness("running", None, False), None, "? server not answering since the machine started"),
        (Freshness("starting", NOW - 3_000_000, False), 3, "○ server starting"),
        (Freshness("down", NOW - 120_000_000, False), 120, "as of 2m ago. Start it: stoker up"),
        (Freshness("down", None, False), None, "○ server down. Start it: stoker up"),
    ],
)
def test_old_facts_say_how_old_they_are(freshness: Freshness, stale_s: int | None, said: str) -> None:
    fleet = a_fleet(an_instance(), freshness=freshness)
    assert rows(fleet)[0]["stale_s"] == stale_s
    text = "\n".join(plain(part) for part in freshness_lines(fleet))
    assert said in text
    assert bool(said) == bool(text)
