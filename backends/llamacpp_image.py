"""`python -I -m backends.llamacpp_image`: build the image that serves a GGUF file with llama.cpp, from what is here.

Nothing is fetched: the image is this interpreter, xllamacpp, `/bin/sh` and the libraries that they need, about 170 MB.
`/app/llama-server` is where llama.cpp's own image has its server, and takes the same flags (`backends.llamacpp`).
"""

import argparse
import importlib.util
import io
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

REPOSITORY = "localhost/stoker/llama.cpp"
SERVER = "/app/llama-server"
USER = "10001:10001"
_ROOT = "opt/python"
_TIMEOUT_S = 300
_LEFT_OUT = {
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "lib2to3",
    "site-packages",
    "__pycache__",
}
_LIBRARY = re.compile(r"(/\S+) \(0x")
_SCRIPT = f'#!/bin/sh\nexec /{_ROOT}/bin/python3 -I -m backends.llamacpp "$@"\n'


def write_rootfs(file: IO[bytes]) -> None:
    """Write the image's files as a tar archive. Raises FileNotFoundError when xllamacpp or `/bin/sh` is not here."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = Path(sysconfig.get_paths()["stdlib"])
    programs = [Path(sys.executable).resolve(), Path("/bin/sh").resolve()]
    packages = f"{_ROOT}/lib/{version}/site-packages"
    files = {f"{_ROOT}/lib/{version}/{path.relative_to(library)}": path for path in _files(library)}
    for name in ("xllamacpp", "xllamacpp.libs"):
        folder = _package("xllamacpp").with_name(name)
        files |= {f"{packages}/{name}/{path.relative_to(folder)}": path for path in _files(folder)}
    here = Path(__file__).parent
    files |= {f"{packages}/backends/{name}": here / name for name in ("__init__.py", "llamacpp.py")}
    files |= {f"{_ROOT}/bin/python3": programs[0], "bin/sh": programs[1]}
    objects = [*programs, *(path for path in files.values() if ".so" in path.suffixes)]
    files |= {path.lstrip("/"): Path(path) for path in _libraries(objects)}
    with tarfile.open(fileobj=file, mode="w") as tar:
        for folder_name, mode in (("tmp", 0o1777), ("proc", 0o755), ("sys", 0o755), ("dev", 0o755), ("run", 0o755)):
            _add_folder(tar, folder_name, mode)
        for target, path in sorted(files.items()):
            info = tar.gettarinfo(path.resolve(), target)
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            info.mode |= 0o444
            with path.open("rb") as source:
                tar.addfile(info, source)
        _add_text(tar, SERVER.lstrip("/"), _SCRIPT, 0o755)
        _add_text(tar, "etc/passwd", f"root:x:0:0::/:/bin/sh\nengine:x:{USER}::/tmp:/bin/sh\n", 0o644)


def build(docker_host: str | None, tag: str) -> str:
    """Build the image at the daemon `docker_host` (the current context's if None); its id."""
    import docker

    client = docker.APIClient(docker_host, timeout=_TIMEOUT_S) if docker_host else docker.from_env().api
    changes = [f'ENTRYPOINT ["{SERVER}"]', "ENV HOME=/tmp PYTHONUNBUFFERED=1", f"USER {USER}", "WORKDIR /"]
    try:
        # From a named file: the SDK announces a stream as chunked and then does not send it so.
        with tempfile.NamedTemporaryFile() as file:
            write_rootfs(file)
            file.flush()
            client.import_image_from_file(file.name, repository=REPOSITORY, tag=tag, changes=changes)
        return str(client.inspect_image(f"{REPOSITORY}:{tag}")["Id"])
    finally:
        client.close()


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"{name} is not installed: pip install 'stoker[local]'")
    return Path(next(iter(spec.submodule_search_locations)))


def _files(folder: Path) -> Iterator[Path]:
    """The files below `folder` that an engine may need."""
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in _LEFT_OUT and not name.startswith("config-")]
        yield from (Path(parent, name) for name in names if not name.startswith("_tkinter"))


def _libraries(objects: Iterable[Path]) -> set[str]:
    """The paths, as the loader knows them, of every library that `objects` are linked with."""
    listed = subprocess.run(["ldd", *map(str, objects)], capture_output=True, text=True, check=False).stdout
    return set(_LIBRARY.findall(listed))


def _add_folder(tar: tarfile.TarFile, name: str, mode: int) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, mode
    tar.addfile(info)


def _add_text(tar: tarfile.TarFile, name: str, text: str, mode: int) -> None:
    info = tarfile.TarInfo(name)
    data = text.encode()
    info.size, info.mode = len(data), mode
    tar.addfile(info, io.BytesIO(data))


def main() -> int:
    """Build the image and say what it is; the exit status."""
    parser = argparse.ArgumentParser(prog="backends.llamacpp_image", description=str(__doc__).partition("\n")[0])
    parser.add_argument("--docker-host", help="the daemon's address; else that of the current Docker context")
    parser.add_argument("--tag", default="latest")
    chosen = parser.parse_args()
    image = build(chosen.docker_host, chosen.tag)
    sys.stdout.write(f"{REPOSITORY}:{chosen.tag} is {image}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
