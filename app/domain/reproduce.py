"""The command that launches a configuration anew, on this machine or another."""

import shlex

from app.domain.variant import VariantSpec


def reproduction(name: str, spec: VariantSpec, replicas: int) -> str:
    """A script that launches `spec` as deployment `name`. The values of its variables stay behind."""
    model = "smollm2" if spec.model.source == "bundled" else spec.model.path
    words = ["stoker", "launch", model, "--name", name, "--engine", spec.engine]
    words += ["--backend", spec.backend] if spec.smart is None else spec.smart.options()
    words += ["--ctx", str(spec.context), "--seqs", str(spec.seqs), "--kv-type", spec.kv_type]
    words += ["--replicas", str(replicas)] if replicas != 1 else []
    words += ["--memory", str(spec.memory_limit)] if spec.memory_limit is not None else []
    for flag, value in spec.flags.items():
        words += ["--set", flag if value is True else f"{flag}={value}"]
    for variable in spec.env_names:
        words += ["--env", variable]
    return f"#!/bin/sh\n{shlex.join(words)} --wait\n"
