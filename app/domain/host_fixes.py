"""What mends a failure of the machine, the hub or a start that takes too long: mostly commands for a person."""

import re

from app.domain.engines import PROCESS
from app.domain.fitting import CONTEXT_STEP, LEAST_CONTEXT
from app.domain.fix import Options, Situation, copied, digits_of, flagged, option, resized

_WAITED = re.compile(r"(?P<quiet>no line[^0-9]*)?(?:for|not ready) (?P<s>\d+) s")
"""How the server says how long it has waited: for a sign of getting on, or for the whole start."""

_MODELS = 3
"""Of what may go from a disk, the largest few."""


def for_gpu(situation: Situation) -> Options:
    """A GPU or its driver failed: look, restart, reset."""
    index = situation.captured.get("gpu", "0")
    yield option("start again", "a fault of the moment is gone with the process")
    yield copied("look at the GPUs", "nvidia-smi")
    yield copied("what the driver reported", "sudo dmesg -T | grep -iE 'NVRM|Xid'")
    yield copied("restart the GPU services", "sudo systemctl restart nvidia-persistenced")
    yield copied("reset the GPU; nothing may use it", f"sudo nvidia-smi --gpu-reset -i {digits_of(index) or '0'}")


def for_gpu_access(_situation: Situation) -> Options:
    """The engine cannot reach the GPUs at all: driver, toolkit, modules."""
    yield copied("see whether the driver answers", "nvidia-smi")
    yield copied(
        "let Docker use the GPUs",
        "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker",
    )
    yield copied("try it in a container", "docker run --rm --gpus all ubuntu nvidia-smi -L")
    yield copied("load the driver's modules", "sudo modprobe nvidia && sudo modprobe nvidia_uvm")
    yield option("start again", "when one of these has helped")


def for_hub(situation: Situation) -> Options:
    """The hub wants to know who asks."""
    yield copied("give it a token of yours", f"HF_TOKEN=hf_… stoker change {situation.name} --env HF_TOKEN")
    if situation.repo:
        yield copied("ask for access first", f"https://huggingface.co/{situation.repo}")


def for_disk(situation: Situation) -> Options:
    """Room on the disk: what nothing needs, by its size, and what else may go."""
    for name, size in situation.unused[:_MODELS]:
        yield copied(f"remove {name}, which nothing needs: {size / 1e9:,.1f} GB", f"stoker models rm {name}")
    yield copied("see what fills it", "df -h; du -xsh ~/.cache/huggingface ~/.local/state/stoker")
    yield copied("drop images that nothing uses", "docker image prune --all")
    yield option("start again", "when there is room")


def for_startup(situation: Situation) -> Options:
    """A start that took too long: less to do in it."""
    spec = situation.spec
    half = spec.context // 2 // CONTEXT_STEP * CONTEXT_STEP
    if half >= LEAST_CONTEXT:
        yield option(
            f"context {spec.context} → {half}",
            "half of it: less to reserve, less to warm up",
            resized(spec, context=half),
        )
    eager = {"vllm": "enforce-eager", "sglang": "disable-cuda-graph", "llama.cpp": "no-warmup"}.get(spec.engine)
    if eager and eager not in spec.flags:
        yield option(
            f"eager start ({eager})", "nothing is compiled, captured or warmed up", flagged(spec, {eager: True})
        )
    yield option("start again", "with the same limits")
    if (waited := _WAITED.search(situation.evidence)) is not None:
        setting = "start_stall" if waited["quiet"] else "start_ceiling"
        yield copied("allow it longer, in config.toml", f"server.{setting} = {2 * int(waited['s'])}")


def for_missing_program(situation: Situation) -> Options:
    """The engine's program is not there."""
    if situation.install and situation.spec.backend == PROCESS:
        yield copied("install the engine", situation.install)
    for other in situation.engines:
        yield option(f"engine {other.engine}", "it serves this format too", other)
    yield option("start again", "when it is installed")


def for_killed(_situation: Situation) -> Options:
    """It was killed from outside: the kernel, or somebody."""
    yield option("try again now", "nothing is wrong with the configuration")
    yield copied("see whether the kernel did it", "sudo dmesg -T | grep -iE 'killed process|out of memory'")


def for_image(situation: Situation) -> Options:
    """An image that could not be pulled."""
    yield option("try again now", "for when registry or network were away")
    yield copied("log in to the registry", "docker login")
    if "space" in situation.evidence:
        yield copied("drop images that nothing uses", "docker image prune --all")
