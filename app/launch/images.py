"""Which image an engine may run: the policy of `[images]`, applied before every start."""

from collections.abc import Sequence

from app.domain.failures import StokerError
from app.domain.images import Reference, check_policy, parse_reference, same_tag
from app.domain.variant import VariantSpec
from app.settings import Home, ImageSettings, load_settings


def admit(home: Home, spec: VariantSpec, images: Sequence[str]) -> tuple[str, ...]:
    """The images that a host may try for `spec`, in order: the user's, or those of its engine's preset.

    Under `signed` the registry is asked, and what comes back has a digest. Raises IMAGE_NOT_ALLOWED when the policy
    lets none of them in, IMAGE_PULL_FAILED when the registry does not answer, and CONFIG_INVALID.
    """
    policy = load_settings(home).images
    admitted: list[str] = []
    refused: StokerError | None = None
    for reference in [_asked(spec)] if spec.image is not None else [_own(spec, image) for image in images]:
        try:
            admitted.append(_admitted(reference, policy).pinned)
        except StokerError as error:
            refused = error
    if not admitted and refused is not None:
        raise refused
    return tuple(admitted)


def _asked(spec: VariantSpec) -> Reference:
    reference = parse_reference(spec.image or "")
    return reference if spec.digest is None else reference.at(spec.digest)


def _own(spec: VariantSpec, image: str) -> Reference:
    """An image of the engine's preset, at the digest that it had at the launch."""
    reference = parse_reference(image)
    return parse_reference(spec.pinned) if spec.pinned and same_tag(spec.pinned, reference) else reference


def _admitted(reference: Reference, policy: ImageSettings) -> Reference:
    check_policy(reference, policy.policy, policy.allow)
    if policy.policy != "signed":
        return reference
    from app.launch.registry import Registry
    from app.launch.signatures import require_signature

    with Registry(reference) as registry:
        found = reference.at(registry.digest())
        require_signature(registry, found, policy.keys)
    return found
