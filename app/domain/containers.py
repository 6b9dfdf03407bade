"""The exact command of a container, as a person would give it to Docker by hand."""

from app.domain.engines import CONTAINERS, Preset, gpu_choice, mounted
from app.domain.variant import VariantSpec


def docker_run(preset: Preset, spec: VariantSpec, command: tuple[str, ...]) -> tuple[str, ...]:
    """`command` as `docker run` would start it; as it is for what runs in no container.

    What is not in it: labels, log rotation, and the environment, which reaches the engine by a file. Weights on another
    host are copied into a volume there.
    """
    box = preset.container
    if spec.backend != CONTAINERS or box is None:
        return command
    indexes, count = gpu_choice(spec.gpus)
    wanted = f"device={','.join(indexes)}" if indexes and indexes != ("all",) else str(count or "all")
    words = ["docker", *(["--context", spec.host] if spec.host else []), "run", "--init", "--cap-drop", "ALL"]
    words += ["--security-opt", "no-new-privileges", "--publish", f"127.0.0.1::{box.port}"]
    for source, target in mounted(spec.model):
        words += ["--volume", f"{source}:{target}:ro"]
    if indexes or count:
        words += ["--gpus", wanted, "--ulimit", "memlock=-1", "--ulimit", "stack=67108864"]
    if box.shm_bytes is not None:
        words += ["--shm-size", str(box.shm_bytes)]
    if spec.memory_limit is not None:
        words += ["--memory", str(spec.memory_limit), "--memory-swap", str(spec.memory_limit)]
    image = spec.image or box.images_for(spec)[-1]
    return (*words, "--entrypoint", command[0], image, *command[1:])
