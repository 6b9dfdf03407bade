"""Which image an engine may run: the policy of `[images]`, applied before every start."""

from collections.abc import Sequence

from app.domain.failures import StokerError
from app.domain.images import check_policy, parse_reference
from app.domain.variant import VariantSpec
from app.settings import Home, load_settings


def admit(home: Home, spec: VariantSpec, images: Sequence[str]) -> tuple[str, ...]:
    """The images that a host may try for `spec`, in order: the user's, or those of its engine's preset.

    Raises IMAGE_NOT_ALLOWED when the policy lets none of them in, and CONFIG_INVALID.
    """
    policy = load_settings(home).images
    if spec.image is not None:
        images = (spec.image,)
    admitted, refused = [], None
    for image in images:
        reference = parse_reference(image)
        if spec.digest is not None and spec.image is not None:
            reference = reference.at(spec.digest)
        try:
            check_policy(reference, policy.policy, policy.allow)
        except StokerError as error:
            refused = error
        else:
            admitted.append(reference.pinned)
    if not admitted and refused is not None:
        raise refused
    return tuple(admitted)
