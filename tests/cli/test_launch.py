"""`launch` and `change`: what is written, what is refused, and that a refusal writes nothing."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from app.launch.models import BUNDLED
from app.settings import Home
from app.store import read
from app.store.write import Store
from tests.cli.conftest import Stoker
from tests.cli.rows import launch

DRY_RUN_KEYS = {"ok", "checks", "estimate", "command", "price_per_hour_micro"}
CHECK_KEYS = {"name", "result", "code", "detail", "remedy"}


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    path = tmp_path / "Tiny Model.Q4.gguf"
    path.write_bytes(b"GGUF" + bytes(60))
    return path


def everything(home: Home) -> dict[str, Any]:
    """What there is, by deployment: (variants, replicas)."""
    with read.reading(home.store) as connection:
        found = read.deployments(connection)
        return {d.name: ([spec for _, _, spec, _ in read.variants(connection, d.id)], d.replicas) for d in found}


def test_a_dry_run_says_what_would_start_and_writes_nothing(stoker: Stoker, home: Home) -> None:
    document = stoker.json("launch", "smollm2", "--dry-run", "--ctx", "32k", "--seqs", "2", "--kv-type", "q8_0/f16")
    assert set(document) == DRY_RUN_KEYS
    assert (document["ok"], document["price_per_hour_micro"]) == (True, 0)
    assert document["estimate"]["per_gpu"][0]["kv"] == 2 * 32768 * document["estimate"]["kv_bytes_per_token"]
    assert all(set(check) == CHECK_KEYS for check in document["checks"])
    # How much memory is free while this runs is not the test's to say.
    assert {check["result"] for check in document["checks"] if check["name"] != "fit"} == {"pass"}
    command = document["command"]
    assert command[command.index("--ctx-size") + 1] == str(2 * 32768)
    assert command[command.index("--cache-type-k") + 1] == "q8_0"
    assert command[command.index("--cache-type-v") + 1] == "f16"
    assert command[command.index("--model") + 1].endswith(BUNDLED.file)
    assert not home.state.exists()
    shown = stoker("launch", "smollm2", "--dry-run", "--size", "small").out
    assert "--ctx-size 4096" in shown
    assert "1 × 4,096 tokens" in shown


def test_a_dry_run_that_fails_prints_its_document_all_the_same(stoker: Stoker) -> None:
    result = stoker("launch", "/no/such.gguf", "--dry-run", "--json")
    assert (result.status, result.err) == (1, "")
    assert result.document["ok"] is False
    assert result.document["command"] == []
    (failed,) = [check for check in result.document["checks"] if check["result"] == "fail"]
    assert (failed["name"], failed["code"]) == ("model", "MODEL_NOT_FOUND")
    assert "✖ fail" in stoker("launch", "/no/such.gguf", "--dry-run").out


def test_a_launch_is_a_wish(stoker: Stoker, home: Home, server: Any) -> None:
    words = [
        "--ctx",
        "1024",
        "--seqs",
        "2",
        "--replicas",
        "3",
        "--memory",
        "400M",
        "--set",
        "threads=2",
        "--set",
        "mlock",
    ]
    assert stoker.json("launch", "smollm2", "--name", "demo", *words) == {"name": "demo"}
    (spec,), replicas = everything(home)["demo"]
    assert (spec.context, spec.seqs, replicas, spec.memory_limit) == (1024, 2, 3, 400 * 1024**2)
    assert spec.flags == {"threads": "2", "mlock": True}
    assert (spec.model.source, spec.engine, spec.backend, spec.kv_type) == ("bundled", "llama.cpp", "process", "f16")
    (event,) = stoker.json("events", "demo")
    assert (event["to"], event["cause"]) == ("REQUESTED", "launched")


@pytest.mark.parametrize("word", ["smollm2", "bundled", "SmolLM2-135M-Instruct", BUNDLED.repo, BUNDLED.repo.upper()])
def test_the_bundled_model_has_many_names(stoker: Stoker, word: str) -> None:
    assert stoker.json("launch", word, "--dry-run")["ok"]


def test_a_name_is_made_from_the_model(stoker: Stoker, home: Home, server: Any, gguf: Path) -> None:
    names = [stoker.json("launch", str(gguf))["name"] for _ in range(3)]
    assert names == ["tiny-model-q4", "tiny-model-q4-2", "tiny-model-q4-3"]
    assert stoker.json("launch", "smollm2")["name"] == "smollm2"
    (spec,), _ = everything(home)["tiny-model-q4"]
    assert (spec.model.source, spec.model.path, spec.model.size) == ("file", str(gguf), 64)


def test_a_path_is_made_absolute(stoker: Stoker, home: Home, server: Any, gguf: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(gguf.parent)
    stoker.json("launch", f"./{gguf.name}", "--name", "relative")
    monkeypatch.setenv("HOME", str(gguf.parent))
    stoker.json("launch", f"~/{gguf.name}", "--name", "tilde")
    found = everything(home)
    assert {found[name][0][0].model.path for name in ("relative", "tilde")} == {str(gguf)}


def test_a_taken_name_is_refused(stoker: Stoker, server: Any, store: Store) -> None:
    launch(store)
    result = stoker("launch", "smollm2", "--name", "demo", "--json")
    assert (result.status, result.error["code"], result.out) == (1, "NAME_TAKEN", "")


def test_values_of_variables_stay_out_of_the_store(
    stoker: Stoker, home: Home, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FROM_HERE", "whisper")
    stoker.json("launch", "smollm2", "--env", "TOKEN=s3cret-value", "--env", "FROM_HERE", "--name", "demo")
    (spec,), _ = everything(home)["demo"]
    assert spec.env_names == ("FROM_HERE", "TOKEN")
    path = home.keys / f"env-{spec.env_file}.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text()) == {"TOKEN": "s3cret-value", "FROM_HERE": "whisper"}
    assert all(b"s3cret-value" not in file.read_bytes() for file in home.state.glob("stoker.db*"))
    stoker.json("change", "demo", "--env", "TOKEN=other", "--env", "MORE=1")
    new = everything(home)["demo"][0][-1]
    assert new.env_names == ("FROM_HERE", "MORE", "TOKEN")
    values = json.loads((home.keys / f"env-{new.env_file}.json").read_text())
    assert values == {"TOKEN": "other", "FROM_HERE": "whisper", "MORE": "1"}
    assert json.loads(path.read_text())["TOKEN"] == "s3cret-value"  # the first variant can be rolled back to


def test_a_key_is_made_for_the_deployment_alone(stoker: Stoker, home: Home, server: Any) -> None:
    document = stoker.json("launch", "smollm2", "--name", "demo", "--key")
    assert set(document) == {"name", "key"}
    assert set(document["key"]) == {"id", "key", "scope", "expires_at"}
    assert document["key"]["scope"] == ["demo"]
    (listed,) = stoker.json("keys", "ls")
    assert (listed["id"], listed["scope"]) == (document["key"]["id"], ["demo"])


def test_a_change_keeps_what_is_not_given(stoker: Stoker, home: Home, server: Any, gguf: Path) -> None:
    stoker.json("launch", "smollm2", "--name", "demo", "--ctx", "1024", "--set", "threads=2", "--memory", "1G")
    assert stoker.json("change", "demo", "--seqs", "8") == {"name": "demo", "variant": 2}
    assert stoker.json("change", "demo", "--set", "threads=", "--set", "mlock")["variant"] == 3
    assert stoker.json("change", "demo", "--replicas", "2")["variant"] == 3
    assert stoker.json("change", "demo", "--model", str(gguf))["variant"] == 4
    (_, second, third, fourth), replicas = everything(home)["demo"]
    assert (second.seqs, second.context, second.flags, second.memory_limit) == (8, 1024, {"threads": "2"}, 1024**3)
    assert (third.flags, third.seqs, replicas) == ({"mlock": True}, 8, 2)
    assert (fourth.model.name, fourth.context) == (gguf.name, 1024)


def test_a_change_is_checked_like_a_launch(stoker: Stoker, home: Home, server: Any) -> None:
    stoker.json("launch", "smollm2", "--name", "demo")
    assert stoker("change", "demo", "--set", "ctx-size=1", "--json").error["code"] == "BAD_FLAG"
    assert stoker("change", "demo", "--model", "/gone.gguf", "--json").error["code"] == "MODEL_NOT_FOUND"
    assert stoker("change", "other", "--ctx", "1", "--json").error["code"] == "NOT_FOUND"
    dry = stoker.json("change", "demo", "--ctx", "2048", "--dry-run")
    assert set(dry) == DRY_RUN_KEYS
    assert str(2048 * 4) in dry["command"]
    assert len(everything(home)["demo"][0]) == 1


NAMES = [
    "",
    "..",
    "-rf",
    "a" * 64,
    "x" * 300,
    "Demo",
    "demo_1",
    "демо",
    "a b",
    "a\0b",
    "[/]",
    "a-",
    "\x1b[31m",
    "\udcff",
]
REFUSED: list[tuple[list[str], str]] = [
    (["--name=" + name], "CONFIG_INVALID") for name in NAMES
] + [
    (["--engine", "vllm\x1b[2J"], "CONFIG_INVALID"),
    (["--backend", "[/]"], "CONFIG_INVALID"),
    (["--kv-type", "f16/../x"], "CONFIG_INVALID"),
    (["--kv-type", "q8"], "CONFIG_INVALID"),
    (["--ctx", "2000000000", "--seqs", "4"], "CONFIG_INVALID"),
    (["--set", "ctx-size=99"], "BAD_FLAG"),
    (["--set", "api-key=x"], "BAD_FLAG"),
    (["--set", "=x"], "BAD_FLAG"),
    (["--set", "a b=1"], "BAD_FLAG"),
    (["--set", "x=\x1b]0;t\x07"], "BAD_FLAG"),
    (["--set", "x=a\0b"], "BAD_FLAG"),
    (["--env", "1A=x"], "CONFIG_INVALID"),
    (["--env", "A B=x"], "CONFIG_INVALID"),
    (["--env", "LLAMA_API_KEY=x"], "CONFIG_INVALID"),
]  # fmt: skip
USAGE = [
    *(["--ctx", text] for text in ("NaN", "1e99", "-1", "0", "0k", "1.5", "٣", "32kk", "", "99999999999", "0x10")),
    *(["--seqs", text] for text in ("0", "-1", "x", "1e9")),
    *(["--replicas", text] for text in ("0", "1001", "1:2")),
    *(["--memory", text] for text in ("0", "-1", "lots", "1e3", "9" * 40, "4XB")),
    ["--env", "SURELY_NOT_SET_HERE"],
    ["--env", "A=b\0c"],
    ["--nonsense"],
    ["extra"],
]


@pytest.mark.parametrize(("words", "code"), REFUSED, ids=repr)
def test_what_cannot_be_is_refused_with_a_code(
    stoker: Stoker, home: Home, server: Any, words: list[str], code: str
) -> None:
    result = stoker("launch", "smollm2", *words, "--json")
    assert (result.status, result.error["code"], result.out) == (1, code, "")
    assert result.error["remedy"]
    assert everything(home) == {}
    assert list(home.keys.iterdir()) == []
    text = stoker("launch", "smollm2", *words).err
    assert text.startswith(f"stoker: {code}: ")
    assert not set(text) & {"\x1b", "\x07", "\0"}
    assert stoker("launch", "smollm2", *words, "--dry-run", "--json").status == 1


@pytest.mark.parametrize("words", USAGE, ids=repr)
def test_what_is_no_value_is_a_usage_error(stoker: Stoker, home: Home, server: Any, words: list[str]) -> None:
    result = stoker("launch", "smollm2", *words, "--json")
    assert (result.status, result.error["code"], result.out) == (2, "USAGE", "")
    assert everything(home) == {}


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("", "MODEL_NOT_FOUND"),
        ("Qwen/Qwen3-8B", "OFFLINE"),
        ("a\0b", "MODEL_NOT_FOUND"),
        ("\x1b[2J", "MODEL_NOT_FOUND"),
        ("\udcff", "MODEL_NOT_FOUND"),
        ("x" * 5000, "MODEL_NOT_FOUND"),
        ("~nobody-of-this-name/x", "MODEL_NOT_FOUND"),
        ("/", "MODEL_NOT_FOUND"),
        ("/dev/null", "MODEL_NOT_FOUND"),
        ("TEXT", "MODEL_LOAD_ERROR"),
        ("EMPTY", "MODEL_LOAD_ERROR"),
    ],
    ids=repr,
)
def test_what_is_no_model_is_refused(stoker: Stoker, tmp_path: Path, server: Any, model: str, code: str) -> None:
    (tmp_path / "TEXT").write_text("hello")
    (tmp_path / "EMPTY").touch()
    result = stoker("launch", str(tmp_path / model) if model in ("TEXT", "EMPTY") else model, "--json")
    assert (result.status, result.error["code"]) == (1, code)


def test_a_safetensors_folder_is_refused_by_llama_cpp_with_who_would_take_it(
    stoker: Stoker, tmp_path: Path, server: Any
) -> None:
    config = {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    (tmp_path / "config.json").write_text(json.dumps({**config, "vocab_size": 600, "intermediate_size": 128}))
    (tmp_path / "model.safetensors").write_bytes(bytes(16))
    result = stoker("launch", str(tmp_path), "--engine", "llama.cpp", "--json")
    assert (result.status, result.error["code"]) == (1, "ARCH_UNSUPPORTED")
    assert result.error["message"] == "llama.cpp serves gguf, and this is safetensors."
    assert any(engine in result.error["remedy"] for engine in ("vllm", "sglang", "transformers", "mlx"))


def test_the_dry_run_says_why_that_engine_and_why_not_the_others(stoker: Stoker) -> None:
    plain = stoker("launch", "smollm2", "--dry-run").out
    assert "llama.cpp: gguf, made for it" in plain
    assert "not mlx: it serves safetensors, not gguf" in plain
    checks = {check["name"]: check for check in stoker("launch", "smollm2", "--dry-run", "--json").document["checks"]}
    assert "not mlx: it serves safetensors, not gguf" in checks["engine"]["detail"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_model_that_may_not_be_read_is_refused(stoker: Stoker, gguf: Path, server: Any) -> None:
    gguf.chmod(0)
    assert stoker("launch", str(gguf), "--json").error["code"] == "MODEL_NOT_FOUND"
