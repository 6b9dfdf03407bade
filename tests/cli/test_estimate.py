import json
import socket
from pathlib import Path
from typing import Any

import pytest

from app.domain.vram.gpus import Gpu
from app.domain.vram.learning import settings_of
from app.domain.vram.peak import Peak
from app.domain.vram.printed import Taken
from app.domain.vram.setup import Setup
from app.launch.facts import from_gguf
from app.settings import Home
from app.store import peaks
from app.store.write import Store
from bench import vram
from tests.cli import rows
from tests.cli.conftest import Stoker
from tests.domain.vram.configs import LLAMA
from tests.launch.weights_files import small_gguf

GIB = 2**30
PARTS = {"weights", "kv", "state", "activation", "overhead", "total", "reserved", "kv_room"}
KEYS = {"per_gpu", "total", "kv_bytes_per_token", "kv_tokens", "fits", "band", "max_ctx", "basis"}


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(LLAMA))
    return str(path)


def test_the_document_has_its_shape(stoker: Stoker, config: str) -> None:
    found = stoker.json("estimate", "m", "--config", config, "--engine", "vllm", "--ctx", "8k", "--gpu", "H100 80GB")
    assert set(found) == KEYS
    assert [set(part) for part in found["per_gpu"]] == [PARTS]
    part = found["per_gpu"][0]
    assert part["kv"] == 8192 * found["kv_bytes_per_token"] == 8192 * 131_072
    assert part["reserved"] > part["total"]
    assert found["kv_tokens"] * 131_072 <= part["kv_room"]
    assert (found["fits"], found["basis"], found["max_ctx"]) == (True, "params", 131_072)
    assert found["band"][0] < found["total"] < found["band"][1]


@pytest.mark.parametrize(
    ("words", "count"),
    [(["--engine", "vllm", "--tp", "2"], 2), (["--engine", "llama.cpp", "--pp", "3"], 3), (["--engine", "sglang"], 1),
     (["--engine", "vllm", "--tp", "2", "--pp", "2"], 4), (["--engine", "transformers"], 1)],
)  # fmt: skip
def test_there_is_an_entry_for_each_gpu(stoker: Stoker, config: str, words: list[str], count: int) -> None:
    found = stoker.json("estimate", "--config", config, *words)
    assert len(found["per_gpu"]) == count
    assert found["total"] == sum(part["total"] for part in found["per_gpu"])
    assert (found["fits"], found["max_ctx"]) == (None, None)


def test_slots_of_llama_cpp_multiply_and_sequences_of_vllm_do_not(stoker: Stoker, config: str) -> None:
    def kv(engine: str, seqs: str) -> int:
        words = ("--engine", engine, "--ctx", "4096", "--seqs", seqs)
        size: int = stoker.json("estimate", "--config", config, *words)["per_gpu"][0]["kv"]
        return size

    assert kv("llama.cpp", "4") == 4 * kv("llama.cpp", "1")
    assert kv("vllm", "4") == kv("vllm", "1")


def part_of(stoker: Stoker, config: str, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = stoker.json("estimate", "--config", config, *words)["per_gpu"][0]
    return found


@pytest.mark.parametrize(
    ("words", "part", "change"),
    [
        (["--weights-bytes", str(5 * GIB)], "weights", "less"),
        (["--quant", "q4_k_m"], "weights", "less"),
        (["--kv-type", "q8_0/q4_0"], "kv", "less"),
        (["--ubatch", "2048"], "activation", "more"),
        (["--flash-attn", "off"], "activation", "more"),
        (["--set", "n-gpu-layers=10"], "weights", "less"),
        (["--ctx", "32k"], "kv", "more"),
    ],
)
def test_every_option_changes_what_it_says(
    stoker: Stoker, config: str, words: list[str], part: str, change: str
) -> None:
    plain = part_of(stoker, config, "--engine", "llama.cpp", "--ctx", "16k")[part]
    changed = part_of(stoker, config, "--engine", "llama.cpp", "--ctx", "16k", *words)[part]
    assert changed < plain if change == "less" else changed > plain


@pytest.mark.parametrize(
    ("words", "part", "change"),
    [
        (["--batch-tokens", "65536"], "activation", "more"),
        (["--seqs", "16"], "activation", "less"),
        (["--set", "enforce-eager"], "overhead", "less"),
        (["--gpu-util", "0.5"], "reserved", "less"),
        (["--set", "kv-cache-memory-bytes=1073741824"], "kv_room", "less"),
        (["--set", "engine-version=0.26.0"], "activation", "less"),
        (["--kv-type", "fp8"], "kv", "less"),
        (["--set", "cpu-offload-gb=4"], "weights", "less"),
    ],
)
def test_every_option_of_vllm_changes_what_it_says(
    stoker: Stoker, config: str, words: list[str], part: str, change: str
) -> None:
    plain = part_of(stoker, config, "--engine", "vllm", "--gpu", "H100")[part]
    changed = part_of(stoker, config, "--engine", "vllm", "--gpu", "H100", *words)[part]
    assert changed < plain if change == "less" else changed > plain


def test_a_gpu_may_be_given_by_its_memory(stoker: Stoker, config: str) -> None:
    small, large = (
        stoker.json("estimate", "--config", config, "--engine", "llama.cpp", "--vram", gib) for gib in ("8", "24")
    )
    assert (small["fits"], large["fits"]) == (False, True)
    assert small["max_ctx"] == 0 < large["max_ctx"]


def test_a_person_sees_a_bar_and_a_verdict(stoker: Stoker, config: str) -> None:
    out = stoker("estimate", "m", "--config", config, "--engine", "vllm", "--gpu", "RTX 3090", "--ctx", "4096").out
    assert "estimated, not measured" in out
    assert "██" in out
    assert "it fits" in out
    assert "claims" in out
    out = stoker("estimate", "m", "--config", config, "--engine", "llama.cpp", "--vram", "6").out
    assert "it does not fit: 6.0 GiB has 6.0 GiB for" in out
    assert "q4_k_m is the best that fits" in out
    assert "may be on the GPU" in out


def test_the_next_larger_gpu_is_named_where_it_does_not_fit_or_is_close(stoker: Stoker, config: str) -> None:
    def out(gpu: str, context: str) -> str:
        words = ("--engine", "llama.cpp", "--gpu", gpu, "--ctx", context)
        return stoker("estimate", "m", "--config", config, *words).out

    assert "larger   RTX 5060 TI, 15.5 GiB, takes it with room to spare" in out("RTX 3060", "4096")
    assert "larger   L4, 22.0 GiB" in out("RTX 3060", "16384")
    assert "larger" not in out("RTX 4090", "4096")
    close = out("RTX 4090", "70000")
    assert "the error band reaches beyond the memory" in close
    assert "larger   RTX 5090, 31.4 GiB" in close


def test_what_is_on_offer_instead_is_named_with_its_price(stoker: Stoker, config: str, home: Home) -> None:
    home.make()
    (home.config / "config.toml").write_text(
        '[simulated.sim-a]\ngpu = "A100 80GB"\ngpus = 1\nprice = "1.80"\n'
        '[simulated.sim-b]\ngpu = "RTX A6000"\ngpus = 1\nprice = "0.90"\n'
    )

    def out(gpu: str, context: str) -> str:
        words = ("--engine", "llama.cpp", "--gpu", gpu, "--ctx", context)
        return stoker("estimate", "m", "--config", config, *words).out

    assert "on offer RTX A6000 (47.5 GiB) on simulated@sim-b at 0.90 an hour" in out("RTX 4090", "70000")
    assert "on offer A100 80GB (79.1 GiB) on simulated@sim-a at 1.80 an hour" in out("RTX A6000", "300000")
    assert "on offer" not in out("RTX 4090", "4096")
    assert "on offer" not in out("H200", "2000k")


def test_a_file_is_read_by_its_header(stoker: Stoker, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(small_gguf())
    found = stoker.json("estimate", str(path))
    assert found["basis"] == "headers"
    assert stoker.json("estimate", str(path), "--weights-bytes", "100000")["basis"] == "given"


def test_what_was_measured_here_is_used_and_said(stoker: Stoker, store: Store, tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(small_gguf())
    words = ("estimate", str(path), "--gpu", "host", "--ctx", "512")
    plain = stoker.json(*words)
    assert "measured" not in plain
    facts = from_gguf(path)
    host = Setup("llama.cpp", 512, gpus=(Gpu("host", GIB, host=True),))
    start = rows.instance(store, rows.launch(store)).attempt_id or ""
    kind = (facts.shape.kind, facts.weights.quantisation, "host", int(facts.weights.total))
    part = plain["per_gpu"][0]
    taken = Taken(part["weights"], part["kv"], None, part["activation"], total=plain["total"] + 2**20)
    with store.write() as session:
        peaks.record(session, Peak(start, "llama.cpp", "1", *kind, settings_of(host), (taken,), busy=True, at=1))
    found = stoker.json(*words)
    assert found["total"] == plain["total"] + 2**20
    assert found["measured"] == {"scope": "settings", "starts": 1, "busy": True}
    out = stoker(*words).out
    assert "measured here at 1 start with these settings, under load" in out
    assert "estimated, not measured" not in out
    other = stoker("estimate", str(path), "--gpu", "host", "--ctx", "256").out
    assert "estimated, not measured" in other
    assert "with other settings" in other


def test_a_machines_own_memory_is_for_llama_cpp(stoker: Stoker, config: str) -> None:
    found = stoker.json("estimate", "--config", config, "--engine", "llama.cpp", "--gpu", "host", "--vram", "64")
    assert found["fits"] is not None
    refused = stoker("estimate", "--config", config, "--engine", "vllm", "--gpu", "host", "--json")
    assert refused.error["code"] == "CONFIG_INVALID"


@pytest.mark.parametrize(
    ("words", "code", "status"),
    [
        ([], "USAGE", 2),
        (["m", "--config", "CONFIG", "--ctx", "many"], "USAGE", 2),
        (["m", "--config", "CONFIG", "--engine", "dreams"], "USAGE", 2),
        (["m", "--config", "/no/such/file"], "MODEL_NOT_FOUND", 1),
        (["m", "--config", "CONFIG", "--gpu", "Voodoo"], "CONFIG_INVALID", 1),
        (["m", "--config", "CONFIG", "--quant", "q99"], "CONFIG_INVALID", 1),
        (["m", "--config", "CONFIG", "--kv-type", "q99"], "CONFIG_INVALID", 1),
        (["m", "--config", "CONFIG", "--tp", "3", "--engine", "vllm"], "CONFIG_INVALID", 1),
        (["m", "--config", "CONFIG", "--set", "engine-version=new"], "BAD_FLAG", 1),
        (["no-such-model"], "MODEL_NOT_FOUND", 1),
    ],
)
def test_what_cannot_be_estimated_is_said(
    stoker: Stoker, config: str, words: list[str], code: str, status: int
) -> None:
    result = stoker("estimate", *(config if word == "CONFIG" else word for word in words), "--json")
    assert (result.status, result.error["code"], result.out) == (status, code, "")


def test_a_hub_that_is_not_there_is_said(stoker: Stoker, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
        assert stoker("estimate", "org/model", "--json").error["code"] == "OFFLINE"


@pytest.mark.skipif(not vram.DATA.is_dir(), reason="the shared measurements are not here")
@pytest.mark.parametrize("engine", ["llama.cpp", "vllm", "sglang", "transformers"])
def test_every_known_shape_is_estimated_or_refused(stoker: Stoker, tmp_path: Path, engine: str) -> None:
    refused = []
    for name, row in vram.shapes().items():
        path = tmp_path / "row.json"
        path.write_text(json.dumps(row))
        result = stoker("estimate", name, "--config", str(path), "--engine", engine, "--vram", "24", "--json")
        if result.status:
            refused.append(result.error["code"])
        else:
            assert GIB / 20 < result.document["total"] < 4_000 * GIB, name
    assert refused == ["MODEL_LOAD_ERROR"] * 3
