"""What a tag stands for: its digest, asked for once, when the image is chosen, and noticed when it is another one."""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from app.domain.engines import CONTAINERS, Preset
from app.domain.failures import CATALOGUE, StokerError
from app.domain.images import LOCAL, Reference, parse_reference, same_tag
from app.domain.variant import VariantSpec
from app.launch.checks import Check, from_error, passed

_KNOWN_S = 60.0
"""How long an answer about an engine's own image counts: a form asks at every key."""


def pin(spec: VariantSpec, wanted: str | None, images: Sequence[str] = ()) -> tuple[VariantSpec, tuple[Check, ...]]:
    """`spec` with the digest that its image has now, if it has none or `wanted` asks for it just now, and what there is
    to say. `images` are the engine's own, of which the last is the one in a registry.

    A registry that does not know is no failure: the host may have the image, or another way to it.
    """
    if spec.image is None:
        return _pin_own(spec, images[-1]) if images else (spec, ())
    try:
        reference = parse_reference(spec.image)
        if reference.digest is not None or reference.registry == LOCAL:
            return replace(spec, digest=reference.digest), ()
        now = _digest(reference)
    except StokerError as error:
        return spec, (_unknown(error),)
    if wanted is not None or spec.digest is None:
        return replace(spec, digest=now), (passed("digest", now),)
    return spec, (_compared(spec.image, spec.digest, now),)


def moved(spec: VariantSpec, preset: Preset) -> Check | None:
    """The check that says so if the tag of the image of `spec` stands for another one than when it was chosen."""
    if spec.backend != CONTAINERS or preset.container is None or (spec.digest or spec.pinned) is None:
        return None
    if spec.image is None:
        _, checks = _pin_own(spec, preset.container.images_for(spec)[-1], fresh=True)
    else:
        _, checks = pin(spec, None)
    return next((check for check in checks if check.result == "warn" and check.code is None), None)


def _pin_own(spec: VariantSpec, image: str, *, fresh: bool = False) -> tuple[VariantSpec, tuple[Check, ...]]:
    reference = parse_reference(image)
    if reference.digest is not None or reference.registry == LOCAL:
        return replace(spec, pinned=None), ()
    answer = _ask(image) if fresh else _asked(image, int(time.monotonic() / _KNOWN_S))
    if isinstance(answer, StokerError):
        return spec, (_unknown(answer),)
    if spec.pinned is None or not same_tag(spec.pinned, reference):
        return replace(spec, pinned=str(reference.at(answer))), (passed("digest", f"{image}: {answer}"),)
    return spec, (_compared(image, parse_reference(spec.pinned).digest or "", answer),)


def _compared(image: str, before: str, now: str) -> Check:
    if before == now:
        return passed("digest", f"{now}, as before")
    text = f"`{image}` has moved to {now}; {before} goes on running"
    return Check("digest", "warn", text, None, f"Take the new one: `--image {image}`.")


def _unknown(error: StokerError) -> Check:
    if error.code == "CONFIG_INVALID":
        return from_error("digest", error)
    text = f"not known: {error.message} The host decides."
    return Check("digest", "warn", text, error.code, CATALOGUE[error.code].remedy_for(error.message))


@lru_cache(maxsize=16)
def _asked(image: str, _moment: int) -> str | StokerError:
    return _ask(image)


def _ask(image: str) -> str | StokerError:
    try:
        return _digest(parse_reference(image))
    except StokerError as error:
        return error


def _digest(reference: Reference) -> str:
    from app.launch.registry import Registry

    with Registry(reference) as registry:
        return registry.digest()
