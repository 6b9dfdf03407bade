"""What a tag stands for: its digest, asked for once, when the image is chosen, and noticed when it is another one."""

from dataclasses import replace

from app.domain.failures import CATALOGUE, StokerError
from app.domain.images import LOCAL, Reference, parse_reference
from app.domain.variant import VariantSpec
from app.launch.checks import Check, from_error, passed


def pin(spec: VariantSpec, wanted: str | None) -> tuple[VariantSpec, tuple[Check, ...]]:
    """`spec` with the digest that its image has now, if `wanted` asks for it just now, and what there is to say.

    A registry that does not know is no failure: the host may have the image, or another way to it.
    """
    if spec.image is None:
        return spec, ()
    try:
        reference = parse_reference(spec.image)
        if reference.digest is not None or reference.registry == LOCAL:
            return replace(spec, digest=reference.digest), ()
        now = _digest(reference)
    except StokerError as error:
        if error.code == "CONFIG_INVALID":
            return spec, (from_error("digest", error),)
        text = f"not known: {error.message} The host decides."
        return spec, (Check("digest", "warn", text, error.code, CATALOGUE[error.code].remedy_for(error.message)),)
    if wanted is not None or spec.digest is None:
        return replace(spec, digest=now), (passed("digest", now),)
    if spec.digest == now:
        return spec, (passed("digest", f"{now}, as before"),)
    text = f"`{spec.image}` has moved to {now}; {spec.digest} goes on running"
    return spec, (Check("digest", "warn", text, None, f"Take the new one: `--image {spec.image}`."),)


def _digest(reference: Reference) -> str:
    from app.launch.registry import Registry

    with Registry(reference) as registry:
        return registry.digest()
