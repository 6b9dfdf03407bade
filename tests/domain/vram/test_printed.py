"""What engines print of their memory, in lines of real logs."""

from app.domain.vram.gpus import GIB, MIB
from app.domain.vram.printed import Printed, Taken, printed

ON_PROCESSOR = """
0.00.004.984 I cmn  common_param: common_params_print_info: build 0 (unknown) with GNU 10.2.1 for Linux x86_64
0.00.568.618 I load_tensors:   CPU_Mapped model buffer size =    92.10 MiB
0.00.576.541 I llama_context:        CPU  output buffer size =     0.75 MiB
0.00.576.802 I llama_kv_cache:        CPU KV buffer size =   360.00 MiB
0.02.465.577 I llama_kv_cache: size =  360.00 MiB (  4096 cells,  30 layers,  4/4 seqs), K (f16):  180.00 MiB
0.02.477.059 I sched_reserve:        CPU compute buffer size =    18.64 MiB
"""
ON_TWO_GPUS = """
build: 6123 (79c1160b) with cc (Debian 12.2.0) for x86_64-linux-gnu
load_tensors:        CUDA0 model buffer size =  2048.00 MiB
load_tensors:        CUDA1 model buffer size =  1024.00 MiB
load_tensors:   CPU_Mapped model buffer size =   292.36 MiB
llama_kv_cache:      CUDA0 KV buffer size =    64.00 MiB
llama_kv_cache:      CUDA1 KV buffer size =    32.00 MiB
llama_kv_cache:      CUDA0 KV buffer size =     6.00 MiB
llama_memory_recurrent:      CUDA0 RS buffer size =    50.25 MiB
llama_context:      CUDA0 compute buffer size =   336.00 MiB
llama_context:      CUDA1 compute buffer size =   300.00 MiB
llama_context:  CUDA_Host compute buffer size =    20.01 MiB
"""
VLLM = """
INFO 01-01 [api_server.py:1] vLLM API server version 0.11.0
(Worker_TP0 pid=9) INFO 01-01 [gpu_model_runner.py:1] Model loading took 14.98 GiB and 28.71 seconds
(Worker_TP1 pid=10) INFO 01-01 [gpu_model_runner.py:1] Model loading took 14.50 GiB and 28.71 seconds
(Worker_TP0 pid=9) INFO 01-01 [gpu_worker.py:1] Available KV cache memory: 5.31 GiB
(Worker_TP1 pid=10) INFO 01-01 [gpu_worker.py:1] Available KV cache memory: 5.25 GiB
"""
OLD_VLLM = """
INFO 12-27 23:43:28 worker.py:241] the current vLLM instance can use total_gpu_memory (23.64GiB) x
model weights take 14.99GiB; non_torch_memory takes 0.09GiB; PyTorch activation peak memory takes 1.23GiB; the rest of
the memory reserved for KV Cache is 4.97GiB.
"""
SGLANG = """
[2026-06-28 09:43:03 TP0] Load weight end. type=Qwen2ForCausalLM, dtype=torch.bfloat16, avail mem=84.02 GB, mem usage=7.69 GB.
[2026-06-28 09:43:03 TP0] KV Cache is allocated. #tokens: 20480, K size: 0.27 GB, V size: 0.27 GB
"""  # noqa: E501 # lines of a log


def test_llama_cpp_on_a_processor() -> None:
    found = printed("llama.cpp", ON_PROCESSOR)
    assert found == Printed(
        host=Taken(weights=int(92.1 * MIB), kv=360 * MIB, activation=int(18.64 * MIB)),
    )


def test_llama_cpp_on_two_gpus_adds_up_what_each_has() -> None:
    found = printed("llama.cpp", ON_TWO_GPUS)
    first, second = found.gpus
    assert (first.weights, first.kv, first.state) == (2048 * MIB, 70 * MIB, int(50.25 * MIB))
    assert (second.weights, second.kv, second.state, second.activation) == (1024 * MIB, 32 * MIB, None, 300 * MIB)
    assert found.host == Taken(weights=int(292.36 * MIB), activation=int(20.01 * MIB))
    assert found.version == "6123"


def test_vllm_is_known_by_the_rank_that_holds_most_and_the_one_with_the_least_room() -> None:
    found = printed("vllm", VLLM)
    assert found.version == "0.11.0"
    assert found.gpus == (Taken(weights=int(14.98 * GIB), room=int(5.25 * GIB)),)


def test_an_older_vllm_names_its_activation() -> None:
    (found,) = printed("vllm", OLD_VLLM).gpus
    assert found == Taken(weights=int(14.99 * GIB), activation=int(1.23 * GIB), room=int(4.97 * GIB))


def test_sglang_says_gb_and_means_gib() -> None:
    (found,) = printed("sglang", SGLANG).gpus
    assert found == Taken(weights=int(7.69 * GIB), room=2 * int(0.27 * GIB))


def test_what_is_beside_is_known_once_all_else_is() -> None:
    assert Taken(weights=10, kv=5, activation=2, total=20).beside == 3
    assert Taken(weights=10, room=5, state=1, activation=2, total=20).beside == 2
    assert Taken(weights=10, kv=5, activation=2, total=3).beside == 0
    assert Taken(weights=10, kv=5, activation=2).beside is None
    assert Taken(weights=10, activation=2, total=20).beside is None


def test_nonsense_measures_nothing() -> None:
    for engine in ("llama.cpp", "vllm", "sglang", "transformers", "another"):
        assert printed(engine, "") == Printed()
        assert printed(engine, "\x1b[2J" * 100) == Printed()
    huge = f"CPU KV buffer size = {'9' * 400} MiB\nCPU model buffer size = 1.2.3 MiB"
    assert printed("llama.cpp", huge).host == Taken(weights=0, kv=0)
