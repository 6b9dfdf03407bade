"""An engine on a disk that it fills: `python -m tests.backends.full_disk ROOT` prints what was seen as one JSON object.

A process of its own, because the little disk is mounted for it alone.
"""

import json
import os
import sys
from pathlib import Path

from backends.base import InstanceSpec
from backends.process import ProcessBackend
from tests.contract.harness import OWNER, ended, run, until


def main() -> None:
    """Run one attempt that prints more than fits and then ends with exit code 5."""
    root = Path(sys.argv[1])
    backend = ProcessBackend(root, OWNER)
    argv = (sys.executable, "-c", "import os\nfor _ in range(1_000): os.write(1, b'x' * 1_000)\nos._exit(5)")
    run(backend.create(InstanceSpec(OWNER, "d", "i", 1, "m", "e", argv, str(root / "a1")), "a1"))
    end = until(lambda: ended(backend, "a1")).exit
    disk = os.statvfs(root)
    exit_file = json.loads((root / "a1/exit.json").read_text())
    facts = {
        "code": end.code if end else None,
        "room": disk.f_bavail * disk.f_frsize,
        "kept": (root / "a1/head.log").stat().st_size,
        "dropped": exit_file["dropped"],
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
