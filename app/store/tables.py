"""The tables as SQLModel classes. The SQL of `migrations/` is the schema; a test holds these classes equal to it.

`table=True` models validate nothing, so values are checked where they enter and by the CHECKs of the schema.
Times are UTC microseconds; columns named in the schema as JSON are text that parses.
"""

from sqlmodel import Field, SQLModel


class Setting(SQLModel, table=True):
    __tablename__ = "settings"
    key: str = Field(primary_key=True)
    value: str


class Lease(SQLModel, table=True):
    __tablename__ = "lease"
    name: str = Field(primary_key=True)
    holder: str
    epoch: int
    boot_id: str
    beat: int


class Generation(SQLModel, table=True):
    __tablename__ = "generations"
    name: str = Field(primary_key=True)
    value: int


class Deployment(SQLModel, table=True):
    __tablename__ = "deployments"
    id: str = Field(primary_key=True)
    name: str
    wish: str
    wish_at: int
    stop_now: int = 0
    forget: int = 0
    restart_at: int | None = None
    replicas: int
    variant_id: str = Field(foreign_key="variants.id")
    status: str
    created_at: int
    gone_at: int | None = None


class Variant(SQLModel, table=True):
    __tablename__ = "variants"
    id: str = Field(primary_key=True)
    deployment_id: str = Field(foreign_key="deployments.id")
    number: int
    spec: str
    created_at: int


class Instance(SQLModel, table=True):
    __tablename__ = "instances"
    id: str = Field(primary_key=True)
    deployment_id: str = Field(foreign_key="deployments.id")
    variant_id: str = Field(foreign_key="variants.id")
    name: str
    backend: str
    state: str
    phase: str
    since: int
    attempt_id: str | None = Field(default=None, foreign_key="attempts.id")
    endpoint: str | None = None
    pid: int | None = None
    ready_at: int | None = None
    served: int = 0
    drain_generation: int | None = None
    drain_until: int | None = None
    failure_code: str | None = None
    failure_evidence: str | None = None
    failure_count: int = 0
    failed_at: int | None = None
    retry_at: int | None = None
    observed_at: int | None = None
    unreachable_since: int | None = None
    created_at: int
    gone_at: int | None = None
    container: str | None = None
    progress: str | None = None


class Attempt(SQLModel, table=True):
    __tablename__ = "attempts"
    id: str = Field(primary_key=True)
    instance_id: str = Field(foreign_key="instances.id")
    number: int
    epoch: int
    created_at: int
    started_at: int | None = None
    ready_at: int | None = None
    stop_at: int | None = None
    ended_at: int | None = None
    released_at: int | None = None
    exit_code: int | None = None
    exit_signal: int | None = None
    failure_code: str | None = None
    kept: int = 0
    ended_boot_us: int | None = None
    placement: str | None = None


class Reservation(SQLModel, table=True):
    __tablename__ = "reservations"
    id: int | None = Field(default=None, primary_key=True)
    deployment_id: str = Field(foreign_key="deployments.id")
    instance_id: str | None = Field(default=None, foreign_key="instances.id")
    host: str
    gpu: str
    bytes: int
    total: int
    created_at: int


class FindingRow(SQLModel, table=True):
    __tablename__ = "findings"
    id: int | None = Field(default=None, primary_key=True)
    attempt_id: str = Field(foreign_key="attempts.id")
    at: int
    rule: str
    code: str
    kind: str
    line: int | None = None
    position: int | None = None
    evidence: str
    captured: str = "{}"


class Event(SQLModel, table=True):
    __tablename__ = "events"
    id: int | None = Field(default=None, primary_key=True)
    at: int
    deployment_id: str = Field(foreign_key="deployments.id")
    subject: str
    from_state: str | None = None
    to_state: str
    cause: str
    actor: str
    detail: str = ""


class Job(SQLModel, table=True):
    __tablename__ = "jobs"
    id: str = Field(primary_key=True)
    kind: str
    payload: str
    state: str
    progress: str = "{}"
    result: str | None = None
    error: str | None = None
    cancel: int = 0
    epoch: int | None = None
    created_at: int
    deadline_at: int
    ended_at: int | None = None


class Key(SQLModel, table=True):
    __tablename__ = "keys"
    id: str = Field(primary_key=True)
    name: str
    digest: bytes
    scope: str | None = None
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    rotated_to: str | None = Field(default=None, foreign_key="keys.id")
    last_used_at: int | None = None


class Request(SQLModel, table=True):
    __tablename__ = "requests"
    id: str = Field(primary_key=True)
    request_id: str
    key_id: str | None = None
    deployment_id: str | None = None
    instance_id: str | None = None
    attempt_id: str | None = None
    path: str
    stream: int
    status: int
    code: str | None = None
    started_at: int
    ttft_us: int | None = None
    duration_us: int | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    estimated: int = 0
    steps: str = "[]"


class Drain(SQLModel, table=True):
    __tablename__ = "drains"
    instance_id: str = Field(primary_key=True, foreign_key="instances.id")
    generation: int


class Chat(SQLModel, table=True):
    __tablename__ = "chats"
    id: str = Field(primary_key=True)
    settings: str
    created_at: int
    asked_at: int


class ChatTurn(SQLModel, table=True):
    __tablename__ = "chat_turns"
    id: str = Field(primary_key=True)
    chat_id: str = Field(foreign_key="chats.id")
    place: int
    deployment: str
    variant: int | None = None
    asked_at: int
    question: str
    answer: str
    stopped: int = 0
    code: str | None = None
    message: str = ""
    remedy: str = ""
    request_id: str = ""
    ttft_us: int | None = None
    took_us: int | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None


class HostLook(SQLModel, table=True):
    __tablename__ = "host_looks"
    host: str = Field(primary_key=True)
    look: str
    reserves: str = "{}"
    since: int
    answered_at: int | None = None


class HostStock(SQLModel, table=True):
    __tablename__ = "host_stocks"
    host: str = Field(primary_key=True, foreign_key="host_looks.host")
    at: int
    stock: str


class GpuSample(SQLModel, table=True):
    __tablename__ = "gpu_samples"
    host: str = Field(primary_key=True, foreign_key="host_looks.host")
    uuid: str = Field(primary_key=True)
    slot: int = Field(primary_key=True)
    at: int
    vram_used: int | None = None
    utilization: int | None = None
    temperature_c: int | None = None
    power_mw: int | None = None


class Account(SQLModel, table=True):
    __tablename__ = "accounts"
    id: str = Field(primary_key=True)
    balance: int


class Entry(SQLModel, table=True):
    __tablename__ = "entries"
    id: int = Field(primary_key=True)
    at: int
    kind: str
    key: str
    deployment_id: str | None = Field(default=None, foreign_key="deployments.id")
    attempt_id: str | None = Field(default=None, foreign_key="attempts.id")
    amount: int
    quantity: int | None = None
    unit: str | None = None
    price: int | None = None
    starts: int | None = None
    ends: int | None = None
    estimated: int = 0
    actor: str
    note: str = ""
    balance: int
    hash: bytes


class Posting(SQLModel, table=True):
    __tablename__ = "postings"
    entry_id: int = Field(primary_key=True, foreign_key="entries.id")
    account: str = Field(primary_key=True)
    amount: int


class Spending(SQLModel, table=True):
    __tablename__ = "spending"
    day: int = Field(primary_key=True)
    deployment_id: str = Field(primary_key=True)
    amount: int


class Meter(SQLModel, table=True):
    __tablename__ = "meters"
    attempt_id: str = Field(primary_key=True, foreign_key="attempts.id")
    deployment_id: str = Field(foreign_key="deployments.id")
    price: int
    boot_id: str
    cursor_us: int
    cursor_at: int
    carried: int = 0
    closed: int = 0


class TokenMeter(SQLModel, table=True):
    __tablename__ = "token_meters"
    deployment_id: str = Field(primary_key=True, foreign_key="deployments.id")
    request_id: str
    carried: int = 0
    longest_us: int = 0


class PeakRow(SQLModel, table=True):
    __tablename__ = "peaks"
    id: int | None = Field(default=None, primary_key=True)
    attempt_id: str = Field(foreign_key="attempts.id")
    at: int
    engine: str
    version: str
    architecture: str
    quantisation: str
    place: str
    weights: int
    settings: str
    taken: str
    busy: int
