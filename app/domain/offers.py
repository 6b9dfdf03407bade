"""Where something could run: what hosts offer, which of it is wanted, in which order it is tried, and why none is left.

Pure. A host with GPUs of two kinds makes two offers; this machine's processor is one too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from app.domain.failures import StokerError
from app.domain.gpus import Reserves
from app.domain.money import format_amount

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Share:
    """What a deployment of ours has of a GPU, in bytes: what it `holds` now, the most that it was `seen` to need, and
    what is set aside for it (`declared`)."""

    name: str
    holds: int = 0
    seen: int = 0
    declared: int = 0


@dataclass(frozen=True, slots=True)
class Slot:
    """One GPU of an offer: its number on the host, its `id` (uuid), bytes in all and those that its driver has free.

    `ours` are our deployments there, `foreign` who else holds memory, in words. `viewer` is the deployment for which it
    is looked at, empty for a new one.
    """

    index: int
    id: str
    total: int
    driver: int
    ours: tuple[Share, ...] = ()
    foreign: str = ""
    viewer: str = ""

    @property
    def free(self) -> int:
        """Bytes that the viewer may count on: `min(driver free, total - our own reservations)`.

        What the viewer itself holds it may have again, as far as nothing of it is set aside.
        """
        mine = next((share for share in self.ours if share.name == self.viewer), Share(self.viewer))
        others = sum(max(share.seen, share.declared) for share in self.ours if share.name != self.viewer)
        return max(0, min(self.driver + mine.holds, self.total - others) - mine.declared)

    @property
    def held(self) -> str:
        """Who holds what is not free, in words."""
        names = [share.name for share in self.ours if share.declared or share.name != self.viewer]
        return ", ".join(filter(None, (*names, self.foreign)))

    def seen_by(self, deployment: str) -> "Slot":
        """The same as `deployment` has it: what it has set aside itself is what it would take the place of."""
        shares = (replace(each, declared=0) if each.name == deployment else each for each in self.ours)
        return replace(self, ours=tuple(shares), viewer=deployment)

    def declaring(self, declared: Reserves) -> "Slot":
        """The same with what is set aside now, by deployment."""
        shares = {share.name: replace(share, declared=0) for share in self.ours}
        for name, reserve in declared.items():
            shares[name] = replace(shares.get(name, Share(name)), declared=reserve.bytes)
        return replace(self, ours=tuple(shares.values()))


@dataclass(frozen=True, slots=True)
class Offer:
    """What a host could give. `host` is None for this machine, `gpu` is empty where only the processor is offered.

    `price` is of one GPU for an hour in micro-units, on another host at least of one; `base` is of a replica beside
    that. `memory` is bytes of host memory that are free, None if that is not known. `trouble` says why nothing can be
    had there now.
    """

    backend: str
    host: str | None = None
    gpu: str = ""
    slots: tuple[Slot, ...] = ()
    memory: int | None = None
    region: str = ""
    tier: str = ""
    price: int = 0
    trouble: str = ""
    base: int = 0

    @property
    def place(self) -> str:
        """Backend and host in one word, as instances have it."""
        return self.backend if self.host is None else f"{self.backend}@{self.host}"

    @property
    def name(self) -> str:
        """The offer among all others: `docker@gpu1 RTX 4090`."""
        return f"{self.place} {self.gpu}".rstrip()

    def seen_by(self, deployment: str) -> "Offer":
        """The offer as it is for a deployment that may have something there already."""
        return replace(self, slots=tuple(replace(slot, viewer=deployment) for slot in self.slots))

    def free(self, count: int) -> int:
        """Bytes that each of its `count` freest GPUs has free, 0 if it has not that many."""
        best = sorted((slot.free for slot in self.slots), reverse=True)
        return best[count - 1] if 0 < count <= len(best) else 0

    def choose(self, count: int) -> tuple[Slot, ...]:
        """Its `count` freest GPUs, in the order of their numbers."""
        best = sorted(self.slots, key=lambda slot: (-slot.free, slot.index))[:count]
        return tuple(sorted(best, key=lambda slot: slot.index))

    def cost(self, count: int) -> int:
        """Micro-units an hour of `count` of its GPUs."""
        return self.base + self.price * (count if self.host is None else max(1, count))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a placement must satisfy; None and empty leave it open.

    `gpus` is how many, 0 for a host's processor; `need` is bytes on each of them, or of host memory. `max_price` is of
    all of it for an hour, in micro-units. `backends` are those that can run the engine at all.
    """

    gpu: str = ""
    gpus: int = 0
    need: int = 0
    region: str = ""
    tier: str = ""
    max_price: int | None = None
    backend: str = ""
    host: str = ""
    backends: tuple[str, ...] = ()

    def options(self) -> tuple[str, ...]:
        """The words of a command line that ask for it."""
        price = None if self.max_price is None else format_amount(self.max_price)
        asked = (
            ("--gpu", self.gpu),
            ("--gpus", str(self.gpus or "")),
            ("--region", self.region),
            ("--tier", self.tier),
            ("--max-price", price),
            ("--backend", self.backend),
            ("--host", self.host),
        )
        return ("--smart", *(word for option, value in asked if value for word in (option, value)))

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready form that `from_json` reads back."""
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> "Wanted":
        """The inverse of `to_json`. Raises TypeError on anything else."""
        return Wanted(**{**data, "backends": tuple(data.get("backends", ()))})


@dataclass(frozen=True, slots=True)
class Removal:
    """What one constraint does: the offers that it removes, and those that nothing else would."""

    constraint: str
    removed: int
    alone: int


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Why nothing matches: every constraint with what it removes, and the smallest change that would help, if any.

    `holders` are who has the memory that alone is missing.
    """

    offers: int
    removals: tuple[Removal, ...]
    change: str
    holders: tuple[str, ...] = ()

    def sentence(self) -> str:
        """The same in a line."""
        if not self.offers:
            return "There are no offers."
        parts = ", ".join(f"{each.constraint} removes {each.removed}" for each in self.removals)
        held = f" What is missing is held by {', '.join(self.holders)}." if self.holders else ""
        return f"None of {self.offers} offers matches: {parts}.{held}"


def failing(offer: Offer, wanted: Wanted) -> tuple[str, ...]:
    """The constraints that `offer` does not satisfy, as they are written, in a fixed order."""
    return tuple(constraint for constraint, holds, _ in _checks(offer, wanted) if not holds)


def match(offers: Sequence[Offer], wanted: Wanted) -> list[Offer]:
    """The offers that satisfy everything, the cheapest first, of equals the one with the least to spare."""
    found = [offer for offer in offers if not failing(offer, wanted)]
    return sorted(found, key=lambda offer: (offer.cost(wanted.gpus), _spare(offer, wanted), offer.name))


def in_turn(ranked: Sequence[Offer], failed: Sequence[str]) -> list[Offer]:
    """`ranked` in the order to try them: those that `failed` (names, oldest first) last, the latest at the very end."""
    order = {name: at for at, name in enumerate(failed, 1)}
    return sorted(ranked, key=lambda offer: order.get(offer.name, 0))


def explain(offers: Sequence[Offer], wanted: Wanted) -> Mismatch:
    """Why no offer matches."""
    fails = [failing(offer, wanted) for offer in offers]
    names = dict.fromkeys(name for each in fails for name in each)
    removals = tuple(
        Removal(name, sum(name in each for each in fails), sum(each == (name,) for each in fails)) for name in names
    )
    full = [offer for offer, each in zip(offers, fails, strict=True) if each == (_room(offer, wanted)[0],)]
    holders = dict.fromkeys(slot.held for offer in full for slot in offer.slots if slot.held)
    return Mismatch(len(offers), removals, _smallest_change(offers, wanted), tuple(holders))


def _spare(offer: Offer, wanted: Wanted) -> int:
    return offer.free(wanted.gpus) - wanted.need if wanted.gpus else (offer.memory or 0) - wanted.need


def _smallest_change(offers: Sequence[Offer], wanted: Wanted) -> str:
    """What to ask for instead, so that the offer matches that lacks the least; empty if asking cannot help."""
    best: tuple[tuple[int, float, int, str], str] | None = None
    for offer in offers:
        lacking = [change for _, holds, change in _checks(offer, wanted) if not holds]
        if any(not words for words, _ in lacking):
            continue
        words = " and ".join(words for words, _ in lacking)
        cost = offer.cost(min(wanted.gpus, len(offer.slots)))
        key = len(lacking), sum(size for _, size in lacking), cost, offer.name
        text = f"{words} would match {offer.name} at {format_amount(cost)} an hour"
        best = min(best or (key, text), (key, text))
    return "" if best is None else best[1]


_Change = tuple[str, float]
"""What to ask for instead, and how large a step that is; no words where asking cannot help."""


def _checks(offer: Offer, wanted: Wanted) -> list[tuple[str, bool, _Change]]:
    """Every constraint that is set: how it is written, whether `offer` satisfies it, and what would."""
    cost, count = offer.cost(wanted.gpus), wanted.gpus
    checks: list[tuple[str, bool, _Change]] = [("can be reached", not offer.trouble, ("", 0.0))]
    if wanted.backends:
        checks.append(("runs the engine", offer.backend in wanted.backends, ("", 0.0)))
    if wanted.backend:
        other = f"--backend {offer.backend}", 1.0
        checks.append((f"--backend {wanted.backend}", offer.backend == wanted.backend, other))
    if wanted.host:
        held = wanted.host == (offer.host or "local")
        checks.append((f"--host {wanted.host}", held, (f"--host {offer.host or 'local'}", 1.0)))
    if wanted.gpu:
        same = simplified(wanted.gpu) in simplified(offer.gpu)
        checks.append((f'--gpu "{wanted.gpu}"', same, (f'--gpu "{offer.gpu}"' if offer.gpu else "", 1.0)))
    if count:
        fewer = (f"--gpus {len(offer.slots)}" if offer.slots else "", 1.0)
        checks.append((f"--gpus {count}", len(offer.slots) >= count, fewer))
    if wanted.need and (not count or len(offer.slots) >= count):
        checks.append(_room(offer, wanted))
    for word, asked, has in (("region", wanted.region, offer.region), ("tier", wanted.tier, offer.tier)):
        if asked:
            instead = f"--{word} {has}" if has else f"no --{word}"
            checks.append((f"--{word} {asked}", asked.lower() == has.lower(), (instead, 1.0)))
    if wanted.max_price is not None:
        most = max(1, wanted.max_price)
        dearer = f"--max-price {format_amount(cost)}", min(1.0, (cost - wanted.max_price) / most)
        checks.append((f"--max-price {format_amount(wanted.max_price)}", cost <= wanted.max_price, dearer))
    return checks


def _room(offer: Offer, wanted: Wanted) -> tuple[str, bool, _Change]:
    """The memory that is needed, on each GPU or of the host."""
    where = " a GPU" if wanted.gpus else " of memory"
    free = offer.free(wanted.gpus) if wanted.gpus else offer.memory
    holds = free is None or free >= wanted.need
    less = f"a need of {(free or 0) / GIB:.1f} GiB{where}" if free else ""
    return f"{wanted.need / GIB:.1f} GiB{where}", holds, (less, 1.0 - (free or 0) / max(1, wanted.need))


def simplified(gpu: str) -> str:
    """A GPU's name as it is compared: without maker, spaces and case."""
    words = gpu.upper().replace("-", " ").split()
    return "".join(word for word in words if word not in ("NVIDIA", "GEFORCE", "TESLA", "AMD", "INSTINCT", "QUADRO"))


def next_larger(offers: Sequence[Offer], need: int, than: int, count: int) -> str:
    """The next larger GPU on offer and its price, in words; empty if there is none.

    It has more than `than` bytes, and `need` of them free on each of `count`.
    """
    free = [(min(slot.total for slot in o.slots), o) for o in offers if not o.trouble and len(o.slots) >= count > 0]
    larger = [(size, o.cost(count), o.name, o) for size, o in free if size > than and o.free(count) >= need]
    if not larger:
        return ""
    size, cost, _, best = min(larger, key=lambda each: each[:3])
    return f"{best.gpu} ({size / GIB:.1f} GiB) on {best.place} at {format_amount(cost)} an hour"


def short_of(slot: Slot, host: str, need: int) -> StokerError:
    """That a GPU of `host` has not the bytes that are needed, and who has them."""
    room = f"{slot.free / GIB:.1f} of {slot.total / GIB:.1f} GiB free, {need / GIB:.1f} are needed"
    text = f"GPU {slot.index} of {host} has {room}"
    if not slot.held:
        return StokerError("GPU_INCOMPATIBLE", f"{text}.")
    remedy = "Stop who holds it, or choose another GPU: `stoker offers`."
    return StokerError("GPU_INCOMPATIBLE", f"{text}; held by {slot.held}.", remedy)
