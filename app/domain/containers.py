"""The exact command of a container, as a person would give it to Docker by hand."""

from app.domain.engines import CONTAINERS, Box, Preset, gpu_choice, mounted
from app.domain.images import parse_reference, same_tag
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
    return (*words, "--entrypoint", command[0], _image(spec, box), *command[1:])


def _image(spec: VariantSpec, box: Box) -> str:
    """The image with its digest, if that is known: what would be pulled."""
    if spec.image is not None:
        return spec.image if spec.digest is None else str(parse_reference(spec.image).at(spec.digest))
    last = box.images_for(spec)[-1]
    return spec.pinned if spec.pinned and same_tag(spec.pinned, parse_reference(last)) else last
