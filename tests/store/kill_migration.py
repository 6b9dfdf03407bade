"""Kill a migration at each of its SQL statements in turn: `python -m tests.store.kill_migration ROOT SECOND.sql`.

For n = 0, 1, 2 … a copy of `ROOT/seed.db` (nothing, if there is none) in `ROOT/n/` is migrated in a process that kills
itself with SIGKILL before it runs its n-th statement. The last directory holds the migration that ran to its end.
`SECOND.sql` is applied as one migration more than stoker has. A process of its own, because it forks.
"""

import functools
import itertools
import os
import shutil
import signal
import sqlite3
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import app.store.migrate as subject


def main(root: Path, second: str) -> None:
    """Fill `root` with one directory for each place to die at."""
    known = subject.migrations()
    subject.migrations = lambda: [*known, (known[-1][0] + 1, second)]
    for n in itertools.count():
        place = root / str(n)
        place.mkdir()
        if (root / "seed.db").exists():
            shutil.copy(root / "seed.db", place / "stoker.db")
        child = os.fork()
        if child == 0:
            _migrate(place, n)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        if os.WIFEXITED(status):
            sys.exit(os.WEXITSTATUS(status))


def _migrate(place: Path, n: int) -> None:
    statements = itertools.count()

    class Mortal(sqlite3.Connection):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.set_trace_callback(lambda _: os.kill(os.getpid(), signal.SIGKILL) if next(statements) == n else None)

    with mock.patch.object(sqlite3, "connect", functools.partial(sqlite3.connect, factory=Mortal)):
        subject.migrate(place / "stoker.db", place / "backups")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]).read_text("utf-8"))
