"""What a keeper does for its engine, seen from outside: environment, output, end."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from backends.process import ProcessBackend
from tests.contract.harness import OWNER, ProcessHarness, ended, processes_of, run, running, until

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="prlimit, /proc and PDEATHSIG are Linux's")
FOREVER = "import time\nprint('up', flush=True)\nwhile True: time.sleep(60)"
SECRET = "sesame-open-sesame"


def start(local: ProcessHarness, source: str, **more: object) -> int:
    """Start a program as attempt `a1` and return its pid once it has said that it is up."""
    run(local.backend.create(local.program("a1", source, **more), "a1"))
    pid = until(lambda: running(local.backend, "a1")).pid
    until(lambda: "up" in local.output("a1"))
    assert pid is not None
    return pid


def test_an_engine_gets_what_it_was_given_and_nothing_of_ours(
    local: ProcessHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVER_TOKEN", "not-for-engines")
    shown = "import os, json; print(json.dumps([dict(os.environ), os.getcwd(), sorted(os.listdir('/dev/fd'))]))"
    run(local.backend.create(local.program("a1", shown, env={"GIVEN": "yes"}, secrets={"K": "ab"}), "a1"))
    until(lambda: ended(local.backend, "a1"))
    environment, cwd, descriptors = json.loads(local.output("a1"))
    attempt = local.root / "a1"
    assert (environment.pop("STOKER_OWNER"), environment.pop("STOKER_ATTEMPT")) == (OWNER, "a1")
    assert environment.pop("STOKER_ENDPOINT_FILE") == str(attempt / "endpoint")
    assert environment.pop("GIVEN") == "yes"
    assert environment.pop("K") == "ab"
    assert environment.pop("PATH") == os.environ["PATH"]
    assert set(environment) <= {"HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "SPT_NOENV"}
    assert cwd == "/"
    # Standard streams, and the descriptor that lists the directory: neither the lock nor a pipe of the keeper's.
    assert len(descriptors) == 4


def test_a_secret_is_in_the_engine_and_nowhere_else(local: ProcessHarness) -> None:
    say = f"import os, time\nprint('its', os.environ['K'], 'end', 'Bearer ' + 'x' * 40)\n{FOREVER}"
    pid = start(local, say, secrets={"K": SECRET})
    assert local.output("a1").startswith("its [masked] end Bearer [masked]\n")
    assert psutil.Process(pid).environ()["K"] == SECRET
    keeper = local.keeper("a1")
    assert SECRET not in " ".join([*keeper.cmdline(), *psutil.Process(pid).cmdline(), *keeper.environ().values()])
    written = {path: path.read_bytes() for path in (local.root / "a1").iterdir()}
    assert not [path for path, text in written.items() if SECRET.encode() in text]
    assert {path.stat().st_mode & 0o077 for path in [*written, local.root / "a1"]} == {0}


def test_a_secret_is_masked_however_it_was_written(local: ProcessHarness) -> None:
    slowly = "import os, sys\nfor c in os.environ['K']: os.write(1, c.encode())\nos.write(2, b'.')"
    run(local.backend.create(local.program("a1", slowly, secrets={"K": SECRET}), "a1"))
    until(lambda: ended(local.backend, "a1"))
    assert local.output("a1") == "[masked]."


def test_a_keeper_stands_apart(local: ProcessHarness) -> None:
    pid = start(local, FOREVER)
    keeper = local.keeper("a1")
    assert keeper.cwd() == "/"
    assert os.getsid(keeper.pid) == keeper.pid
    assert os.getpgid(pid) == pid
    assert keeper.ppid() != os.getpid()
    for number in (signal.SIGHUP, signal.SIGINT):
        keeper.send_signal(number)
    # Signals come in order: when this one has taken effect, the others have had none.
    keeper.send_signal(signal.SIGTERM)
    end = until(lambda: ended(local.backend, "a1")).exit
    assert end is not None
    assert end.signal == signal.SIGTERM


@LINUX
def test_an_engine_is_the_first_that_the_kernel_may_kill(local: ProcessHarness) -> None:
    pid = start(local, FOREVER)
    assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "500\n"
    assert Path(f"/proc/{local.keeper('a1').pid}/oom_score_adj").read_text() != "500\n"


@pytest.fixture
def little_memory() -> Iterator[Path]:
    """The `tasks` file of a control group that may use 60 MB; skips where none can be made."""
    root = Path("/sys/fs/cgroup")
    first = not (root / "cgroup.controllers").exists()
    group = (root / "memory" if first else root) / f"stoker-test-{os.getpid()}"
    limit, tasks = ("memory.limit_in_bytes", "tasks") if first else ("memory.max", "cgroup.procs")
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        (group / limit).write_text("60000000")
        yield group / tasks
    except OSError as error:
        pytest.skip(f"no memory limit can be set here: {error}")
    finally:
        group.rmdir()


def test_the_kernel_s_own_kill_is_told_from_an_operator_s(local: ProcessHarness, little_memory: Path) -> None:
    join = f"import os\nopen('{little_memory}', 'w').write(str(os.getpid()))\n"
    greedy = f"{join}held = []\nwhile True: held += [b'x' * 10**6]"
    run(local.backend.create(local.program("a1", greedy), "a1"))
    end = until(lambda: ended(local.backend, "a1")).exit
    assert end is not None
    assert (end.signal, end.oom, end.lost) == (signal.SIGKILL, True, False)


@LINUX
def test_an_engine_does_not_outlive_a_killed_keeper(local: ProcessHarness) -> None:
    pid = start(local, FOREVER)
    local.kill_keeper("a1")
    until(lambda: not psutil.pid_exists(pid))


def test_nothing_of_an_ended_attempt_goes_on(local: ProcessHarness) -> None:
    forks = """
import subprocess, sys
for apart in (False, True):
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=apart)
"""
    run(local.backend.create(local.program("a1", forks), "a1"))
    end = until(lambda: ended(local.backend, "a1")).exit
    assert end is not None
    assert end.code == 0
    assert processes_of("a1") == []


def test_children_of_a_stopped_engine_are_told_too(local: ProcessHarness) -> None:
    child = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("child ends"), sys.exit()))
print("up")
while True: time.sleep(60)
"""
    parent = f"""
import signal, subprocess, sys
signal.signal(signal.SIGTERM, lambda *_: None)
subprocess.run([sys.executable, "-u", "-c", {child!r}])
"""
    start(local, parent)
    run(local.backend.stop("a1", 60))
    end = until(lambda: ended(local.backend, "a1")).exit
    assert end is not None
    assert end.code == 0
    assert local.output("a1") == "up\nchild ends\n"


def test_an_engine_whose_directory_was_removed_ends(local: ProcessHarness) -> None:
    pid = start(local, FOREVER)
    keeper = local.keeper("a1")
    shutil.rmtree(local.root / "a1")
    until(lambda: not psutil.pid_exists(pid))
    until(lambda: not keeper.is_running())


def test_output_is_kept_in_segments_with_their_times(local: ProcessHarness) -> None:
    backend = ProcessBackend(local.root, OWNER, head_bytes=1_000, tail_bytes=2_000)
    run(backend.create(local.program("a1", "for i in range(2_000): print(f'line {i:05}')"), "a1"))
    until(lambda: ended(backend, "a1"))
    whole = "".join(f"line {i:05}\n" for i in range(2_000)).encode()
    folder = local.root / "a1"
    segments = json.loads((folder / "record.json").read_text())["segments"]
    assert [segment["name"] for segment in segments] == ["head.log", "tail.1.log", "tail.log"]
    for segment in segments:
        data = (folder / segment["name"]).read_bytes()
        assert whole[segment["start"] : segment["start"] + len(data)] == data
    assert whole.endswith((folder / "tail.log").read_bytes())
    assert (folder / "head.log").read_bytes() == whole[:1_000]


@LINUX
def test_what_a_full_disk_swallows_is_counted_and_said(local: ProcessHarness) -> None:
    # A limit on the size of files stands in for the disk: it refuses writes in the same way, and can be lifted.
    source = "import sys\nprint('up')\nfor line in open(sys.argv[1]): print(line, end='')"
    gate = local.root.parent / "gate"
    os.mkfifo(gate)
    spec = local.program("a1", source)
    run(local.backend.create(local.spec("a1", *spec.argv, str(gate)), "a1"))
    with gate.open("w", buffering=1) as lines:
        until(lambda: "up" in local.output("a1"))
        keeper = local.keeper("a1").pid
        unlimited = resource.prlimit(keeper, resource.RLIMIT_FSIZE)
        resource.prlimit(keeper, resource.RLIMIT_FSIZE, (1_000, unlimited[1]))
        for i in range(100):
            lines.write(f"{i:03} {'x' * 95}\n")
        until(lambda: json.loads((local.root / "a1/record.json").read_text())["dropped"] > 5_000)
        resource.prlimit(keeper, resource.RLIMIT_FSIZE, unlimited)
        lines.write("room again\n")
        until(lambda: "room again" in local.output("a1"))
    until(lambda: ended(local.backend, "a1"))
    record = json.loads((local.root / "a1/record.json").read_text())
    output = local.output("a1")
    said = f"\n[stoker: {record['dropped']} bytes of output dropped: disk full]\n"
    before, _, after = output.partition(said)
    assert len(before) + record["dropped"] + len(after) == len("up\n") + 100 * 100 + len("room again\n")
    assert after.endswith("room again\n")
    assert json.loads((local.root / "a1/exit.json").read_text())["dropped"] == record["dropped"]


def test_an_end_is_told_although_the_disk_is_full(local: ProcessHarness) -> None:
    # A mount namespace of its own: no privilege is needed, and nothing stays mounted.
    inside = "mount -t tmpfs -o size=256k none $0 && exec $1 -m tests.backends.full_disk $0"
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("no unprivileged mount namespaces here")
    command = ["unshare", "-rm", "sh", "-c", inside, str(local.root), sys.executable]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    facts = json.loads(told.stdout)
    assert facts["code"] == 5
    assert facts["room"] == 0
    assert facts["kept"] + facts["dropped"] == 1_000_000


@LINUX
def test_a_keeper_that_nobody_reaps_is_still_seen_to_have_ended(local: ProcessHarness) -> None:
    command = [sys.executable, "-m", "tests.backends.unreaping", str(local.root)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(told.stdout) == {"presence": "exited", "code": 4, "keeper": "zombie"}


@pytest.mark.parametrize("name", ["A=B", "NUL\0"])
def test_an_environment_that_no_program_can_have_is_an_error_of_the_start(local: ProcessHarness, name: str) -> None:
    run(local.backend.create(local.program("a1", FOREVER, env={name: "x"}), "a1"))
    end = until(lambda: ended(local.backend, "a1")).exit
    assert end is not None
    assert end.error is not None
