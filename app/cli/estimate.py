"""`estimate`: what a model would take, before anything is fetched or started."""

import platform
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from app.cli.output import emit, note, say
from app.cli.params import TOKENS, SettingType, json_option
from app.domain.choice import Machine, Traits, choose
from app.domain.failures import StokerError
from app.domain.gpus import Gpu as Card
from app.domain.offers import next_larger
from app.domain.variant import FlagValue
from app.domain.vram import estimate as estimator
from app.domain.vram import solve
from app.domain.vram.gpus import GIB, Gpu, gpu_named, gpu_of
from app.domain.vram.peak import HOST
from app.domain.vram.quants import quantisation
from app.domain.vram.setup import FLAGS, Estimate, Setup
from app.domain.vram.shape import Shape
from app.domain.vram.weights import Weights, by_parameters, given
from app.launch.facts import ModelFacts, from_config, learn
from app.launch.fit import memory
from app.launch.offers import known_offers
from app.render.estimate import estimate_lines
from app.settings import Home, find_home, load_presets, load_settings
from app.store.peaks import of_kind

_DEFAULT_CONTEXT = 8_192
_FLAGS = FLAGS | {"engine-version"}
"""Settings that change an estimate. `engine-version` is no flag: it says which defaults hold."""


@dataclass(frozen=True, slots=True)
class Solutions:
    """What was solved backwards."""

    context: int | None
    sequences: int | None
    quantisation: str | None
    layers: int | None
    larger: Gpu | None


@click.command()
@click.argument("model", required=False)
@click.option(
    "--engine", type=click.Choice(estimator.ENGINES), help="What would serve it. [by the format of the model]"
)
@click.option("--ctx", "context", type=TOKENS, help="Context of one request in tokens. [8192, or the model's]")
@click.option("--config", type=click.Path(path_type=Path), help="A config.json, instead of the model's files.")
@click.option("--weights-bytes", type=click.IntRange(1, 2**50), help="Bytes of the weights, instead of what is found.")
@click.option(
    "--gpu", "gpu_name", help="The GPU by its name: `RTX 4090`, `A100 80GB`; `host`: none, this machine's memory."
)
@click.option("--vram", type=click.FloatRange(0.1, 100_000), help="Memory of each GPU in GiB.")
@click.option("--quant", help="Form of the weights: q4_k_m, fp8, awq … [as published]")
@click.option("--tp", "tensor", type=click.IntRange(1, 1_024), default=1, help="GPUs that share every layer.")
@click.option("--pp", "pipeline", type=click.IntRange(1, 1_024), default=1, help="GPUs that share the layers.")
@click.option("--seqs", type=click.IntRange(1, 65_536), help="The engine's own limit of requests at once.")
@click.option("--kv-type", default="auto", help="Type of the KV cache: T, or K/V.")
@click.option("--batch-tokens", type=click.IntRange(1, 2**24), help="Most tokens of a batch. [the engine's default]")
@click.option("--gpu-util", "utilisation", type=click.FloatRange(0.01, 1.0), help="Share of the GPU that is claimed.")
@click.option("--ubatch", type=click.IntRange(1, 2**20), help="llama.cpp: tokens computed at once. [512]")
@click.option("--flash-attn", type=click.Choice(["on", "off"]), default="on", help="llama.cpp: flash attention.")
@click.option("--revision", help="A revision of the model on the hub.")
@click.option("--set", "flags", type=SettingType(), multiple=True, help="A flag of the engine that changes memory.")
@json_option
def estimate(
    model: str | None,
    engine: str | None,
    context: int | None,
    config: Path | None,
    weights_bytes: int | None,
    gpu_name: str | None,
    vram: float | None,
    quant: str | None,
    flash_attn: str,
    revision: str | None,
    flags: tuple[tuple[str, FlagValue], ...],
    as_json: bool,
    **numbers: Any,
) -> None:
    """Estimate the memory that a model takes on each GPU; nothing is fetched but the tables of its files.

    MODEL is `smollm2`, the path of a GGUF file or of a folder, or the name of a model on the hub.
    """
    if model is None and config is None:
        raise click.UsageError("Give a model, or --config FILE.")
    home = find_home()
    facts = from_config(config) if config is not None else learn(model or "", home, quant, revision)
    weights = _weights(facts, weights_bytes, quant)
    gpu = _gpu(gpu_name, vram)
    chosen, why = (engine, "") if engine is not None else _choose(facts, weights.quantisation, gpu)
    if gpu is not None and gpu.host and chosen != "llama.cpp":
        raise StokerError("CONFIG_INVALID", f"{chosen} is estimated on GPUs only.", "Use --engine llama.cpp, or --gpu.")
    setup = Setup(
        engine=chosen,
        context=context or min(_DEFAULT_CONTEXT, facts.shape.context or _DEFAULT_CONTEXT),
        gpus=() if gpu is None else (gpu,),
        flash_attention=flash_attn == "on",
        flags=_known(dict(flags)),
        version=_version(dict(flags)),
        peaks=of_kind(home.store, chosen, facts.shape.kind, weights.quantisation),
        **numbers,
    )
    found = estimator.estimate(facts.shape, weights, setup)
    if as_json:
        emit(found.to_json(solve.largest_context(facts.shape, weights, setup)))
        return
    name = model or facts.name
    title = f"{name} on {chosen}, {setup.context:,} tokens, {weights.quantisation}"
    say(*estimate_lines(title, setup, found, _solutions(facts.shape, weights, setup, found)))
    if offered := _offered(setup, found, home):
        say(f"{'on offer':9}{offered}")
    if why:
        say(f"{'engine':9}{why}")


def _offered(setup: Setup, found: Estimate, home: Home) -> str:
    """The next larger GPU on offer, and its price, where it is close or does not fit; empty if there is none."""
    gpu = setup.gpu(0)
    if gpu is None or gpu.host or gpu.unified or (found.fits and not estimator.is_close(found, setup)):
        return ""
    most = int(max(part.total for part in found.per_gpu) * found.band[1] / max(1, found.total))
    return next_larger(known_offers(home, load_settings(home)), most, gpu.total, setup.count)


def _choose(facts: ModelFacts, form: str, gpu: Gpu | None) -> tuple[str, str]:
    """The engine that would serve it, and why, where everything that can be installed is."""
    home = find_home()
    presets = {name: preset for name, preset in load_presets(home).items() if name in estimator.ENGINES}
    known = gpu is not None and not (gpu.unified or gpu.host)
    cards = (Card(0, name=gpu.name, vram_total=gpu.total),) if gpu is not None and known else None
    machine = Machine(
        "such a machine", "linux", platform.machine().lower(), cards, containers=True, installed=frozenset(presets)
    )
    choice = choose(Traits(facts.name, facts.format, facts.shape.kind, form), machine, presets)
    return choice.engine, choice.reason


def _weights(facts: ModelFacts, size: int | None, quant: str | None) -> Weights:
    """What the files hold, unless somebody says how large they are, or asks for another form of them."""
    form = None if quant is None else quantisation(quant)
    if size is not None:
        return given(facts.shape, size, form)
    if form is not None and facts.format == "safetensors":
        return by_parameters(facts.shape, form)
    return facts.weights


def _gpu(name: str | None, vram: float | None) -> Gpu | None:
    if name is None:
        return None if vram is None else gpu_of(int(vram * GIB))
    if name == HOST:
        total, free = memory()
        return Gpu("this machine", total if vram is None else int(vram * GIB), free=free, host=True)
    gpu = gpu_named(name)
    return gpu if vram is None else replace(gpu, total=int(vram * GIB))


def _known(flags: dict[str, FlagValue]) -> dict[str, FlagValue]:
    for flag in flags:
        if flag not in _FLAGS:
            note(f"`{flag}` does not change this estimate.")
    return {flag: value for flag, value in flags.items() if flag in _FLAGS}


def _version(flags: dict[str, FlagValue]) -> tuple[int, ...]:
    text = flags.get("engine-version", "")
    if not isinstance(text, str) or (text and not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6}){0,2}", text)):
        raise StokerError("BAD_FLAG", "`engine-version` is no version.", "Give numbers with points: 0.26.0.")
    return tuple(int(number) for number in text.split(".")) if text else ()


def _solutions(shape: Shape, weights: Weights, setup: Setup, found: Estimate) -> Solutions:
    """Everything that can be solved; another form of the weights and fewer layers only where it does not fit."""
    fits = bool(found.fits)
    tight = not fits or estimator.is_close(found, setup)
    return Solutions(
        context=solve.largest_context(shape, weights, setup),
        sequences=solve.most_sequences(shape, weights, setup),
        quantisation=None if fits else solve.best_quantisation(shape, setup),
        layers=None if fits else solve.most_layers(shape, weights, setup),
        larger=solve.larger_gpu(shape, weights, setup) if tight else None,
    )
