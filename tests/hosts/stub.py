"""A driver that a test makes up: `stub.c` as the machine's `libnvidia-ml.so.1`, read by the real pynvml."""

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent / "stub.c"
LIBRARY = "libnvidia-ml.so.1"
MIB = 1 << 20
VARIABLE = "NVML_STUB_FILE"
H100 = "gpu GPU-aaaaaaaa-0000-0000-0000-000000000001 81559 1024 92 71 412500 9 0 NVIDIA H100 80GB HBM3"
L40S = "gpu GPU-bbbbbbbb-0000-0000-0000-000000000002 46068 512 0 31 36000 8 9 NVIDIA L40S"


def build(directory: Path) -> Path:
    """The library, built into `directory`; skips the test on a machine without a compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler to build the NVML stub with")
    path = directory / LIBRARY
    flags = ["-O1", "-shared", "-fPIC", f"-Wl,-soname,{LIBRARY}"]
    subprocess.run([compiler, *flags, "-o", path, SOURCE], check=True, timeout=60)
    return path


@dataclass
class Driver:
    """What the stub says from the next call on: `set` writes it anew, whole or not at all."""

    library: Path
    state: Path
    lines: list[str] = field(default_factory=list)

    def set(self, *lines: str) -> None:
        """Lines of the stub's world, as `stub.c` describes them; a driver's version comes with them."""
        partial = self.state.with_suffix(".partial")
        partial.write_text("\n".join(("driver 570.86.10 12080", *lines)) + "\n", encoding="utf-8")
        partial.replace(self.state)

    def remove(self) -> None:
        """As if no driver were installed."""
        self.state.unlink(missing_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to meet this driver."""
        return {"LD_LIBRARY_PATH": str(self.library.parent), VARIABLE: str(self.state)}


def preload(library: Path) -> None:
    """Have this process meet the stub: what is loaded under its name is not looked for again.

    It stays, and says that there is no driver wherever no test has set one.
    """
    import ctypes

    ctypes.CDLL(str(library))
    os.environ.pop(VARIABLE, None)
