"""What other GPUs would allow a deployment, or no longer do: solved anew for them, and told as checks."""

from collections.abc import Mapping

from app.domain.choice import choose
from app.domain.engines import Preset
from app.domain.resolve import less, more
from app.domain.variant import VariantSpec
from app.launch.checks import Check, passed
from app.launch.fit import Fit
from app.launch.machine import machine_of
from app.launch.traits import traits_of
from app.settings import Home


def solved(found: Fit, spec: VariantSpec, presets: Mapping[str, Preset], home: Home) -> list[Check]:
    """What the GPUs of `found` allow beyond `spec`, or what would fit there instead of it."""
    shape, weights, setup = found.facts.shape, found.facts.weights, found.setup
    checks = []
    if found.estimate.fits:
        if beyond := [str(each) for each in more(shape, weights, setup)]:
            checks.append(passed("allows", f"there would also fit {' or '.join(beyond)}"))
    else:
        instead = [str(each) for each in less(shape, weights, setup, presets[spec.engine].kv_types)]
        text = f"there would fit {', or '.join(instead)}" if instead else "nothing smaller of it fits either"
        checks.append(Check("allows", "warn", text, "GPU_INCOMPATIBLE", "Take one of these, or another GPU."))
    if (other := _better(spec, presets, home)) is not None:
        checks.append(other)
    return checks


def _better(spec: VariantSpec, presets: Mapping[str, Preset], home: Home) -> Check | None:
    """Another engine, if it is the one that would be chosen there."""
    machine = machine_of(spec.host, home, presets)
    choice = choose(traits_of(spec.model, home), machine, presets, gpus=spec.gpus)
    if not choice.fits or choice.engine == spec.engine:
        return None
    return passed("other engine", f"{choice.reason} (`--engine {choice.engine}`)")
