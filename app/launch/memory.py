"""The memory of this machine that a configuration was given, and what it would need of it."""

import re

from app.domain.fitting import Memory
from app.domain.variant import VariantSpec

_ASKED = re.compile(r"attempted to allocate\s+([\d.]+) MB|allocate CPU buffer of size (\d+)")


def memory_of(code: str, spec: VariantSpec, evidence: str) -> Memory | None:
    """The memory that ran out with `code`; None where nothing is known to compute with."""
    return None
