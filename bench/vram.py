"""How far the estimator is from what was measured: by engine and component the median, the 90th percentile, the worst.

The runs are `data/vram/measured.jsonl`, published by others, in the folder of shared data beside the repository.
"""

import json
import re
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.domain.failures import StokerError
from app.domain.vram.config import read_shape
from app.domain.vram.estimate import ENGINES, estimate
from app.domain.vram.gpus import GIB, MIB, Gpu, gpu_named, gpu_of
from app.domain.vram.quants import quantisation
from app.domain.vram.setup import Estimate, Setup
from app.domain.vram.shape import Quantisation, Shape
from app.domain.vram.weights import Weights, by_parameters, given
from bench.figures import figure

DATA = Path(__file__).parents[1].parent / "shared" / "data" / "vram"
_COMMONEST = "q4_k_m"
"""What is published most, where a run says only that the file was a GGUF."""
_SAME = {"ik_llama.cpp": "llama.cpp", "llamafile": "llama.cpp"}


@dataclass(frozen=True, slots=True)
class Compared:
    """One number of one run: what was measured and what is estimated, in bytes. `settled`: nothing was inferred."""

    run: str
    engine: str
    component: str
    measured: float
    estimated: float
    settled: bool = True

    @property
    def error(self) -> float:
        """Relative, positive where the estimate is too high."""
        return self.estimated / self.measured - 1 if self.measured else 0.0


@dataclass(frozen=True, slots=True)
class Run:
    """A measured run with the shape of its model and the settings it would be estimated with."""

    row: dict[str, Any]
    shape: Shape
    weights: Weights
    setup: Setup
    inferred: frozenset[str] = field(default_factory=frozenset)

    @property
    def estimate(self) -> Estimate:
        """What the estimator says of it."""
        return estimate(self.shape, self.weights, self.setup)


def shapes() -> dict[str, dict[str, Any]]:
    """Every row of configs.json by its id."""
    rows = json.loads((DATA / "configs.json").read_text("utf-8"))
    return {row["id"]: row for row in rows}


def runs() -> Iterator[Run]:
    """The runs whose model's shape is known and whose engine is ours."""
    known = shapes()
    for text in (DATA / "measured.jsonl").read_text("utf-8").splitlines():
        row = json.loads(text)
        engine = _SAME.get(row["engine"], row["engine"])
        config = known.get(row.get("config_id") or "")
        if config is None or engine not in ENGINES:
            continue
        shape = read_shape(config)
        if row.get("kv_dtype") == "tq3":
            continue  # how large it is, is published nowhere
        setup = _setup(row, engine, shape)
        yield Run(row, shape, _weights(row, shape), setup, frozenset(row.get("inferred_fields") or ()))


def _weights(row: dict[str, Any], shape: Shape) -> Weights:
    form = _form(row.get("weight_format") or "bf16")
    size = row.get("file_mib") or row.get("checkpoint_mib") or 1_024 * (row.get("checkpoint_gib") or 0)
    if match := re.match(r"([0-9.]+) GiB", row.get("model_size") or ""):
        size = float(match[1]) * 1_024
    if size:
        return given(shape, int(size * MIB), form)
    return by_parameters(shape, form)


def _form(name: str) -> Quantisation | None:
    word = re.sub(r" - (medium|small|[0-9.]+ bpw)$", lambda m: {"medium": "_m", "small": "_s"}.get(m[1], ""), name)
    try:
        return quantisation(_COMMONEST if word == "gguf" else word)
    except StokerError:
        return None


def _setup(row: dict[str, Any], engine: str, shape: Shape) -> Setup:
    slots = row.get("n_parallel") or 1
    context = row.get("max_model_len") or (row["n_ctx"] // slots if row.get("n_ctx") else shape.context) or 4_096
    split = row.get("split")
    tensor = row.get("tp") or (row["n_gpu"] if split == "tensor" else 1)
    layers = split == "layer" or (split is None and engine == "llama.cpp")
    pipeline = row.get("pp") or (max(1, row["n_gpu"]) if layers else 1)
    flags: dict[str, str | bool] = {"enforce-eager": bool(row.get("enforce_eager"))}
    for name, key in (("n-cpu-moe", "n_cpu_moe"), ("kv-cache-memory-bytes", "kv_cache_memory_bytes")):
        if row.get(key) is not None:
            flags[name] = str(row[key])
    if match := re.search(r"MTP ([0-9])", row.get("note") or ""):
        flags["num-speculative-tokens"] = match[1]
    if "non-latent" in (row.get("note") or "") or row.get("mla_attn") == "0":
        flags["mla-attn"] = "0"
    if "keeps the full cache" in (row.get("note") or ""):
        flags["swa-full"] = True
    kv_type = (row.get("kv_dtype") or "auto").removesuffix("+indexer").replace("fp8_ds_mla", "fp8")
    return Setup(
        engine=engine,
        context=context,
        seqs=row.get("max_num_seqs") if engine != "llama.cpp" else slots,
        gpus=(gpu,) if (gpu := _gpu(row)) else (),
        tensor=tensor,
        pipeline=pipeline,
        kv_type=kv_type,
        batch_tokens=row.get("max_num_batched_tokens"),
        utilisation=row.get("gpu_memory_utilization") or row.get("mem_fraction_static"),
        ubatch=row.get("n_ubatch"),
        flash_attention=row.get("flash_attn") is not False,
        flags=flags,
        version=tuple(int(n) for n in re.findall(r"[0-9]+", row.get("engine_version") or "")[:2]),
    )


def _gpu(row: dict[str, Any]) -> Gpu | None:
    total = row.get("gpu_total_gib")
    if row["n_gpu"] == 0:
        return Gpu("host", 1 << 45, host=True)
    try:
        named = gpu_named(row["gpu"])
    except (StokerError, KeyError):
        return gpu_of(int(total * GIB)) if total else None
    size = int(total * GIB) if total else named.total
    return Gpu(named.name, size, named.units, server=named.server)


def compared(run: Run) -> Iterator[Compared]:
    """Every number of a run that can be compared."""
    found, row, measured = run.estimate, run.row, run.row["measured"]
    host = measured.get("host") or {}
    # Somebody chose tensor by tensor what stays in host memory.
    placed = row["engine"] == "ik_llama.cpp" and host.get("weights_mib", 0) > 2_048
    for rank, gpu in enumerate(measured["per_gpu"]):
        part = found.per_gpu[min(rank, len(found.per_gpu) - 1)]
        for component, size in (("weights", part.weights), ("state", part.state)):
            key = {"weights": "weights_mib", "state": "recurrent_mib"}[component]
            if gpu.get(key) and not (component == "weights" and placed):
                yield _compared(run, component, gpu[key] / (row.get("recurrent_slots") or 1), size)
        peak = gpu.get("compute_mib") or gpu.get("activation_mib")
        if peak:
            yield _compared(run, "activation", peak, part.activation)
        yield from _cache(run, found, gpu, part.kv)
        yield from _whole(run, gpu, part)
    if row["n_gpu"] == 0 and host.get("compute_mib"):
        yield _compared(run, "activation", host["compute_mib"], found.per_gpu[0].activation)


def _cache(run: Run, found: Estimate, gpu: dict[str, Any], kv: int) -> Iterator[Compared]:
    tokens = run.row["measured"].get("kv_tokens")
    if not gpu.get("kv_mib") or gpu["kv_mib"] < 0:
        return
    if run.setup.engine == "llama.cpp":
        if run.row.get("n_ctx"):
            yield _compared(run, "kv", gpu["kv_mib"], kv)
    elif tokens:
        yield _compared(run, "kv", gpu["kv_mib"], found.kv_bytes_per_token * tokens)


def _whole(run: Run, gpu: dict[str, Any], part: Any) -> Iterator[Compared]:
    if run.setup.engine == "llama.cpp" and gpu.get("total_mib") and gpu.get("weights_mib"):
        # The bytes of these files are not published: what was loaded of them stands in.
        known = run.weights.basis == "given"
        total = part.total if known else part.total - part.weights + gpu["weights_mib"] * MIB
        yield _compared(run, "total", gpu["total_mib"], total)
    stated = all(run.row.get(key) for key in ("gpu_total_gib", "gpu_memory_utilization", "max_model_len"))
    if run.setup.engine == "vllm" and stated:
        room = _room(run, gpu)
        if room is not None:
            yield _compared(run, "kv_room", room / MIB, part.kv_room)


def _room(run: Run, gpu: dict[str, Any]) -> float | None:
    """Bytes of the cache, printed or from its tokens."""
    if gpu.get("kv_mib"):
        return float(gpu["kv_mib"] * MIB)
    tokens = run.row["measured"].get("kv_tokens")
    return None if tokens is None or run.shape.recurrent else float(tokens * run.estimate.kv_bytes_per_token)


def _compared(run: Run, component: str, mib: float, estimated: float) -> Compared:
    return Compared(run.row["id"], run.row["engine"], component, mib * MIB, estimated, settled=not run.inferred)


def carried(pairs: list[tuple[Run, Compared]]) -> Iterator[tuple[Compared, Compared]]:
    """Numbers of two runs of one model family on one kind of GPU: would the first's error have told the second's?"""
    for run, one in pairs:
        for other_run, other in pairs:
            kinds = [(r.setup.engine, r.row.get("gpu"), r.row.get("family")) for r in (run, other_run)]
            if run.row["id"] != other_run.row["id"] and kinds[0] == kinds[1] and one.measured and one.estimated:
                yield one, other


def main() -> None:
    """Print a figure for each engine and component, and what came of scaling one run by the error of another."""
    if not DATA.is_dir():
        print(f"{DATA.name}: no measurements beside this repository, nothing to compare with", file=sys.stderr)
        return
    by_part: dict[tuple[str, str], list[Compared]] = defaultdict(list)
    pairs: dict[tuple[str, str], list[tuple[Run, Compared]]] = defaultdict(list)
    for run in runs():
        for one in compared(run):
            by_part[one.engine, one.component].append(one)
            pairs[run.setup.engine, one.component].append((run, one))
    for (engine, component), rows in sorted(by_part.items()):
        rows.sort(key=lambda one: abs(one.error))
        errors = [abs(one.error) * 100 for one in rows]
        worst: dict[str, float] = {}
        for one in reversed(rows):
            if len(worst) < 5:
                worst.setdefault(one.run, round(one.error * 100, 1))
        high = round(errors[min(len(errors) - 1, int(len(errors) * 0.9))], 2)
        figure(f"vram_{engine}_{component}", statistics.median(errors), "%", p90=high, runs=len(rows), worst=worst)
    for (engine, component), found in sorted(pairs.items()):
        plain, scaled = [], []
        for one, other in carried(found):
            plain.append(abs(other.error) * 100)
            scaled.append(abs(other.estimated * one.measured / one.estimated / other.measured - 1) * 100)
        if plain:
            highs = [round(sorted(errors)[int(len(errors) * 0.9)], 2) for errors in (plain, scaled)]
            median = round(statistics.median(plain), 2)
            figure(
                f"vram_scaled_{engine}_{component}", statistics.median(scaled), "%", p90=highs[1], as_it_is=median,
                as_it_is_p90=highs[0], pairs=len(plain),
            )  # fmt: skip


if __name__ == "__main__":
    main()
