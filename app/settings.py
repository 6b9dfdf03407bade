"""The config file, the directories and the presets: everything that a person may set, read in one place."""

import difflib
import hashlib
import math
import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from app.domain.engines import Preset, parse_presets
from app.domain.failures import StokerError
from app.domain.hosts import check_host_name, parse_address
from app.domain.images import POLICIES, Policy
from app.domain.money import Micro, parse_amount
from app.domain.plans import Plan
from app.domain.rules import Rule, parse_rules
from app.domain.vram.gpus import gpu_named

NOTHING = Micro(0)
_FAULT = re.compile(r"none|capacity|oom|(timeout|crash) \d{1,6}(\.\d{1,6})?")


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """`[server]`: how deployments are kept.

    `resume_after_reboot` starts active deployments again after a reboot. `env` is added to the environment of the
    server, and so of every engine; it is the only way in for a variable, since the server does not inherit the one of
    whoever started it. `log_quota` bounds the bytes of all attempts' logs together; the oldest go first, but never
    the first failed attempt of a streak. A start is given up after `start_stall` seconds without a sign of getting on,
    and after `start_ceiling` seconds in any case.
    """

    resume_after_reboot: bool = False
    env: Mapping[str, str] = field(default_factory=dict)
    log_quota: int = 2_000_000_000
    start_stall: float = 300.0
    start_ceiling: float = 1_200.0


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """`[edge]`: the gateway. Sizes in bytes, times in seconds. `port` 0 takes 8400 or the next free one."""

    host: str = "127.0.0.1"
    port: int = 0
    body_limit: int = 10_000_000
    nesting_limit: int = 64
    header_limit: int = 16_384
    header_count: int = 100
    header_timeout: float = 10.0
    body_idle: float = 30.0
    keep_alive: float = 75.0
    connections: int = 1_000
    replica_cap: int = 30
    queue_time: float = 2.0
    connect_timeout: float = 5.0
    chunk_timeout: float = 120.0
    answer_timeout: float = 600.0


@dataclass(frozen=True, slots=True)
class BillingSettings:
    """`[billing]`: what running costs, and how much of it is allowed. Amounts are text such as "0.60", never fractions.

    `hour` is the price of a replica on this machine and `gpu_hour` that of each GPU it takes here, both for an hour;
    `token_in` and `token_out` are those of a million tokens. Active deployments are billed by the second, flex ones by
    `basis`: by the second of use, or by token. `from_start` says that time counts from the start of an attempt, not
    from its first token. Prices are locked when something is launched. Caps are on spending, 0 for none: `cap_start` on
    an attempt's deployment before its first token, `cap_launch` on a deployment, `cap_day` and `cap_month` (UTC) on
    everything. `stop_order` is who goes first when the money is used up: names of deployments and `idle`, `newest`,
    `oldest`, `dearest`.
    """

    currency: str = "USD"
    hour: Micro = NOTHING
    gpu_hour: Micro = NOTHING
    token_in: Micro = NOTHING
    token_out: Micro = NOTHING
    basis: Literal["second", "token"] = "second"
    from_start: bool = False
    cap_start: Micro = NOTHING
    cap_launch: Micro = NOTHING
    cap_day: Micro = NOTHING
    cap_month: Micro = NOTHING
    stop_order: tuple[str, ...] = ("idle", "newest")
    plan: str = "enterprise"


@dataclass(frozen=True, slots=True)
class HostSettings:
    """`[hosts.NAME]`: a machine beside this one.

    `address` is one that `app.domain.hosts.parse_address` takes. `region` and `tier` are the operator's own words, for
    choosing by them. `price` is that of one GPU for an hour (text such as "0.60"), in the currency of the account; of
    the whole host where it has none.
    """

    address: str
    region: str = ""
    tier: str = ""
    price: Micro = NOTHING

    def __post_init__(self) -> None:
        parse_address(self.address)


@dataclass(frozen=True, slots=True)
class SimulatedSettings:
    """`[simulated.NAME]`: a scripted host, for drills and tests, with `gpus` of the kind `gpu`.

    `vram` is GiB of each, 0 for what GPUs of that name have; `memory` is GiB of the host. `region`, `tier` and `price`
    are as those of `[hosts.NAME]`. `endpoint` answers for every engine; without one real programs run. `faults` are
    those of the first start, the second and so on, the last of all later ones (`backends.scripted.Script` has the
    words). `prepare` and `load` are seconds that a start takes.
    """

    gpu: str = ""
    gpus: int = 0
    vram: float = 0.0
    memory: float = 64.0
    region: str = ""
    tier: str = ""
    price: Micro = NOTHING
    endpoint: str = ""
    faults: tuple[str, ...] = ()
    prepare: float = 0.0
    load: float = 0.0

    def __post_init__(self) -> None:
        for fault in self.faults:
            if not _FAULT.fullmatch(fault):
                raise ValueError(f"`{fault}` is no fault; give none, capacity, oom, timeout N or crash N.")
        if self.gpus and not self.vram:
            try:
                gpu_named(self.gpu)
            except StokerError as error:
                raise ValueError(f"{error.message} Give `vram` in GiB, or the name of a GPU that is known.") from error


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """`[images]`: which images an engine may run.

    `policy` is `any`, `allow` (what `allow` matches), `pinned` (given by digest) or `signed` (by one of `keys`, paths
    of public keys in PEM form). `allow` holds patterns such as `registry.example/team/*`; set, it binds under `pinned`
    and `signed` too.
    """

    policy: Policy = "any"
    allow: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise ValueError(f"`{self.policy}` is no policy; give one of {', '.join(POLICIES)}.")
        if self.policy == "signed" and not self.keys:
            raise ValueError("the policy `signed` needs `keys`: paths of public keys.")


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """`[models]`: `remote_code` names the commits whose own code an engine may run, as `owner/name@COMMIT`."""

    remote_code: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole of `config.toml`. Every field has a default, so an absent file is a valid one.

    `plans` are plans of one's own, `hosts` the machines beside this one, `simulated` hosts that are only played, by
    name. `keymap` gives the console's actions other keys, by action id; several are parted by commas.
    """

    server: ServerSettings = field(default_factory=ServerSettings)
    edge: EdgeSettings = field(default_factory=EdgeSettings)
    billing: BillingSettings = field(default_factory=BillingSettings)
    plans: Mapping[str, Plan] = field(default_factory=dict)
    hosts: Mapping[str, HostSettings] = field(default_factory=dict)
    simulated: Mapping[str, SimulatedSettings] = field(default_factory=dict)
    images: ImageSettings = field(default_factory=ImageSettings)
    models: ModelSettings = field(default_factory=ModelSettings)
    keymap: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Home:
    """Where this installation keeps its state and its configuration."""

    state: Path
    config: Path

    @property
    def store(self) -> Path:
        return self.state / "stoker.db"

    @property
    def attempts(self) -> Path:
        return self.state / "attempts"

    @property
    def keys(self) -> Path:
        return self.state / "keys"

    @property
    def spool(self) -> Path:
        return self.state / "spool"

    @property
    def models(self) -> Path:
        return self.state / "models"

    @property
    def backups(self) -> Path:
        return self.state / "backups"

    @property
    def server_log(self) -> Path:
        return self.state / "server.log"

    @property
    def gateway_log(self) -> Path:
        return self.state / "gateway.log"

    @property
    def server_lock(self) -> Path:
        """Locked by the server for as long as it lives; holds its pid."""
        return self.state / "server.lock"

    @property
    def gateway_lock(self) -> Path:
        """Locked by the gateway for as long as it lives; holds its pid."""
        return self.state / "gateway.lock"

    @property
    def runtime(self) -> Path:
        """Where sockets are: a path so short that the name of any socket below it fits (107 bytes on Linux)."""
        digest = hashlib.sha256(os.fsencode(self.state)).hexdigest()[:12]
        return Path(f"/tmp/stoker-{os.getuid()}-{digest}")  # noqa: S108 # `make_runtime` refuses another's directory

    def make_runtime(self) -> Path:
        """Create the directory for sockets, for its owner only, and return it. CONFIG_INVALID if it is another's."""
        self.runtime.mkdir(mode=0o700, exist_ok=True)
        found = self.runtime.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise StokerError("CONFIG_INVALID", f"{self.runtime} is not ours alone.", "Remove it.")
        return self.runtime

    def make(self) -> None:
        """Create the directories, readable by their owner only."""
        for path in (self.state, self.config, self.attempts, self.keys, self.spool, self.models, self.backups):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)


def find_home(environ: Mapping[str, str] | None = None) -> Home:
    """The home of this user: `$STOKER_HOME` for everything if set, else the XDG state and config directories."""
    env = os.environ if environ is None else environ
    if root := env.get("STOKER_HOME"):
        path = Path(root).expanduser().absolute()
        return Home(path, path)
    user = Path(env.get("HOME") or Path.home())
    state = Path(env.get("XDG_STATE_HOME") or user / ".local/state")
    config = Path(env.get("XDG_CONFIG_HOME") or user / ".config")
    return Home(state / "stoker", config / "stoker")


def load_settings(home: Home) -> Settings:
    """Read `config.toml`. An unknown key or a wrong type is CONFIG_INVALID with file, key and the nearest valid one."""
    path = home.config / "config.toml"
    settings: Settings = _build(Settings, _read_toml(path), path.name, "")
    for name in (*settings.hosts, *settings.simulated):
        try:
            check_host_name(name)
            if name in settings.hosts and name in settings.simulated:
                raise ValueError(f"there are two hosts `{name}`, one of them simulated.")
        except ValueError as error:
            raise StokerError("CONFIG_INVALID", f"{path.name}: {error}") from error
    return settings


def load_presets(home: Home) -> dict[str, Preset]:
    """The engine presets that ship with stoker, with the user's own `engines.toml` over them."""
    shipped = tomllib.loads((resources.files("assets") / "engines.toml").read_text("utf-8"))
    own = _read_toml(home.config / "engines.toml")
    return parse_presets(shipped) | parse_presets(own)


def load_rules(home: Home) -> tuple[Rule, ...]:
    """The failure rules: the user's own `failures.toml`, which beat all others, then those that ship with stoker."""
    shipped = tomllib.loads((resources.files("assets") / "failures.toml").read_text("utf-8"))
    return parse_rules(_read_toml(home.config / "failures.toml"), own=True) + parse_rules(shipped)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StokerError("CONFIG_INVALID", f"{path.name}: {error}.", f"Correct {path}.") from error


def _build(cls: Any, data: Mapping[str, Any], file: str, prefix: str) -> Any:
    hints = get_type_hints(cls)
    names = [f.name for f in fields(cls)]
    values = {}
    for key, value in data.items():
        dotted = f"{prefix}{key}"
        if key not in hints:
            near = difflib.get_close_matches(key, names, 1, 0.0)
            raise StokerError(
                "CONFIG_INVALID", f"{file}: unknown key `{dotted}`.", f"Did you mean `{prefix}{near[0]}`?"
            )
        values[key] = _value(value, hints[key], file, dotted)
    missing = [f.name for f in fields(cls) if f.name not in values and f.default is f.default_factory is MISSING]
    if missing:
        raise StokerError("CONFIG_INVALID", f"{file}: `{prefix}{missing[0]}` is missing.")
    try:
        return cls(**values)
    except ValueError as error:
        raise StokerError("CONFIG_INVALID", f"{file}: `{prefix.rstrip('.')}`: {error}") from error


def _holds_tables(kind: Any) -> bool:
    return get_origin(kind) is not None and is_dataclass(get_args(kind)[1])


def _table(cls: Any, value: object, file: str, dotted: str) -> Any:
    if not isinstance(value, dict):
        raise StokerError("CONFIG_INVALID", f"{file}: `{dotted}` must be a table, not {value!r:.80}.")
    return _build(cls, value, file, f"{dotted}.")


def _value(value: object, kind: Any, file: str, dotted: str) -> Any:
    """A value of the file as a setting of type `kind`."""
    if is_dataclass(kind) and isinstance(value, dict):
        return _build(kind, value, file, f"{dotted}.")
    if kind is Micro and isinstance(value, int | str) and not isinstance(value, bool):
        try:
            return Micro(parse_amount(str(value)))
        except ValueError as error:
            raise StokerError("CONFIG_INVALID", f"{file}: `{dotted}`: {error}") from error
    if _holds_tables(kind) and isinstance(value, dict):
        return {name: _table(get_args(kind)[1], each, file, f"{dotted}.{name}") for name, each in value.items()}
    if not _fits(value, kind):
        raise StokerError("CONFIG_INVALID", f"{file}: `{dotted}` must be {_wanted(kind)}, not {value!r:.80}.")
    return tuple(value) if isinstance(value, list) else value


def _wanted(kind: Any) -> str:
    if kind is Micro:
        return 'an amount in quotes such as "0.60"'
    if get_origin(kind) is Literal:
        return " or ".join(map(repr, get_args(kind)))
    return "a list of str" if get_origin(kind) is tuple else getattr(kind, "__name__", str(kind))


def _fits(value: object, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) is tuple:
        return isinstance(value, list) and all(isinstance(item, get_args(kind)[0]) for item in value)
    if get_origin(kind) is not None:
        inner = get_args(kind)[1]
        return isinstance(value, dict) and all(isinstance(item, inner) for item in value.values())
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return isinstance(value, kind)
