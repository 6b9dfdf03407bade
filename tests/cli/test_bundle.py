"""A bundle has what one needs to understand a failure, says what it has, and holds none of the secrets planted."""

import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from app.bundle import LOG_BYTES, make_bundle
from app.domain.redact import MASK, Redactor
from app.settings import Home
from app.store.write import Store
from tests.cli.conftest import Stoker
from tests.cli.rows import failed, instance, launch, write_log
from tests.cli.test_request import request

SECRETS = {
    "variable": "correct-horse-battery",
    "server": "staple-of-the-server",
    "engine": "enginekey0123456789abcdef",
    "flag": "flagged-and-quiet",
    "environment": "hf_tokenOfTheEnvironment00",
    "hub": "hf_aTokenNobodyToldUsOf0123456789",
    "key": "stk_AbCdEfGh_0123456789abcdefghij",
    "header": "ZGVhZGJlZWZkZWFkYmVlZg",
    "url": "ada:lovelace1815",
    "cloud": "AKIAABCDEFGHIJKLMNOP",
    "named": "hunter2hunter2",
}


@pytest.fixture
def planted(store: Store, home: Home, monkeypatch: pytest.MonkeyPatch) -> str:
    """A deployment that failed, with secrets wherever they may be found; its name."""
    monkeypatch.setenv("HF_TOKEN", SECRETS["environment"])
    (home.config / "config.toml").write_text(f'[server.env]\nSOME_VALUE = "{SECRETS["server"]}"\n')
    (home.keys / "env-01.json").write_text(json.dumps({"VARIABLE": SECRETS["variable"]}))
    deployment = launch(store, flags={"my-token": SECRETS["flag"]}, env_names=("VARIABLE",), env_file="01")
    row = instance(store, deployment, **failed("RUNTIME_ERROR", f"it said {SECRETS['variable']}"))
    said = [
        f"variable {SECRETS['variable']} and {SECRETS['server']}",
        f"engine {SECRETS['engine']} of {SECRETS['environment']}, {SECRETS['flag']}",
        f"found {SECRETS['hub']} and {SECRETS['key']}",
        f"Authorization: Bearer {SECRETS['header']}",
        f"GET https://{SECRETS['url']}@example.org/x, {SECRETS['cloud']}",
        f'{{"password": "{SECRETS["named"]}"}}',
        "max_tokens: 131072, special token padding, tokens = 49152",
    ]
    directory = write_log(home.attempts, row.attempt_id, "\n".join(said) + "\n")
    (directory / "key").write_text(SECRETS["engine"])
    home.server_log.write_text("\n".join(said))
    request(store, "went-wrong", deployment_id=deployment.id, status=502, code="UPSTREAM_FAILED")
    return "demo"


def opened(path: Path) -> dict[str, str]:
    """The files of an archive by name, without the folder that all are in."""
    with tarfile.open(path) as archive:
        found = {member.name.partition("/")[2]: archive.extractfile(member) for member in archive.getmembers()}
        return {name: file.read().decode() for name, file in found.items() if file is not None}


def test_no_secret_leaves(planted: str, home: Home) -> None:
    path, files = make_bundle(home, planted)
    found = opened(path)
    assert list(found) == files
    everything = "\n".join(found.values())
    assert [name for name, secret in SECRETS.items() if secret in everything] == []
    assert MASK in found["demo/demo-a-1/output.log"]
    assert "max_tokens: 131072, special token padding, tokens = 49152" in found["demo/demo-a-1/output.log"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert os.listdir(path.parent) == [path.name]  # noqa: PTH208 # names are what is asked for


def test_it_has_what_one_needs(planted: str, home: Home, stoker: Stoker) -> None:
    document = stoker.json("bundle", planted)
    assert set(document) == {"path", "files"}
    found = opened(Path(document["path"]))
    assert list(found) == document["files"]
    assert all(name in found["CONTENTS.txt"] for name in document["files"])
    deployment = json.loads(found["demo/deployment.json"])
    assert deployment["failure"]["code"] == "RUNTIME_ERROR"
    assert json.loads(found["demo/events.json"])[0]["cause"] == "launched"
    assert [row["request_id"] for row in json.loads(found["demo/requests.json"])] == ["went-wrong"]
    assert json.loads(found["versions.json"])["stoker"]
    assert {check["name"] for check in json.loads(found["doctor.json"])} >= {"python", "disk", "store"}
    script = found["demo/reproduce.sh"]
    assert "stoker launch smollm2 --name demo --engine llama.cpp" in script
    assert "--env VARIABLE" in script


def test_a_request_or_everything_may_be_asked_for(planted: str, store: Store, stoker: Stoker) -> None:
    launch(store, "other")
    whole = stoker.json("bundle")["files"]
    assert {"demo/reproduce.sh", "other/reproduce.sh"} <= set(whole)
    by_request = stoker.json("bundle", "went-wrong")["files"]
    assert "demo/requests.json" in by_request
    assert "other/reproduce.sh" not in by_request
    assert stoker("bundle", "nothing", "--json").error["code"] == "NOT_FOUND"


def test_of_a_long_log_both_ends_are_kept(planted: str, store: Store, home: Home) -> None:
    deployment = launch(store, "talker")
    row = instance(store, deployment)
    lines = [f"line {n} {'x' * 90}" for n in range(3 * LOG_BYTES // 100)]
    write_log(home.attempts, row.attempt_id, "\n".join(lines))
    log = opened(make_bundle(home, "talker")[0])["talker/talker-a-1/output.log"]
    assert log.startswith("line 0 ")
    assert log.endswith(lines[-1])
    assert "bytes in between are left out" in log
    assert len(log) < 2 * LOG_BYTES + 1_000


def test_what_cannot_be_read_takes_nothing_along(planted: str, home: Home) -> None:
    told: list[Any] = []
    home.gateway_log.mkdir()
    path, files = make_bundle(home, planted, progress=lambda *step: told.append(step))
    assert "could not be read" in opened(path)["gateway.log"]
    assert told[0][:2] == (0, len(files) - 1)
    assert told[-1] == (len(files) - 1, len(files) - 1, "")


def test_the_same_text_is_masked_the_same() -> None:
    redactor = Redactor(["a secret of two\nlines here"], "/home/ada")
    text = "/home/ada/x a secret of two, lines here, token=abcdefgh"
    once = redactor.text(text)
    assert once == f"~/x {MASK}, {MASK}, token={MASK}"
    assert redactor.text(once) == once
    assert redactor.text("plain") == "plain"
