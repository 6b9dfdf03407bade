"""What would mend a failure: options, the best first, each a configuration to run instead or a command to copy.

Numbers come from the engine's own words and from the estimate; what the estimate rejects is not offered. Nothing here
looks at anything: whoever asks has put what is known of model, engine and machine into a `Situation`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from app.domain import host_fixes
from app.domain.engines import nearest
from app.domain.failures import CATALOGUE
from app.domain.fix import MOST, Fix, Options, Situation, copied, digits_of, flagged, option
from app.domain.memory_fixes import for_memory
from app.domain.text import safe
from app.domain.variant import FlagValue, VariantSpec


def options(situation: Situation) -> list[Fix]:
    """What would mend it, the best first; empty where nothing is known that would."""
    found = list(_BY_CODE.get(situation.code, _nothing)(situation))
    known = CATALOGUE.get(situation.code)
    if situation.retried and not any(f.spec is None and not f.command for f in found):
        found.append(option("try again now", "it is tried again by itself; this does not wait"))
    elif not found and known is not None and known.http is None:
        found.append(option("start again", "as it is; for when the cause has gone"))
    if situation.unrecovered:
        bundle = copied("give it to somebody who can look into it", f"stoker bundle {situation.name}")
        found = [*found[: MOST - 1], bundle]
    return [replace(fix, k=k) for k, fix in enumerate(found[:MOST], 1)]


def change_of(before: VariantSpec, after: VariantSpec) -> str:
    """What a fix changes, for the timeline: `context 4096 → 2304`."""
    parts = []
    for key, (old, new) in before.changes(after).items():
        if key == "flags":
            parts += [
                f"{flag} {_value(before.flags, flag)} → {_value(after.flags, flag)}"
                for flag in _differing(before, after)
            ]
        elif key == "model":
            parts.append(f"model {before.model.name} → {after.model.name}")
        else:
            parts.append(f"{key.replace('_', ' ')} {old} → {new}")
    return ", ".join(parts)


_FLAG = re.compile(r"--?([a-z0-9][a-z0-9_-]*)", re.IGNORECASE)
_NEAREST = re.compile(
    r"nearest is --([a-z0-9-]+)|[Dd]id you mean[:\s]+[`'\"]?--([a-z0-9_-]+)|could match --([a-z0-9-]+)"
)
_CHOICES = re.compile(r"choose from ([^)]*)\)")


def _bad_flag(situation: Situation) -> Options:
    spec = situation.spec
    flag = _which_flag(situation)
    if flag is None:
        return
    value = spec.flags[flag]
    said = _NEAREST.search(situation.evidence)
    known = [name for name in situation.flags if name != flag and name not in spec.flags]
    better = next((name for name in said.groups() if name), "") if said else nearest(flag, known) if known else ""
    choices = _CHOICES.search(situation.evidence)
    if choices is not None and isinstance(value, str):
        values = [word.strip(" '\"") for word in choices[1].split(",")]
        good = nearest(value, values)
        yield option(f"{flag} {value} → {good}", "the nearest value that the engine takes", flagged(spec, {flag: good}))
    elif better and better not in spec.flags and not _refuses_value(situation.evidence):
        flags = {better if name == flag else name: v for name, v in spec.flags.items()}
        title = f"{flag} → {better}" + ("" if value is True else f" {safe(str(value), 40)}")
        yield option(title, "the nearest flag that the engine knows", replace(spec, flags=flags))
    yield option(f"without {flag}", "the engine's own default", flagged(spec, {}, flag))


def _which_flag(situation: Situation) -> str | None:
    """The flag of the configuration that the engine did not take."""
    named = [situation.captured.get("flag", ""), *_FLAG.findall(situation.evidence)]
    words = [word.lstrip("-").replace("_", "-") for word in named]
    flags = situation.spec.flags
    return next((flag for word in words for flag in flags if flag.replace("_", "-") == word), None)


def _refuses_value(evidence: str) -> bool:
    """Whether the engine knows the flag and refuses what was given for it."""
    return "invalid value" in evidence or "takes a value" in evidence or "expected one argument" in evidence


def _port(situation: Situation) -> Options:
    spec = situation.spec
    if "port" in spec.flags:
        yield option("any free port", "the engine chooses; clients use the endpoint", flagged(spec, {}, "port"))
        if situation.free_port is not None:
            title = f"port {spec.flags['port']} → {situation.free_port}"
            yield option(title, "free a moment ago", flagged(spec, {"port": str(situation.free_port)}))
        yield copied("see who has it", f"ss -ltnp 'sport = :{digits_of(spec.flags['port'])}'")
    else:
        yield option("start again", "with another port")


def _file(situation: Situation) -> Options:
    spec = situation.spec
    if situation.fetched:
        yield Fix(0, "fetch the file again", "size and checksum are compared", refetch=True)
    elif situation.returned:
        yield option("start again", "the file is there now")
    same = sorted(
        situation.siblings, key=lambda m: (m.name != spec.model.name, abs((m.size or 0) - (spec.model.size or 0)))
    )
    for model in same[:2]:
        yield option(f"model {model.name}", model.path, replace(spec, model=model))
    if situation.repo and not situation.fetched:
        yield copied("fetch it again by hand", f"hf download {situation.repo} --force-download")


def _architecture(situation: Situation) -> Options:
    for other in situation.engines:
        yield option(f"engine {other.engine}", "it serves this format too", other)
    package = {"llama.cpp": "xllamacpp", "vllm": "vllm", "sglang": "sglang"}.get(situation.spec.engine)
    if package and situation.spec.backend == "process":
        yield copied("a newer engine may know it", f"pip install --upgrade {package}")


def _nothing(_situation: Situation) -> Options:
    return iter(())


_BY_CODE: dict[str, Callable[[Situation], Options]] = {
    "OOM_KILLED": for_memory,
    "HOST_OOM": for_memory,
    "CTX_TOO_LARGE": for_memory,
    "GPU_INCOMPATIBLE": for_memory,
    "BAD_FLAG": _bad_flag,
    "PORT_IN_USE": _port,
    "MUST_REDOWNLOAD": _file,
    "MODEL_LOAD_ERROR": _file,
    "MODEL_NOT_FOUND": _file,
    "ARCH_UNSUPPORTED": _architecture,
    "CUDA_ERROR": host_fixes.for_gpu,
    "GPU_ACCESS": host_fixes.for_gpu_access,
    "MODEL_GATED": host_fixes.for_hub,
    "DISK_FULL": host_fixes.for_disk,
    "STARTUP_TIMEOUT": host_fixes.for_startup,
    "ENTRYPOINT_MISSING": host_fixes.for_missing_program,
    "KILLED_EXTERNALLY": host_fixes.for_killed,
    "IMAGE_PULL_FAILED": host_fixes.for_image,
}


def _differing(before: VariantSpec, after: VariantSpec) -> list[str]:
    names = dict.fromkeys([*before.flags, *after.flags])
    return [name for name in names if before.flags.get(name) != after.flags.get(name)]


def _value(flags: Mapping[str, FlagValue], name: str) -> str:
    value = flags.get(name)
    return "–" if value is None else "on" if value is True else str(value)
