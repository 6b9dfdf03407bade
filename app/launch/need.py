"""What a configuration needs of each GPU, or of a host's memory, as far as that can be estimated before it starts."""

from app.domain.failures import StokerError
from app.domain.variant import VariantSpec
from app.domain.vram.estimate import ENGINES, estimate
from app.domain.vram.gpus import GIB, Gpu
from app.domain.vram.setup import Setup
from app.launch.fit import known_facts
from app.settings import Home

_AMPLE = Gpu("host", 2**20 * GIB, host=True)


def needed(spec: VariantSpec, home: Home, gpus: int) -> int | None:
    """Bytes on each of `gpus`, or of host memory for 0; None where nothing is known to estimate with.

    The files of a model on the hub are asked for their tables.
    """
    if spec.engine not in ENGINES:
        return None
    try:
        facts = known_facts(spec.model, home)
        setup = Setup(
            engine=spec.engine,
            context=spec.context,
            seqs=spec.seqs,
            gpus=() if gpus else (_AMPLE,),
            tensor=max(1, gpus),
            kv_type=spec.kv_type,
            flags=spec.flags,
        )
        found = estimate(facts.shape, facts.weights, setup)
    except (StokerError, OSError):
        return None
    return max(part.total for part in found.per_gpu) + (0 if gpus else found.host)
