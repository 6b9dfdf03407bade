"""A plan: what would be launched, the command it becomes, and what its checks say."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.domain.choice import Choice
from app.domain.sizes import Size
from app.domain.variant import VariantSpec
from app.launch.checks import Check
from app.launch.claims import Claim
from app.launch.fit import Fit


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be launched. `spec` is None when the model could not be found; `command` is what would be started.

    `base` is what a name is made from where none was given, `fit` how one replica fits this machine if that is known.
    `sizes` are those that it may have there, `claim` what it sets aside of GPUs. `choice` is why that engine, and why
    not the others. `waiting` are the checks that have not ended yet, by name: none in a plan that is whole.
    """

    name: str
    replicas: int
    checks: tuple[Check, ...]
    spec: VariantSpec | None = None
    command: tuple[str, ...] = ()
    base: str = ""
    fit: Fit | None = None
    sizes: tuple[Size, ...] = ()
    choice: Choice | None = None
    claim: Claim | None = None
    waiting: tuple[str, ...] = ()

    @property
    def failure(self) -> Check | None:
        """The first check that failed."""
        return next((check for check in self.checks if check.result == "fail"), None)

    def require(self) -> VariantSpec:
        """The configuration, if everything passed; else raises what the first failed check says."""
        fail = self.failure
        if fail is not None:
            raise fail.error()
        if self.spec is None:
            raise RuntimeError("a plan without a configuration has a failed check")
        return self.spec

    def to_json(self) -> dict[str, Any]:
        """The document of `launch --dry-run --json`."""
        return {
            "ok": self.failure is None,
            "checks": [
                {"name": c.name, "result": c.result, "code": c.code, "detail": self._told(c), "remedy": c.remedy}
                for c in self.checks
            ],
            "estimate": None if self.fit is None else self.fit.estimate.to_json(self.fit.context),
            "command": list(self.command),
            "price_per_hour_micro": 0 if self.spec is None else self.spec.price.by_hour * self.replicas,
        }

    def _told(self, check: Check) -> str:
        """All that there is to say of a check, where nothing stands beside it."""
        others = self.choice.others if check.name == "engine" and self.choice is not None else ()
        return "; ".join((check.detail, *others))


Watch = Callable[[Plan], None]
