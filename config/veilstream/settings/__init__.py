"""One typed settings tree, from defaults, TOML and the environment (later wins).

1. the defaults below;
2. `<data_dir>/endpoints.toml`, which `veilstream up` writes, so that commands find what it started;
3. the file named by `VEILSTREAM_CONFIG`, or `./veilstream.toml` if it is there;
4. environment variables, `VEILSTREAM_KAFKA__BOOTSTRAP=…`.

`docs/settings.md` is checked against this tree.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from veilstream.errors import SettingInvalid

__all__ = [
    "AlertingSettings",
    "ClientSettings",
    "KafkaSettings",
    "KeysSettings",
    "ProcessorSettings",
    "Settings",
    "StoreSettings",
    "TelemetrySettings",
    "WorkerSettings",
    "kafka_options",
    "load_settings",
]

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class KafkaSettings(_Section):
    """The broker: ours, or the user's own cluster."""

    bootstrap: str = Field("127.0.0.1:9092", description="Bootstrap servers, comma-separated host:port.")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How to talk to the brokers."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "PLAIN", description="SASL mechanism, where the protocol has SASL."
    )
    sasl_username: str | None = Field(None, description="SASL user.")
    sasl_password: SecretStr | None = Field(None, description="SASL password; set it in the environment.")
    ssl_cafile: Path | None = Field(None, description="CA certificates (PEM); the system's by default.")
    ssl_certfile: Path | None = Field(None, description="Client certificate (PEM).")
    ssl_keyfile: Path | None = Field(None, description="Client key (PEM).")
    topic_prefix: str = Field(
        "veil.", pattern=r"^[a-z0-9][a-z0-9._-]*$", description="Prefix of every topic."
    )
    partitions: Count = Field(4, description="Partitions of the interaction topics.")
    replication_factor: Count = Field(1, description="Replicas of every topic; 3 in production.")
    min_insync_replicas: Count = Field(1, description="Replicas that must have a record; 2 in production.")
    max_record_bytes: Annotated[int, Field(ge=10_000, le=100_000_000)] = Field(
        1_000_000, description="Largest record, key and headers included, in bytes."
    )
    idempotence: bool = Field(
        True, description="Idempotent producers; off only for a broker that has none (Tansu)."
    )
    compression: Literal["none", "gzip", "lz4", "zstd"] = Field(
        "none", description="Compression of what the processors write; readers need no setting."
    )
    request_timeout_seconds: Positive = Field(20.0, description="How long a request may take.")
    raw_retention_hours: Positive = Field(24.0, description="How long raw logs stay, in hours.")
    protected_retention_hours: Positive = Field(2160.0, description="How long protected logs stay, in hours.")
    quarantine_retention_hours: Positive = Field(
        720.0, description="How long quarantined records stay, in hours."
    )


class StoreSettings(_Section):
    """Valkey or Redis, with AOF and `appendfsync always`."""

    url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"), description="URL of the store; may hold a password."
    )
    timeout_seconds: Positive = Field(10.0, description="How long a command may take.")
    replicas: Annotated[int, Field(ge=0)] = Field(
        0, description="Replicas of the store that must have a charge before anything rests on it."
    )

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, url: SecretStr) -> SecretStr:
        if not url.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("takes redis://host:port/0, rediss://… or unix://path")
        return url


class KeysSettings(_Section):
    """Where the file key provider keeps its keys."""

    folder: Path | None = Field(None, description="Key folder, mode 0700; `<data_dir>/keys` by default.")


class ClientSettings(_Section):
    """The producer that an agent developer installs."""

    routing_key: SecretStr | None = Field(
        None,
        description="Key of the HMAC that routes a person's records to one partition; one for all producers.",
    )


class ProcessorSettings(_Section):
    """The Faust processors."""

    policy: str = Field("strict", description="Name of a policy preset, or the path of a policy file.")
    delivery: Literal["exactly_once", "at_least_once"] | None = Field(
        None,
        description="exactly_once: a plain read_committed reader sees each record once and in order. "
        "By default so where the broker has transactions (kafka.idempotence), else at_least_once.",
    )
    batch_records: Count = Field(
        500, description="Most records of a batch; fewer where their work would take longer than 50 ms."
    )
    batch_seconds: Annotated[float, Field(ge=0)] = Field(
        0.005, description="How long to wait for a batch to fill, in seconds."
    )
    session_seconds: Annotated[float, Field(ge=6, le=300)] = Field(
        30.0, description="Silence after which a processor's partitions go to others, in seconds."
    )
    instance: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,200}$",
        description="Stable name of one processor: restarted under it, it has its partitions back at once.",
    )


class WorkerSettings(_Section):
    """The continual training worker."""

    budget: str = Field("default", description="Budget that pays for the releases.")
    tenant: str = Field("default", description="Tenant whose records are learned from.")
    model: str = Field("tool-choice", description="Name of the model that is released.")
    tools: Path | None = Field(
        None, description="File of tool names, one a line: the public label set. Built-in list by default."
    )
    window_seconds: Positive = Field(
        3600.0, description="Length of a window of broker append time, in seconds."
    )
    window_origin_seconds: Annotated[float, Field(ge=0)] = Field(
        0.0, description="Where the schedule starts, Unix time."
    )
    grace_seconds: Annotated[float, Field(ge=0)] = Field(
        2.0, description="Wait after a window's end before it is sealed."
    )
    publish_seconds: Annotated[float, Field(ge=0)] = Field(
        60.0,
        description="A window is released so long after it was sealed, charged after half of it: instants "
        "that do not depend on how many records there were. 0 publishes at once.",
    )
    max_windows: Annotated[int, Field(ge=0)] = Field(0, description="Stop after so many windows; 0 is never.")
    max_attempts: Count = Field(
        5, description="Charged attempts at one window before the worker gives up: each costs the same."
    )
    population: Count = Field(
        1000, description="Public estimate of people in a window; sets the expected batch."
    )
    records_per_person: Count = Field(
        4, description="Contribution cap k: training examples kept of one person in a window."
    )
    sampling_rate: Annotated[float, Field(gt=0, le=1)] = Field(
        0.1, description="Poisson rate q at which a person enters a step."
    )
    noise_multiplier: Positive = Field(3.0, description="Noise standard deviation over clip_norm, σ.")
    clip_norm: Positive = Field(0.5, description="L2 bound C of one person's gradient.")
    steps: Count = Field(60, description="Steps T of a window.")
    learning_rate: Positive = Field(40.0, description="Size of a window's first step; it falls linearly.")
    head: Literal["linear"] = Field("linear", description="Model head on the frozen encoder.")
    releases: Path | None = Field(
        None, description="Folder of released models; `<data_dir>/releases` by default."
    )


class AlertingSettings(_Section):
    """Alerts on the public odometer."""

    thresholds: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        (0.5, 0.8, 0.95, 1.0), description="Fractions of ε spent at which an alert fires."
    )
    rules: Path | None = Field(
        None, description="TOML file of alert rules (docs/alerts.md); built-in ones by default."
    )
    webhook_url: SecretStr | None = Field(None, description="Address that gets each alert as JSON, if set.")
    webhook_timeout_seconds: Positive = Field(10.0, description="How long one webhook delivery may take.")
    sinks: tuple[str, ...] | None = Field(
        None,
        description="Names of the sinks beside the topic, built-in or by entry point "
        "`veilstream.alert_sinks`. By default console, and each built-in one whose address or key is set.",
    )
    operator_sinks: tuple[str, ...] = Field(
        ("console",),
        description="Which of the sinks also get what only operators may know: those inside the boundary.",
    )
    sink_timeout_seconds: Positive = Field(
        10.0, description="How long one delivery to a sink other than the webhook may take."
    )
    inhibitions: Path | None = Field(
        None, description="TOML file of inhibition rules; the built-in ones by default."
    )
    source_url: str | None = Field(
        None,
        pattern=r"^https?://",
        description="Page about budgets that receivers link back to (`generatorURL`), if there is one.",
    )
    webhook_secret: SecretStr | None = Field(
        None, min_length=16, description="Secret that webhook deliveries are signed with, if set."
    )
    alertmanager_url: SecretStr | None = Field(
        None, description="Base address of an Alertmanager, for the sink alertmanager."
    )
    alertmanager_resend_seconds: Positive = Field(
        60.0,
        description="How often a firing alert is told to Alertmanager again: well below its resolve_timeout.",
    )
    slack_url: SecretStr | None = Field(
        None, description="Address of a Slack incoming webhook, for the sink slack."
    )
    pagerduty_routing_key: SecretStr | None = Field(
        None, description="Integration key of a PagerDuty service, for the sink pagerduty."
    )
    pagerduty_url: SecretStr = Field(
        SecretStr("https://events.pagerduty.com/v2/enqueue"), description="Where PagerDuty takes events."
    )
    email_host: str | None = Field(None, description="SMTP server, for the sink email.")
    email_port: Annotated[int, Field(ge=1, le=65535)] = Field(587, description="Port of the SMTP server.")
    email_security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="How to talk to the SMTP server; none sends in the clear."
    )
    email_username: str | None = Field(None, description="SMTP user, if the server wants one.")
    email_password: SecretStr | None = Field(None, description="SMTP password; set it in the environment.")
    email_from: str = Field("veilstream@localhost", description="Sender of alert e-mails.")
    email_to: tuple[str, ...] = Field((), description="Who gets alert e-mails.")
    runbook_base: str = Field("docs/operations.md#", description="Prefix of each alert's runbook link.")


class TelemetrySettings(_Section):
    """Metrics, logs, health."""

    host: str = Field(
        "127.0.0.1", description="Address on which each role serves /metrics, /livez and /readyz."
    )
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        0, description="Port of that server; 0 takes a free one."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least severe log line shown."
    )


class Settings(BaseSettings):
    """The whole tree."""

    model_config = SettingsConfigDict(
        env_prefix="VEILSTREAM_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    data_dir: Path = Field(
        Path(".veilstream"), description="Folder of keys, releases and what `veilstream up` runs."
    )
    kafka: KafkaSettings = KafkaSettings()
    store: StoreSettings = StoreSettings()
    keys: KeysSettings = KeysSettings()
    client: ClientSettings = ClientSettings()
    processor: ProcessorSettings = ProcessorSettings()
    worker: WorkerSettings = WorkerSettings()
    alerting: AlertingSettings = AlertingSettings()
    telemetry: TelemetrySettings = TelemetrySettings()

    @property
    def keys_folder(self) -> Path:
        return self.keys.folder or self.data_dir / "keys"

    @property
    def exactly_once(self) -> bool:
        """Whether the processors deliver in transactions."""
        if self.processor.delivery is None:
            return self.kafka.idempotence
        return self.processor.delivery == "exactly_once"

    @property
    def releases_folder(self) -> Path:
        return self.worker.releases or self.data_dir / "releases"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        files = [TomlConfigSettingsSource(settings_cls, path) for path in reversed(_files())]
        return (init_settings, env_settings, *files)


def _files() -> list[Path]:
    """The TOML files that exist, weakest first."""
    data_dir = Path(os.environ.get("VEILSTREAM_DATA_DIR", ".veilstream"))
    named = os.environ.get("VEILSTREAM_CONFIG")
    if named and not Path(named).is_file():
        raise SettingInvalid("VEILSTREAM_CONFIG names a file that is not there", hint="correct or unset it")
    config = Path(named) if named else Path("veilstream.toml")
    return [path for path in (data_dir / "endpoints.toml", config) if path.is_file()]


_NO_SETTINGS = frozenset(
    f"VEILSTREAM_{word}"
    for word in (
        "CONFIG",  # which file to read
        "DATA",  # where tests find public data
        *("TENANT", "BUDGET", "LOG_LEVEL", "STORE_PASSWORD", "GRAFANA_PASSWORD"),  # docker-compose.yml's own
    )
)


def _check_environment() -> None:
    """Refuse variables that look like settings and are none: pydantic would pass over them."""
    for name in sorted(os.environ):
        if not name.startswith("VEILSTREAM_") or name in _NO_SETTINGS:
            continue
        section = name.removeprefix("VEILSTREAM_").lower().partition("__")[0]
        if section not in Settings.model_fields:
            raise SettingInvalid(
                f"{name}: no such setting", hint="a section and its setting are joined by two underscores"
            )


def load_settings(**overrides: Any) -> Settings:
    """Read the tree.

    Raises:
        SettingInvalid: names each wrong setting, what it got and what it takes; secrets are not shown.
    """
    _check_environment()
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingInvalid("; ".join(_describe(dict(e)) for e in error.errors(include_url=False))) from None
    except ValueError as error:  # a TOML file that does not parse
        raise SettingInvalid(f"a settings file is not TOML: {error}", hint="see docs/settings.md") from None


def _describe(problem: dict[str, Any]) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"{where}: no such setting"
    secret = any(word in where for word in ("password", "url", "routing_key", "secret"))
    got = "a value that is not shown" if secret else repr(problem.get("input"))[:80]
    return f"{where}: got {got}; {problem['msg'][:1].lower()}{problem['msg'][1:]}"


def kafka_options(kafka: KafkaSettings) -> dict[str, Any]:
    """Keyword arguments that every aiokafka client of ours is made with."""
    options: dict[str, Any] = {
        "bootstrap_servers": [server.strip() for server in kafka.bootstrap.split(",")],
        "security_protocol": kafka.security_protocol,
        "request_timeout_ms": int(kafka.request_timeout_seconds * 1000),
    }
    if kafka.security_protocol.endswith("SSL"):
        context = ssl.create_default_context(cafile=str(kafka.ssl_cafile) if kafka.ssl_cafile else None)
        if kafka.ssl_certfile:
            context.load_cert_chain(kafka.ssl_certfile, kafka.ssl_keyfile)
        options["ssl_context"] = context
    if kafka.security_protocol.startswith("SASL"):
        options["sasl_mechanism"] = kafka.sasl_mechanism
        options["sasl_plain_username"] = kafka.sasl_username
        options["sasl_plain_password"] = (
            kafka.sasl_password.get_secret_value() if kafka.sasl_password else None
        )
    return options
