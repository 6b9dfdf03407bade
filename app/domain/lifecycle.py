"""The life of an instance: its states, the phases beneath them, and the transitions that are allowed."""

from enum import StrEnum


class State(StrEnum):
    """Where an instance stands. Anything finer is a `Phase`."""

    NON_BOOTSTRAP = "non_bootstrap"
    PENDING = "pending"
    RUNNING = "running"
    STOPPED = "stopped"
    FAILED = "failed"


class Phase(StrEnum):
    """What an instance is doing within its state."""

    REGISTERING = "registering"
    ALLOCATING = "allocating"
    PULLING_IMAGE = "pulling_image"
    COPYING_FILES = "copying_files"
    STARTING = "starting"
    LOADING = "loading"
    SERVING = "serving"
    DRAINING = "draining"
    STOPPING = "stopping"
    BY_USER = "by_user"
    ASLEEP = "asleep"
    BY_SHUTDOWN = "by_shutdown"
    BY_BILLING = "by_billing"
    FAILED = "failed"


PHASES: dict[State, tuple[Phase, ...]] = {
    State.NON_BOOTSTRAP: (Phase.REGISTERING,),
    State.PENDING: (Phase.ALLOCATING, Phase.PULLING_IMAGE, Phase.COPYING_FILES, Phase.STARTING, Phase.LOADING),
    State.RUNNING: (Phase.SERVING, Phase.DRAINING, Phase.STOPPING),
    State.STOPPED: (Phase.BY_USER, Phase.ASLEEP, Phase.BY_SHUTDOWN, Phase.BY_BILLING),
    State.FAILED: (Phase.FAILED,),
}

TRANSITIONS: dict[State, frozenset[State]] = {
    State.NON_BOOTSTRAP: frozenset({State.PENDING, State.FAILED, State.STOPPED}),
    State.PENDING: frozenset({State.RUNNING, State.FAILED, State.STOPPED}),
    State.RUNNING: frozenset({State.PENDING, State.FAILED, State.STOPPED}),
    State.STOPPED: frozenset({State.PENDING}),
    State.FAILED: frozenset({State.PENDING, State.STOPPED}),
}


def allowed(state: State, phase: Phase, to_state: State, to_phase: Phase) -> bool:
    """Whether an instance in `state`/`phase` may move to `to_state`/`to_phase`.

    Within one state phases only go forward, in the order `PHASES` lists them.
    """
    if to_phase not in PHASES[to_state]:
        return False
    if to_state is not state:
        return to_state in TRANSITIONS[state]
    order = PHASES[state]
    return order.index(phase) < order.index(to_phase)
