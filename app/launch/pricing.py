"""What a replica costs: the prices of the configuration, for where it runs, what it takes and how it is billed."""

from typing import Literal

from app.domain.engines import gpu_choice
from app.domain.failures import StokerError
from app.domain.hosts import LOCAL, SIMULATED
from app.domain.money import Basis, Price
from app.domain.variant import VariantSpec
from app.settings import Home, Settings, load_settings
from app.store import hosts, read


def price_now(spec: VariantSpec, home: Home) -> Price:
    """What a replica of `spec` costs if it is launched now.

    Here that is `billing.hour`, and `billing.gpu_hour` for each GPU that it asks for; on a host the host's `price` for
    each GPU, and for one where it asks for none. Raises CONFIG_INVALID for `all` GPUs where their number is not known.
    """
    settings = load_settings(home)
    billing = settings.billing
    if spec.host is None:
        hour, gpu_hour, least = int(billing.hour), int(billing.gpu_hour), 0
    else:
        played = spec.backend == SIMULATED
        host = settings.simulated.get(spec.host) if played else settings.hosts.get(spec.host)
        hour, gpu_hour, least = 0, 0 if host is None else int(host.price), 1
    if gpu_hour:
        hour += gpu_hour * max(least, _gpus(spec, home, settings))
    return Price(hour, int(billing.token_in), int(billing.token_out), _basis(spec, billing.basis), billing.from_start)


def price_of_change(before: VariantSpec, spec: VariantSpec, home: Home) -> Price:
    """What a replica of `spec` costs, which comes after `before`: the price of the launch, unless something that has a
    price is another."""
    same = (spec.host, spec.gpus, spec.mode) == (before.host, before.gpus, before.mode)
    return before.price if same else price_now(spec, home)


def _basis(spec: VariantSpec, flex: Literal["second", "token"]) -> Basis:
    if spec.mode == "active":
        return "second"
    return "use" if flex == "second" else flex


def _gpus(spec: VariantSpec, home: Home, settings: Settings) -> int:
    """How many GPUs a replica takes."""
    chosen, count = gpu_choice(spec.gpus)
    if chosen != ("all",):
        return count or len(chosen)
    name = spec.host or LOCAL
    found = _seen(home, settings).get(name, 0)
    if not found:
        text = f"All GPUs of `{name}` have a price, and how many there are is not known."
        raise StokerError("CONFIG_INVALID", text, "Say how many: --gpus count=2.")
    return found


def _seen(home: Home, settings: Settings) -> dict[str, int]:
    """How many GPUs each host had when the server looked last, or is played with."""
    played = {name: host.gpus for name, host in settings.simulated.items()}
    return played | {facts.name: len(facts.look.gpus) for facts in read.read_or(home.store, hosts.hosts, [])}
