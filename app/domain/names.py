"""What a deployment may be called."""

import re

NAME_RULE = "1 to 63 lower-case letters, digits and hyphens, no hyphen at either end"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def valid_name(name: str) -> bool:
    """Whether `name` may be a deployment's."""
    return _NAME.fullmatch(name) is not None
