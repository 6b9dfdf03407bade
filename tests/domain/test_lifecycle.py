"""Only what the table of the design lists can happen to an instance."""

import itertools

import pytest

from app.domain.lifecycle import PHASES, Phase, State, allowed

# The table as a person reads it: state, phases beneath it, states it may become.
TABLE = {
    "non_bootstrap": (["registering"], ["pending", "failed", "stopped"]),
    "pending": (
        ["allocating", "pulling_image", "copying_files", "starting", "loading"],
        ["running", "failed", "stopped"],
    ),
    "running": (["serving", "draining", "stopping"], ["pending", "failed", "stopped"]),
    "stopped": (["by_user", "asleep", "by_shutdown", "by_billing"], ["pending"]),
    "failed": (["failed"], ["pending", "stopped"]),
}
PLACES = [(State(state), Phase(phase)) for state, (phases, _) in TABLE.items() for phase in phases]


def test_states_and_phases_are_those_of_the_table() -> None:
    assert list(TABLE) == [state.value for state in State]
    assert {s.value: [p.value for p in phases] for s, phases in PHASES.items()} == {s: p for s, (p, _) in TABLE.items()}


@pytest.mark.parametrize(("before", "after"), list(itertools.product(PLACES, PLACES)))
def test_a_transition_is_allowed_if_and_only_if_it_is_listed(
    before: tuple[State, Phase], after: tuple[State, Phase]
) -> None:
    (state, phase), (to_state, to_phase) = before, after
    phases, becomes = TABLE[state.value]
    forward = state is to_state and phases.index(phase.value) < phases.index(to_phase.value)
    assert allowed(*before, *after) is (to_state.value in becomes or forward)


def test_a_phase_belongs_to_one_state() -> None:
    for state, phase in itertools.product(State, Phase):
        if phase not in PHASES[state]:
            assert not any(allowed(*place, state, phase) for place in PLACES)
