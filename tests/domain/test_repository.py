"""Names of repositories, and which of their files are meant; what they hold is hostile."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.failures import StokerError
from app.domain.repository import INDEX, choose_checkpoint, choose_gguf, parse_name, quantisation, sound_name

SPLIT = [f"q8/m-Q8_0-0000{i}-of-00003.gguf" for i in (1, 2, 3)]
QUANTS = ["m-Q8_0.gguf", "m-Q4_K_M.gguf", "m-UD-Q4_K_XL.gguf", "m-f16.gguf", "mmproj-f16.gguf", "README.md"]
SHARDS = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("org/name", ("org/name", None, None)),
        ("org/name:Q4_K_M", ("org/name", "Q4_K_M", None)),
        ("org/name@v1.0", ("org/name", None, "v1.0")),
        ("org/name:sub/m.gguf@refs/pr/1", ("org/name", "sub/m.gguf", "refs/pr/1")),
        ("name", None),
        ("a/b/c", None),
        ("../../etc", None),
        ("org/name:", None),
        ("org/\x1b[31mred", None),
        ("org/name@", None),
    ],
)
def test_a_name(text: str, parts: object) -> None:
    assert parse_name(text) == parts


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        (None, "m-Q4_K_M.gguf"),
        ("q8_0", "m-Q8_0.gguf"),
        ("Q8-0", "m-Q8_0.gguf"),
        ("F16", "m-f16.gguf"),
        ("m-Q8_0.gguf", "m-Q8_0.gguf"),
        ("Q4_K_XL", "m-UD-Q4_K_XL.gguf"),
    ],
)
def test_one_of_several_files(wanted: str | None, chosen: str) -> None:
    assert choose_gguf(QUANTS, wanted, "org/m") == [chosen]


def test_a_file_in_parts_comes_with_all_of_them() -> None:
    assert choose_gguf([*QUANTS, *reversed(SPLIT)], "Q8_0", "org/m") == ["m-Q8_0.gguf"]
    assert choose_gguf(SPLIT, None, "org/m") == choose_gguf(SPLIT, "q8_0", "org/m") == SPLIT
    with pytest.raises(StokerError, match="lacks a part: q8/m-Q8_0-00003"):
        choose_gguf(SPLIT[:2], None, "org/m")


@pytest.mark.parametrize(("wanted", "names"), [("q2_k", QUANTS), (None, ["README.md"]), ("Q4_K", ["m-Q4_K_M.gguf"])])
def test_what_is_not_there_is_said(wanted: str | None, names: list[str]) -> None:
    with pytest.raises(StokerError) as caught:
        choose_gguf(names, wanted, "org/m")
    assert caught.value.code == "MODEL_NOT_FOUND"


@pytest.mark.parametrize(
    ("weights", "chosen"),
    [
        ([*SHARDS, INDEX, "consolidated.safetensors"], SHARDS),
        (["model.safetensors", "other.safetensors"], ["model.safetensors"]),
        (["a.safetensors", "b.safetensors"], ["a.safetensors", "b.safetensors"]),
        (["odd.safetensors", INDEX], ["odd.safetensors"]),
    ],
)
def test_a_checkpoint(weights: list[str], chosen: list[str]) -> None:
    beside = ["config.json", "tokenizer.json", "merges.txt", "chat_template.jinja"]
    names = [*weights, *beside, "model.py", "README.md", "original/x.safetensors", "model.bin", ".gitattributes"]
    found = choose_checkpoint(names, "org/m")
    assert [name for name in found if name.endswith(".safetensors")] == chosen
    assert set(found) - set(chosen) - {INDEX} == set(beside)
    assert "model.py" in choose_checkpoint(names, "org/m", code=True)


@pytest.mark.parametrize("names", [["config.json"], ["model.safetensors"], ["config.json", INDEX, SHARDS[0]]])
def test_half_a_checkpoint_is_none(names: list[str]) -> None:
    with pytest.raises(StokerError) as caught:
        choose_checkpoint(names, "org/m")
    assert caught.value.code == "MODEL_NOT_FOUND"


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../b", "a//b", "a/", ".", "a\\b", "a\nb", "x" * 401])
def test_a_file_that_would_leave_its_folder_is_none(name: str) -> None:
    assert not sound_name(name)


@given(st.text(max_size=40))
def test_no_name_leads_out(name: str) -> None:
    if sound_name(name):
        assert not name.startswith("/")
        assert ".." not in name.split("/")


@pytest.mark.parametrize(
    ("name", "quant"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "Q4_1"),
        ("x/Qwen3-8B-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"),
        ("m-IQ2_M-00001-of-00002.gguf", "IQ2_M"),
        ("m.gguf", None),
        ("m-bf16.gguf", "bf16"),
    ],
)
def test_the_quantisation_that_a_name_tells(name: str, quant: str | None) -> None:
    assert quantisation(name) == quant
