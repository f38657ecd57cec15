"""The settings of the whole platform: one frozen value, read once, handed down by constructor arguments.

Secrets are never values here. A setting names a secret (`postgres-auth`), and the process that needs it
resolves the name (`config.secrets`). So a `Settings` value may travel through Ray and Serve in clear.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from config.account_settings import AuthSettings
from config.mail_settings import MailSettings, OutboundSettings
from config.section import Port, Seconds, Section

Service = Literal["auth", "document", "processing", "search", "audit", "event"]
SERVICES: tuple[Service, ...] = ("auth", "document", "processing", "search", "audit", "event")


class Profile(StrEnum):
    """`local` fills every gap by generating; `production` refuses to start with a gap."""

    LOCAL = "local"
    PRODUCTION = "production"


class HttpSettings(Section):
    """The one origin that answers all services."""

    host: str = Field("127.0.0.1", description="Address the HTTP proxy listens on.")
    port: Port = Field(8000, description="Port the HTTP proxy listens on.")
    public_url: str | None = Field(
        None, description="Address that users see; used in links. Default: host and port."
    )
    cors_origins: tuple[str, ...] = Field(
        (), description="Web origins that may call the API; '*' is refused in production."
    )
    body_limit_bytes: int = Field(64 * 1024 * 1024, ge=1024, description="Largest request body, in bytes.")
    request_timeout_seconds: Seconds = Field(
        30, description="Longest time one request may take (not uploads, downloads, streams)."
    )
    transfer_timeout_seconds: Seconds = Field(
        900, description="Longest time one upload or download may take."
    )
    rate_limit_per_minute: int = Field(
        600, ge=1, description="Requests one account or address may make a minute."
    )
    max_queued_requests: int = Field(
        200, ge=1, description="Requests that may wait for a replica before 429 is answered."
    )
    trusted_proxies: tuple[str, ...] = Field(
        (), description="Networks whose forwarded-for headers are believed."
    )


class PostgresSettings(Section):
    """Where the databases are. Without a URL the platform runs its own server in the data folder."""

    url: str | None = Field(
        None, description="postgresql://host:port of a server of yours, without credentials."
    )
    urls: dict[Service, str] = Field(
        default_factory=dict, description="The same for single services, to move their databases apart."
    )
    pool_max: int = Field(
        4, ge=1, le=100, description="Most connections of one pool (one pool a service in a process)."
    )
    connect_timeout_seconds: Seconds = Field(5, description="Longest wait for a connection.")
    command_timeout_seconds: Seconds = Field(15, description="Longest time one statement may take.")
    max_connections: int = Field(300, ge=20, description="Connection limit of the embedded server.")

    @field_validator("url", "urls")
    @classmethod
    def _no_credentials(cls, value: str | dict[Service, str] | None) -> str | dict[Service, str] | None:
        for url in [value] if isinstance(value, str) else list((value or {}).values()):
            if urlsplit(url).scheme not in ("postgresql", "postgres"):
                raise ValueError("must look like postgresql://host:port")
            if urlsplit(url).password:
                raise ValueError("must not carry a password: store it as the secret 'postgres-<service>'")
        return value


class RedisSettings(Section):
    """Rate limits, session activity, caches. Nothing that matters lives only here."""

    url: str | None = Field(
        None, description="redis://host:port/db of a server of yours, without password (secret 'redis')."
    )
    timeout_seconds: Seconds = Field(1, description="Longest wait for Redis before going on without it.")


class RaySettings(Section):
    """The Ray node that `medsearch up` starts. On a cluster it is started by the cluster's own means."""

    address: str | None = Field(
        None, description="Address of a running Ray to deploy to, instead of starting one."
    )
    gcs_port: Port = Field(6380, description="Port of Ray's control store.")
    dashboard_port: Port = Field(8265, description="Port of Ray's dashboard and job server.")
    object_store_bytes: int = Field(
        256 * 1024 * 1024, ge=80 * 1024 * 1024, description="Shared memory for Ray's object store."
    )
    num_cpus: int | None = Field(
        None, ge=1, description="CPUs Ray may plan with. Default: those of the machine."
    )
    num_gpus: int | None = Field(None, ge=0, description="GPUs Ray may plan with. Default: those found.")
    auth: bool = Field(
        True, description="Token authentication on every Ray port; production refuses to start without."
    )


class ParserSettings(Section):
    """Limits of the child process that opens a file."""

    memory_bytes: int = Field(1024**3, ge=128 * 1024**2, description="Address space of the child, in bytes.")
    cpu_seconds: int = Field(60, ge=1, description="Processor time of the child.")
    wall_seconds: Seconds = Field(120, description="Wall time of the child.")
    max_pages: int = Field(5000, ge=1, description="Most pages of a document.")


class PoolSettings(Section):
    """One pool of workers: which stages its actors run, and how many there may be."""

    stages: tuple[Literal["extract", "annotate", "embed"], ...] = Field(
        ("extract", "annotate", "embed"),
        description="Stages that a worker of this pool runs, fused in one process.",
    )
    min_workers: int = Field(1, ge=0, description="Workers kept when idle.")
    max_workers: int = Field(2, ge=1, description="Most workers.")
    backlog_per_worker: int = Field(4, ge=1, description="Waiting jobs that justify one worker.")
    up_delay_seconds: float = Field(
        1, ge=0, description="How long more work must be seen before adding a worker."
    )
    down_delay_seconds: float = Field(
        60, ge=0, description="How long less work must be seen before draining a worker."
    )
    recycle_after_seconds: Seconds = Field(
        24 * 3600, description="Age at which a worker is drained and replaced."
    )
    num_cpus: float = Field(0, ge=0, description="CPUs a worker asks of Ray.")
    num_gpus: float = Field(0, ge=0, description="GPUs (or a fraction) a worker asks of Ray.")
    memory_bytes: int = Field(0, ge=0, description="Memory a worker asks of Ray, in bytes; 0 asks for none.")
    label_selector: dict[str, str] = Field(
        default_factory=dict, description="Ray node labels a worker needs."
    )


class ProcessingSettings(Section):
    """Jobs, leases, retries and the pools."""

    lease_seconds: Seconds = Field(
        60, description="How long a claimed job is its holder's without a heartbeat."
    )
    heartbeat_seconds: Seconds = Field(10, description="Time between heartbeats.")
    backoff_seconds: tuple[float, ...] = Field(
        (5, 30, 120), description="Waits before the next attempt after a failure."
    )
    max_failures: int = Field(3, ge=1, description="Failures of one stage before quarantine.")
    max_lost_leases: int = Field(5, ge=1, description="Lost leases of one stage before quarantine.")
    stage_seconds: Seconds = Field(
        3600, description="Longest time one stage of a document may take; then its worker is replaced."
    )
    index_batch: int = Field(64, ge=1, description="Most documents the index writer commits at once.")
    poll_seconds: Seconds = Field(1, description="Longest sleep of a worker that was not woken.")
    parser: ParserSettings = ParserSettings()
    pools: dict[str, PoolSettings] = Field(
        default_factory=lambda: {"default": PoolSettings()},
        description="Pools by name; together they must run every stage.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> ProcessingSettings:
        if self.heartbeat_seconds * 2 > self.lease_seconds:
            raise ValueError("heartbeat_seconds must be at most half of lease_seconds")
        missing = {"extract", "annotate", "embed"} - {
            stage for pool in self.pools.values() for stage in pool.stages
        }
        if missing:
            raise ValueError(f"no pool runs the stages {sorted(missing)}")
        return self


class EventSettings(Section):
    """The event log."""

    retention_days: int = Field(
        30, ge=1, description="How long events are kept; longer where a subscriber has not taken them yet."
    )


class NumberType(StrEnum):
    """What a model computes in; `auto` is found out where it is loaded."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
    INT8 = "int8"


class ModelSettings(Section):
    """Models of the annotate and embed stages and of query embedding."""

    encoder: str = Field(
        "minilm-l6",
        description="Embedding model: a shipped name, a local folder, or a hub id; later changed by: medsearch index build.",
    )
    recognizer: str = Field(
        "clinical",
        description="What finds mentions: the trained network (clinical), names of the vocabulary (dictionary), or a token classifier: a local folder, or a hub id.",
    )
    recognizer_labels: dict[str, str] = Field(
        default_factory=dict,
        description="What the labels of such a token classifier are: problem, sign, drug, procedure, test, anatomy, or none.",
    )
    device: str = Field("auto", description="cpu, cuda, cuda:N, or auto.")
    query_device: str = Field("auto", description="The same for the query encoder.")
    number_type: NumberType = Field(
        NumberType.AUTO,
        description="What the embedding model computes in: float32, bfloat16, float16, int8, or auto (by device and processor).",
    )
    threads: int = Field(1, ge=1, description="Threads of one worker's models.")
    query_threads: int = Field(1, ge=1, description="Threads of the query encoder.")
    embed_batch: int | None = Field(
        None, ge=1, description="Passages embedded at once. Default: 32 on a CPU, 128 on a GPU."
    )
    passage_tokens: int = Field(256, ge=32, le=512, description="Most model tokens of a passage.")
    passage_overlap: int = Field(32, ge=0, description="Tokens shared by neighbouring passages.")


class SearchSettings(Section):
    """The index and the query side."""

    backend: Literal["embedded", "elasticsearch"] = Field(
        "embedded", description="embedded (one machine) or elasticsearch."
    )
    elasticsearch_urls: tuple[str, ...] = Field(
        (),
        description="Addresses of Elasticsearch nodes, without credentials (secret 'elasticsearch-api-key').",
    )
    index_prefix: str = Field(
        "medsearch", pattern=r"^[a-z][a-z0-9_-]{0,40}$", description="Prefix of index names."
    )
    window: int = Field(
        1000,
        ge=10,
        le=1000,
        description="Documents in the frozen result window of hybrid and semantic search.",
    )
    window_seconds: int = Field(900, ge=60, description="How long a frozen window can be paged.")
    exact_below_passages: int = Field(
        20_000, ge=0, description="Vector search is exact when the caller sees fewer passages than this."
    )
    query_characters: int = Field(1000, ge=1, le=10_000, description="Longest query, in characters.")
    query_clauses: int = Field(64, ge=1, description="Most clauses of a query.")
    leg_timeout_seconds: Seconds = Field(
        5, description="Longest time the words or the meaning part of a search may take."
    )
    fusion: Literal["minmax", "rrf"] = Field(
        "minmax",
        description="How words and meaning are made one ranking: weighted scores (minmax) or reciprocal ranks (rrf).",
    )
    semantic_weight: float = Field(
        0.5, ge=0, le=1, description="Weight of meaning in hybrid ranking; words have the rest."
    )
    semantic_floor: float = Field(
        0.25,
        ge=-1,
        le=1,
        description="Least cosine at which a passage counts as found by meaning; depends on the encoder.",
    )
    semantic_ratio: float = Field(
        0.7,
        ge=0,
        le=1,
        description="Least share of the nearest passage's cosine at which another still counts as found by meaning.",
    )

    question_semantic_ratio: float = Field(
        0.5,
        ge=0,
        le=1,
        description="As semantic_ratio, for what meaning adds to the words of a question of three or more.",
    )

    @field_validator("elasticsearch_urls")
    @classmethod
    def _no_credentials(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(urlsplit(url).password for url in value):
            raise ValueError(
                "must not carry a password: store an API key as the secret 'elasticsearch-api-key'"
            )
        return value

    @model_validator(mode="after")
    def _has_address(self) -> SearchSettings:
        if self.backend == "elasticsearch" and not self.elasticsearch_urls:
            raise ValueError("elasticsearch_urls is needed with backend=elasticsearch")
        return self


class AuditSettings(Section):
    """The audit trail."""

    retention_days: int = Field(
        2192, ge=1, description="How long records are kept (six years); older ones may be removed."
    )
    seal_seconds: Seconds = Field(
        10, description="Time between two turns of the sealer that chains new records."
    )


class LogSettings(Section):
    """Structured logs."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe level that is written."
    )


class Settings(Section):
    """Everything; built by `config.loading.load_settings`."""

    profile: Profile = Field(Profile.LOCAL, description="local or production.")
    data_dir: Path = Field(
        Path(".data"),
        validate_default=True,
        description="Folder of databases, originals, index, secrets and logs.",
    )
    secrets_dir: Path | None = Field(
        None, description="Folder with one file a secret. Default: secrets/ in the data folder."
    )
    http: HttpSettings = HttpSettings()
    postgres: PostgresSettings = PostgresSettings()
    redis: RedisSettings = RedisSettings()
    ray: RaySettings = RaySettings()
    auth: AuthSettings = AuthSettings()
    processing: ProcessingSettings = ProcessingSettings()
    events: EventSettings = EventSettings()
    models: ModelSettings = ModelSettings()
    search: SearchSettings = SearchSettings()
    mail: MailSettings = MailSettings()
    outbound: OutboundSettings = OutboundSettings()
    audit: AuditSettings = AuditSettings()
    log: LogSettings = LogSettings()

    @field_validator("data_dir", "secrets_dir")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return value if value is None else value.expanduser().absolute()

    @property
    def production(self) -> bool:
        return self.profile is Profile.PRODUCTION

    @property
    def secrets_path(self) -> Path:
        return self.secrets_dir or self.data_dir / "secrets"

    @property
    def blobs_path(self) -> Path:
        return self.data_dir / "blobs"

    @property
    def models_path(self) -> Path:
        """What is compiled once for the models (vocabularies); may be deleted."""
        return self.data_dir / "models"

    @property
    def index_path(self) -> Path:
        return self.data_dir / "index"

    @property
    def jwks_path(self) -> Path:
        """Public verification keys, written by the authentication service, read by all."""
        return self.data_dir / "keys" / "jwks.json"

    @property
    def keyring_path(self) -> Path:
        """Which keys there are and which are in use; no secrets."""
        return self.data_dir / "keys" / "keyring.json"

    @property
    def mail_path(self) -> Path:
        """Where mails land when no SMTP server is set."""
        return self.mail.folder or self.data_dir / "mail"

    @property
    def mail_sender(self) -> str:
        return self.mail.sender or f"medsearch <no-reply@{urlsplit(self.origin).hostname}>"

    @property
    def token_issuer(self) -> str:
        """`iss` of access tokens."""
        return self.auth.issuer or self.origin

    @property
    def origin(self) -> str:
        """What links in mails and pages begin with."""
        return (self.http.public_url or f"http://{self.http.host}:{self.http.port}").rstrip("/")

    @property
    def local_origin(self) -> str:
        """Where the HTTP proxy answers on this machine, whatever address its users see."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.http.host, self.http.host)  # noqa: S104 - read only
        return f"http://{host}:{self.http.port}"

    @property
    def email_verification(self) -> bool:
        return self.production if self.auth.verify_email is None else self.auth.verify_email

    @property
    def demo(self) -> bool:
        return not self.production if self.auth.demo_accounts is None else self.auth.demo_accounts
