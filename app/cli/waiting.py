"""Waiting for a wish to come true, saying what happens meanwhile."""

import sys
import time
from dataclasses import dataclass, field

from app.cli.output import note, redraw
from app.domain.facts import Deployment
from app.domain.failures import StokerError
from app.domain.fleet import Fleet
from app.domain.lifecycle import Phase
from app.domain.settled import Outcome, settled
from app.render import deployment as render
from app.render.cells import Cell, Line, line
from app.render.states import status_cell
from app.render.words import fetched, moment, span
from app.settings import Home
from app.store.fleet import look

_POLL_S = 0.25


def wait(home: Home, name: str, deployment_id: str) -> render.Document | None:
    """Return when the wish for the deployment has come true: its row, or None when it was to be removed.

    Each change is a line on stderr, with the time since the start. Raises what the failure's code and evidence say
    when the wish cannot come true.
    """
    progress = _Progress()
    try:
        return _wait(home, deployment_id, progress)
    except KeyboardInterrupt:
        progress.close()
        note(f"No longer waiting; it goes on. Follow it: stoker events {name} -f")
        raise
    finally:
        progress.close()


def _wait(home: Home, deployment_id: str, progress: "_Progress") -> render.Document | None:
    while True:
        fleet = _look(home)
        if fleet is not None:
            deployment = next((d for d in fleet.deployments if d.id == deployment_id), None)
            if deployment is None:
                return None
            outcome, row = settled(deployment), render.row(fleet, deployment)
            stale = render.freshness_lines(fleet)
            state = stale[0] if stale else _state(deployment, row, fleet.now, outcome)
            work = fleet.fetches.get(deployment.variant_id)
            progress.show(state, fetched(work) if work is not None else "")
            if outcome == "reached":
                return row
            if outcome == "failed":
                raise _failure(deployment, row)
            if outcome == "at rest":
                text = f"{deployment.name} was shut down and nobody has started it since."
                raise StokerError("DEPLOYMENT_STOPPED", text, f"Start it: `stoker start {deployment.name}`.")
        time.sleep(_POLL_S)


def _look(home: Home) -> Fleet | None:
    """What there is; None while the store is locked, which passes."""
    try:
        return look(home)
    except StokerError as error:
        if error.code != "STORE_BUSY":
            raise
        return None


@dataclass(slots=True)
class _Progress:
    """One line a change; on a terminal the last line is redrawn while time passes."""

    began: float = field(default_factory=time.monotonic)
    live: bool = field(default_factory=sys.stderr.isatty)
    last: Line = ()

    def show(self, state: Line, detail: str) -> None:
        """Say where things stand."""
        elapsed = Cell(f"{span(int((time.monotonic() - self.began) * 1e6)):>8}  ", "dim")
        if state != self.last:
            if self.live and self.last:
                note("")
            self.last = state
            if not self.live:
                note((elapsed, *state))
        if self.live:
            redraw((elapsed, *state, Cell(f"  {detail}" if detail else "")))

    def close(self) -> None:
        """End the live line."""
        if self.live and self.last:
            note("")
        self.last = ()


def _state(deployment: Deployment, row: render.Document, now: int, outcome: Outcome) -> Line:
    """The headline, without a countdown: in a pipe every change is a line."""
    fail = row["failure"]
    if row["status"] == "ERROR" and fail and fail["retry_at"] is not None:
        cell = status_cell(row["status"], fail["code"], f"tried again at {moment(fail['retry_at'])}:")
        return line(cell, f" {fail['evidence'] or fail['meaning']}")
    if row["status"] == "DEPLOYED" and outcome == "under way":
        phases = ", ".join(f"{i.name} {i.phase.value}" for i in deployment.instances)
        return line(render.headline(row, now), f"  {phases}")
    if row["detail"].startswith(Phase.COPYING_FILES):
        row = {**row, "detail": Phase.COPYING_FILES.value}
    return line(render.headline(row, now))


def _failure(deployment: Deployment, row: render.Document) -> StokerError:
    """The failure of the variant that was wished for, as an error with its evidence."""
    found = [
        f
        for i in deployment.instances
        if i.variant_id == deployment.variant_id
        if (f := render.failure(i, row["name"]))
    ]
    fail = found[0]
    said = f': "{fail["evidence"]}".' if fail["evidence"] else "."
    return StokerError(fail["code"], fail["meaning"].rstrip(".") + said, fail["remedy"])
