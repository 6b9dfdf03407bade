"""Attempts as directories: what a crash, a damaged file or somebody else's directory does to what is reported."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from backends.attempts import Attempt
from backends.base import BackendRefused, CouldNotLook
from backends.keeper import KEEPER
from backends.process import ProcessBackend
from tests.contract.harness import OWNER, ProcessHarness, ended, processes_of, run, running, seen, until

FOREVER = "import time\nprint('up', flush=True)\nwhile True: time.sleep(60)"


def finished(local: ProcessHarness, key: str = "a1") -> Path:
    """The directory of an attempt that has ended with exit code 0."""
    run(local.backend.create(local.program(key, "print('up')"), key))
    until(lambda: ended(local.backend, key))
    return local.root / key


def test_an_attempt_that_was_prepared_and_not_started_is_started(local: ProcessHarness) -> None:
    attempt = Attempt(local.root / "a1")
    attempt.path.mkdir()
    attempt.prepare(local.program("a1", "raise SystemExit(1)"))
    lock = attempt.lock()
    assert lock is not None
    os.close(lock)
    assert run(local.backend.observe()) == ()
    run(local.backend.create(local.program("a1", FOREVER), "a1"))
    until(lambda: running(local.backend, "a1"))


def test_a_keeper_that_cannot_read_its_job_starts_nothing(local: ProcessHarness) -> None:
    attempt = Attempt(local.root / "a1")
    attempt.path.mkdir()
    attempt.prepare(local.program("a1", FOREVER))
    lock = attempt.lock()
    assert lock is not None
    root = str(Path(__file__).parents[2])
    told = subprocess.run(
        [sys.executable, *KEEPER, root, str(attempt.path), str(lock)],
        input=b'{"argv": ["/bin/sleep", "60"], "env": {}, "mas',
        capture_output=True,
        pass_fds=(lock,),
        check=False,
    )
    os.close(lock)
    assert told.returncode
    assert run(local.backend.observe()) == ()
    run(local.backend.create(local.program("a1", FOREVER), "a1"))
    until(lambda: running(local.backend, "a1"))


@pytest.mark.parametrize("delay_ms", range(0, 60, 4))
def test_a_server_killed_in_the_middle_leaves_one_attempt_or_none(local: ProcessHarness, delay_ms: int) -> None:
    create = """
import asyncio, sys
from pathlib import Path
from backends.base import InstanceSpec
from backends.process import ProcessBackend
root, owner, argv = Path(sys.argv[1]), sys.argv[2], (sys.executable, "-u", "-c", sys.argv[3])
backend = ProcessBackend(root, owner)
print("ready", flush=True)
asyncio.run(backend.create(InstanceSpec(owner, "d-1", "i-1", 7, "m", "e", argv, str(root / "a1")), "a1"))
"""
    command = [sys.executable, "-c", create, str(local.root), OWNER, "print('started')\n" + FOREVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        server.stdout.readline()
        time.sleep(delay_ms / 1_000)  # not to wait for something: where the blow falls is what is tried out
        server.kill()
    run(local.backend.create(local.program("a1", "print('started')\n" + FOREVER), "a1"))
    until(lambda: running(local.backend, "a1"))
    until(lambda: "up" in local.output("a1"))
    assert local.output("a1").count("started") == 1
    assert len(processes_of("a1")) == 1


def test_a_reboot_is_told_from_a_killed_keeper(local: ProcessHarness) -> None:
    run(local.backend.create(local.program("a1", FOREVER), "a1"))
    until(lambda: running(local.backend, "a1"))
    local.kill_keeper("a1")
    until(lambda: not Attempt(local.root / "a1").alive())
    record = json.loads((local.root / "a1/record.json").read_text())
    (local.root / "a1/record.json").write_text(json.dumps(record | {"boot_id": "another-boot"}))
    end = until(lambda: ended(local.reopened(), "a1")).exit
    assert end is not None
    assert (end.lost, end.rebooted) == (True, True)
    assert end.at <= time.time_ns() // 1_000


def test_a_machine_that_goes_down_in_good_order_is_a_reboot_too(local: ProcessHarness) -> None:
    run(local.backend.create(local.program("a1", FOREVER), "a1"))
    until(lambda: running(local.backend, "a1"))
    local.keeper("a1").terminate()
    end = until(lambda: ended(local.backend, "a1")).exit
    assert end is not None
    assert (end.signal, end.lost, end.rebooted) == (signal.SIGTERM, False, False), "so far somebody's signal only"
    label = json.loads((local.root / "a1/spec.json").read_text())
    (local.root / "a1/spec.json").write_text(json.dumps(label | {"boot_id": "another-boot"}))
    end = until(lambda: ended(local.reopened(), "a1")).exit
    assert end is not None
    assert (end.signal, end.lost, end.rebooted) == (signal.SIGTERM, False, True)


def test_an_end_before_the_machine_went_down_is_what_it_was(local: ProcessHarness) -> None:
    folder = finished(local)
    label = json.loads((folder / "spec.json").read_text())
    (folder / "spec.json").write_text(json.dumps(label | {"boot_id": "another-boot"}))
    end = until(lambda: ended(local.reopened(), "a1")).exit
    assert end is not None
    assert (end.code, end.rebooted) == (0, False)


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"pid": "x", "boot_id": 7, "engine_pid": null}', "\x00" * 40])
def test_damaged_files_are_read_for_what_they_are_worth(local: ProcessHarness, text: str) -> None:
    folder = finished(local)
    for name in ("record.json", "exit.json"):
        (folder / name).write_text(text)
    end = until(lambda: ended(local.reopened(), "a1")).exit
    assert end is not None
    assert end.lost


def test_an_attempt_of_which_nobody_can_read_whose_it_is_is_left_alone(local: ProcessHarness) -> None:
    folder = finished(local)
    (folder / "spec.json").write_text('{"owner": "the-ow')
    assert run(local.reopened().observe()) == ()
    run(local.backend.delete("a1"))
    assert not (folder / "released").exists()


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("http://127.0.0.1:4711\n", "http://127.0.0.1:4711"),
        ("http://[::1]:80", "http://[::1]:80"),
        ("http://169.254.169.254:80", None),
        ("http://127.0.0.1:80@evil.example", None),
        ("file:///etc/passwd", None),
        ("http://127.0.0.1:1/\x1b]52;c;AA\x07", None),
        ("é", None),
        ("", None),
    ],
)
def test_an_endpoint_is_believed_if_it_is_here(local: ProcessHarness, text: str, endpoint: str | None) -> None:
    say = f"import os\nopen(os.environ['STOKER_ENDPOINT_FILE'], 'w', encoding='utf-8').write({text!r})\n{FOREVER}"
    run(local.backend.create(local.program("a1", say), "a1"))
    until(lambda: "up" in local.output("a1"))
    resource = seen(local.backend, "a1")
    assert resource is not None
    assert resource.endpoint == endpoint


def test_what_lies_about_in_the_root_is_not_reported(local: ProcessHarness) -> None:
    folder = finished(local)
    (local.root / "empty").mkdir()
    (local.root / "file").touch()
    (local.root / "link").symlink_to(folder)
    (local.root / "dangling").symlink_to(local.root / "nowhere")
    assert [resource.key for resource in run(local.reopened().observe())] == ["a1"]


def test_a_directory_that_the_server_made_beforehand_is_used(local: ProcessHarness) -> None:
    (local.root / "a1").mkdir(mode=0o700)
    (local.root / "a1/key").write_text("an engine's key")
    assert run(local.backend.observe()) == ()
    run(local.backend.create(local.program("a1", FOREVER), "a1"))
    until(lambda: running(local.backend, "a1"))


def test_no_root_is_not_an_empty_one(local: ProcessHarness) -> None:
    with pytest.raises(CouldNotLook):
        run(ProcessBackend(local.root / "unmounted", OWNER).observe())


def test_an_environment_too_large_to_hand_over_is_refused(local: ProcessHarness) -> None:
    with pytest.raises(BackendRefused, match="too large"):
        run(local.backend.create(local.program("a1", FOREVER, env={"A": "x" * 3_000_000}), "a1"))
    assert run(local.backend.observe()) == ()


def test_a_large_environment_is_handed_over(local: ProcessHarness) -> None:
    many = {f"A{i}": "x" * 10_000 for i in range(30)}
    run(local.backend.create(local.program("a1", "import os; print(len(os.environ['A29']))", env=many), "a1"))
    until(lambda: ended(local.backend, "a1"))
    assert local.output("a1") == "10000\n"


@pytest.mark.parametrize("key", ["", ".", "..", "a/b", "../a1", "-rf", "a\nb", "a" * 65, "é"])
def test_a_key_that_is_no_name_is_refused(local: ProcessHarness, key: str) -> None:
    with pytest.raises(BackendRefused):
        run(local.backend.create(local.program("x", FOREVER), key))
    run(local.backend.stop(key, 1))
    run(local.backend.delete(key))
    assert not list(local.root.iterdir())


def test_a_place_that_cannot_be_written_is_refused_with_its_reason(local: ProcessHarness) -> None:
    (local.root / "file").touch()
    backend = ProcessBackend(local.root / "file", OWNER)
    with pytest.raises(BackendRefused, match=r"(?i)not a directory|file exists"):
        run(backend.create(local.program("a1", FOREVER), "a1"))


def test_a_stop_reaches_a_keeper_that_does_not_listen_yet(local: ProcessHarness) -> None:
    # What `stop` does while the keeper is on its way: the wish is a file, and there is no pid to send a signal to.
    attempt = Attempt(local.root / "a1")
    attempt.path.mkdir()
    attempt.write("stop", {"grace_s": 5.0})
    run(local.backend.create(local.program("a1", FOREVER), "a1"))
    end = until(lambda: ended(local.backend, "a1")).exit
    assert end is not None
    assert end.signal == signal.SIGTERM
    assert local.output("a1") == ""


def test_a_stop_never_hits_a_process_that_has_taken_the_keepers_number(local: ProcessHarness) -> None:
    run(local.backend.create(local.program("a1", FOREVER), "a1"))
    until(lambda: running(local.backend, "a1"))
    record: dict[str, Any] = json.loads((local.root / "a1/record.json").read_text())
    with subprocess.Popen([sys.executable, "-c", FOREVER], stdout=subprocess.PIPE) as bystander:
        assert bystander.stdout is not None
        try:
            bystander.stdout.readline()
            (local.root / "a1/record.json").write_text(json.dumps(record | {"pid": bystander.pid}))
            run(local.backend.stop("a1", 0))
            assert bystander.poll() is None
        finally:
            bystander.kill()
    (local.root / "a1/record.json").write_text(json.dumps(record))


def test_a_thousand_ended_attempts_are_not_read_again(local: ProcessHarness) -> None:
    folder = finished(local)
    run(local.backend.delete("a1"))
    assert run(local.backend.observe()) == ()
    (folder / "released").unlink()
    assert run(local.backend.observe()) == ()
    assert [resource.key for resource in run(local.reopened().observe())] == ["a1"]
