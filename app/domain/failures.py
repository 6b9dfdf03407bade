"""What can go wrong: one table of codes that the commands, the gateway, the server and the docs read."""

import re
from dataclasses import dataclass
from enum import Enum


class Retry(Enum):
    """What the server does about a failed attempt, by itself."""

    NEVER = "change something first"
    ONCE = "once if the variant never served, with back-off (five times) if it did"
    BACKOFF = "with back-off, five times"


@dataclass(frozen=True, slots=True)
class Variation:
    """A kind of a failure that its evidence tells by `pattern`, with a remedy and a retry of its own."""

    pattern: str
    remedy: str
    retry: Retry = Retry.NEVER


@dataclass(frozen=True, slots=True)
class Failure:
    """One row of the catalogue: `meaning` and `remedy` are one line each; `http` is the status a client sees.

    `elsewhere`: it is the host's or the provider's failure, so the same may well start on another.
    """

    code: str
    meaning: str
    remedy: str
    http: int | None = None
    retry: Retry = Retry.NEVER
    aliases: tuple[str, ...] = ()
    variations: tuple[Variation, ...] = ()
    elsewhere: bool = False

    def remedy_for(self, evidence: str) -> str:
        """What to do, as far as the evidence says which kind of it this is."""
        return next((v.remedy for v in self.variations if re.search(v.pattern, evidence, re.I)), self.remedy)

    def retry_for(self, evidence: str) -> Retry:
        """What the server does about it by itself, likewise."""
        return next((v.retry for v in self.variations if re.search(v.pattern, evidence, re.I)), self.retry)


_ROWS = (
    # The edge: what a client of the gateway can be told.
    Failure("AUTH_MISSING_TOKEN", "The request carries no key.", "Send `Authorization: Bearer <key>`.", 401),
    Failure("AUTH_INVALID_TOKEN", "The key matches none of ours.", "Check the key: prefix, secret, no spaces.", 401),
    Failure("AUTH_REVOKED_TOKEN", "The key was revoked or has expired.", "Make a new one: `stoker keys create`.", 401),
    Failure("INVALID_REQUEST", "The request cannot be understood.", "Correct the field that is named.", 400),
    Failure(
        "BODY_TOO_LARGE", "The body is larger than the edge accepts.", "Send less, or raise `edge.body_limit`.", 413
    ),
    Failure("PATH_NOT_ALLOWED", "The edge does not serve this path.", "Use a path listed in the README.", 404),
    Failure("MODEL_UNKNOWN", "This key can call no such model.", "List the models: `GET /v1/models`.", 404),
    Failure(
        "CTX_TOO_LARGE",
        "The prompt is longer than the context of the deployment.",
        "Shorten it, or give more context: `stoker change NAME --ctx N`.",
        413,
    ),
    Failure("NO_CAPACITY", "No replica has room for the request.", "Try again after `Retry-After` seconds.", 503),
    Failure("DEPLOYMENT_STOPPED", "The deployment is stopped.", "Start it: `stoker start NAME`.", 503),
    Failure("UPSTREAM_FAILED", "The engine broke off or answered nonsense.", "Try again; see `stoker logs NAME`.", 502),
    Failure("UPSTREAM_TIMEOUT", "The engine was silent for too long.", "Stream the answer, or ask for less.", 504),
    # Money.
    Failure(
        "BILLING_BELOW_MINIMUM",
        "The balance does not cover one hour of what would be started.",
        "Put in what is missing: `stoker topup AMOUNT`.",
        402,
    ),
    Failure(
        "BILLING_BLOCKED",
        "The money for it is used up, or a cap on spending is reached.",
        "Put money in (`stoker topup AMOUNT`), or raise the cap in [billing].",
        402,
    ),
    Failure(
        "PLAN_LIMIT", "The plan allows no more.", "Choose another plan in [billing], or wait until it resets.", 429
    ),
    Failure(
        "ID_REUSED", "This id stands for something else already.", "Use an id once: leave it out, or choose another."
    ),
    # A launch that cannot begin.
    Failure(
        "MODEL_NOT_FOUND",
        "There is no such model.",
        "Give `smollm2`, the path of a file or folder, or a name on the hub.",
    ),
    Failure(
        "MODEL_GATED",
        "The hub does not open this model to us.",
        "Accept its terms on the hub, and give a token that may read it: `HF_TOKEN`.",
    ),
    Failure(
        "GPU_INCOMPATIBLE",
        "The GPU cannot run this engine with this model.",
        "A newer or larger GPU, a newer driver, a smaller model or less context.",
    ),
    Failure("CONFIG_INVALID", "A setting is not valid.", "Correct the setting that is named."),
    Failure("NAME_TAKEN", "A deployment of this name exists.", "Choose another: `--name NAME`."),
    Failure(
        "OFFLINE",
        "The model hub cannot be reached.",
        "Connect, or install the model by hand; see the README.",
        retry=Retry.BACKOFF,
    ),
    Failure(
        "IMAGE_NOT_ALLOWED",
        "The image policy does not allow this image.",
        "Choose an image that it allows, or change `[images]` in config.toml.",
    ),
    Failure("MODEL_IN_USE", "A deployment needs these weights.", "Remove that first: `stoker rm NAME`."),
    Failure(
        "SMART_NO_MATCH",
        "No offer satisfies what was asked for.",
        "Ask for less, or for another place: `stoker offers` says what each constraint removes.",
        retry=Retry.BACKOFF,
    ),
    Failure(
        "GPU_INCOMPATIBLE",
        "The GPUs that were asked for cannot take it.",
        "A larger GPU, a smaller model or less context; `stoker gpus` says who holds what.",
    ),
    Failure(
        "CODE_NOT_ALLOWED",
        "The model would run code of its own, which nobody has allowed.",
        "Read it, then allow that commit in `[models]` of config.toml; or leave `trust-remote-code` out.",
    ),
    # A host.
    Failure(
        "HOST_UNREACHABLE",
        "The host or its container daemon cannot be reached.",
        "Check network, address and daemon; what runs there is left alone until it answers.",
        retry=Retry.BACKOFF,
        elsewhere=True,
    ),
    Failure(
        "PROVIDER_TIMEOUT",
        "The host or provider had no capacity in time.",
        "It is tried again, with `--smart` on the next offer; or choose another: `stoker offers`.",
        retry=Retry.BACKOFF,
        elsewhere=True,
    ),
    Failure(
        "PROVIDER_AUTH",
        "The host or provider refuses our credentials.",
        "Correct the key or its rights.",
        elsewhere=True,
    ),
    Failure(
        "IMAGE_PULL_FAILED",
        "The host could not get the image.",
        "Try again, or give another image: `--image REF`.",
        retry=Retry.BACKOFF,
        elsewhere=True,
        variations=(
            Variation(
                r"unauthorized|no basic auth|authentication required|access denied|denied:",
                "Log in to the registry as the user who runs stoker (`docker login`), then start again.",
            ),
            Variation(
                r"manifest unknown|not found|name unknown|invalid reference",
                "Check repository and tag: the registry has no such image.",
            ),
            Variation(
                r"connection refused|no such host|i/o timeout|deadline exceeded|TLS handshake|network is unreachable",
                "The registry does not answer the host; it is tried again. Check its address and that it runs.",
                Retry.BACKOFF,
            ),
            Variation(r"no space left", "Free some space where the host keeps its images: `docker system df`."),
            Variation(
                r"verification failed|unexpected EOF|checksum|digest",
                "A layer arrived damaged; it is tried again. If it stays so, push the image anew.",
                Retry.BACKOFF,
            ),
        ),
    ),
    # A start that failed.
    Failure(
        "OOM_KILLED",
        "The engine needs more GPU memory than there is.",
        "Less context, a smaller quantisation or a larger GPU.",
        aliases=("OOM",),
    ),
    Failure(
        "HOST_OOM",
        "The engine needs more host memory than it may use.",
        "Less context (`--ctx`), fewer sequences (`--seqs`) or more memory (`--memory`).",
    ),
    Failure(
        "CUDA_ERROR",
        "The GPU or its driver failed.",
        "Check driver and toolkit, then restart the GPU services.",
        retry=Retry.ONCE,
    ),
    Failure(
        "GPU_ACCESS",
        "The engine sees no GPU that it can use.",
        "Check the driver and the container toolkit: `nvidia-smi`, on the host and inside.",
        elsewhere=True,
    ),
    Failure(
        "MODEL_LOAD_ERROR",
        "The engine cannot load this model file.",
        "Fetch the file again, or choose a model that the engine knows.",
        aliases=("MODEL_LOADING_FAILURE",),
    ),
    Failure("ARCH_UNSUPPORTED", "The engine does not know this architecture.", "Choose another model or engine."),
    Failure("MUST_REDOWNLOAD", "The weights are not where they should be.", "Fetch them again: `stoker fix NAME`."),
    Failure("BAD_FLAG", "The engine refused a flag.", "Correct the flag: `stoker change NAME --set key=value`."),
    Failure("PORT_IN_USE", "The port is taken by another program.", "Choose another port, or let stoker choose."),
    Failure("DISK_FULL", "The disk is full.", "Free some space, then start again."),
    Failure(
        "ENTRYPOINT_MISSING", "The engine's program is not installed.", "Install it: `pip install 'stoker[local]'`."
    ),
    Failure(
        "STARTUP_TIMEOUT",
        "The engine did not become ready in time.",
        "A smaller model, less context, or a higher `server.start_ceiling`.",
    ),
    Failure(
        "CONTAINER_EXITED",
        "The engine ended without saying why.",
        "Open the log: `stoker logs NAME`.",
        retry=Retry.ONCE,
    ),
    Failure("RUNTIME_ERROR", "The engine reported an error.", "Open the log: `stoker logs NAME`.", retry=Retry.ONCE),
    Failure(
        "KILLED_EXTERNALLY",
        "The engine was killed from outside.",
        "Look for who killed it; it is started again.",
        retry=Retry.BACKOFF,
    ),
    # Commands.
    Failure("NOT_FOUND", "There is no such thing.", "List what there is: `stoker ps`."),
    Failure("SERVER_DOWN", "The server is not running and could not be started.", "Look at `stoker logs @server`."),
    Failure("SERVER_OLDER", "The running server is of an older version.", "Restart it: `stoker down && stoker up`."),
    Failure("STORE_NEWER", "The store was written by a newer stoker.", "Upgrade this stoker."),
    Failure("STORE_CORRUPT", "The store cannot be read.", "Restore the newest file in `backups/`."),
    Failure("STORE_BUSY", "The store stayed locked.", "Try again; see `stoker doctor` if it stays so."),
    Failure(
        "STORE_DENIED",
        "The store cannot be opened or written.",
        "Check owner, permissions and disk of the state directory.",
    ),
)

CATALOGUE: dict[str, Failure] = {row.code: row for row in _ROWS}


class StokerError(Exception):
    """A failure for a person: a code of the catalogue, what happened here, and what to do about it.

    `message` and `remedy` default to the catalogue's own lines; `detail` carries the numbers for a machine.
    """

    def __init__(self, code: str, message: str = "", remedy: str = "", detail: dict[str, object] | None = None) -> None:
        self.code = code
        self.message = message or CATALOGUE[code].meaning
        self.remedy = remedy or CATALOGUE[code].remedy
        self.detail = detail or {}
        super().__init__(f"{code}: {self.message} {self.remedy}")


# A crash restarts at once, then after min(10·2^(n-1), 300) s; the fifth in a row is the last (DESIGN §4).
ATTEMPTS_IN_A_ROW = 5
HEALTHY_AFTER_US = 600_000_000
"""Serving this long forgets earlier failures: ten minutes."""


def retry_delay_us(code: str, count: int, served: bool, evidence: str = "") -> int | None:
    """Microseconds to wait before the next attempt after the `count`-th failure in a row with `code`; None for never.

    `served` says whether the variant has ever answered a request.
    """
    retry = CATALOGUE[code].retry_for(evidence)
    if retry is Retry.NEVER:
        return None
    most = 2 if retry is Retry.ONCE and not served else ATTEMPTS_IN_A_ROW
    if count >= most:
        return None
    return 0 if count <= 1 else min(10 * 2 ** (count - 2), 300) * 1_000_000
