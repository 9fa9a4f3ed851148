"""Settings of a worker and of the operators' commands.

Owns: every setting's name, default, range and meaning; which values are refused.
Does not own: where values come from (load.py), what a setting does (engine/, cli/).
Invariant: a secret leaves this module only through `kafka_client`, `registry_client` and
`SecretStr.get_secret_value`; a `Settings` that is printed, logged or dumped shows asterisks.

Precedence, first wins: an option on the command line, an environment variable `AWAWAY_<NAME>`, the
YAML file named by `--config` or `AWAWAY_CONFIG`, the default. Mappings merge key by key.

Importing pydantic takes half a second: import this module inside functions, not at the top of a
command's module.
"""

import re
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

ENV_PREFIX: Final = "AWAWAY_"

ClientValue = str | int | float | bool | SecretStr
"""The value of a librdkafka setting."""

_SECRET_KEY: Final = re.compile(r"password|secret|token|jaas|\.pem$|oauthbearer\.config")
"""Names of librdkafka settings whose values are secrets."""

_OWNED_KEYS: Final = frozenset(
    {
        "auto.offset.reset",
        "bootstrap.servers",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.idempotence",
        "group.id",
        "group.instance.id",
        "group.protocol",
        "isolation.level",
        "partition.assignment.strategy",
        "partitioner",
        "session.timeout.ms",
        "transaction.timeout.ms",
        "transactional.id",
    }
)
"""librdkafka settings on which exactly-once depends; the engine sets them."""


def setting(group: str, default: Any, description: str, **limits: Any) -> Any:
    """A field with its group and meaning in docs/CONFIGURATION.md, and pydantic's `limits`."""
    return Field(default, description=description, json_schema_extra={"group": group}, **limits)


class Settings(BaseSettings):
    """Every setting of a worker, with its unit, range and default.

    Build it with `pipeline.settings.load.load_settings`, which reports a mistake under the name
    that the operator typed.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        validate_default=True,
    )

    bootstrap_servers: str = setting(
        "Kafka",
        "127.0.0.1:9092",
        "Brokers to contact first, `host:port`, separated by commas.",
        pattern=r"^[^\s,]+:\d+(,[^\s,]+:\d+)*$",
    )
    kafka: dict[str, ClientValue] = setting(
        "Kafka",
        {},
        "More librdkafka settings for every client, such as `security.protocol`, `sasl.password`. "
        "As a variable: JSON in `AWAWAY_KAFKA`, or one key each as `AWAWAY_KAFKA__SASL_PASSWORD` "
        "(dots become underscores). Secrets are masked. Settings on which exactly-once depends are "
        "refused.",
    )
    topic_prefix: str = setting(
        "Kafka",
        "awaway.",
        "The start of every topic's name; another prefix is another, separate pipeline.",
        pattern=r"^[a-zA-Z0-9._-]{0,100}$",
    )
    topics_file: Path = setting(
        "Kafka", Path("topics.yaml"), "The file of topics, which `awaway topics apply` reads."
    )

    registry_url: str = setting(
        "Schema registry",
        "http://127.0.0.1:8081",
        "URL of a Confluent-compatible registry, with its path where it has one (Apicurio: "
        "`/apis/ccompat/v7`), without user or password.",
        pattern=r"^https?://[^\s@]+$",
    )
    registry_user: str | None = setting(
        "Schema registry", None, "User name for basic authentication."
    )
    registry_password: SecretStr | None = setting(
        "Schema registry", None, "Password for basic authentication."
    )
    schemas_dir: Path = setting(
        "Schema registry", Path("schemas"), "The folder of the `.avsc` files of this release."
    )

    generation: str = setting(
        "Identity",
        "blue",
        "The generation of state that this worker writes; part of the names of the consumer group "
        "and the changelogs, and of the audit chain.",
        pattern=r"^[a-z][a-z0-9-]{0,30}$",
    )
    slot: int = setting(
        "Identity",
        0,
        "This worker's number among its peers, the same at every start; two running workers never "
        "share one. It becomes part of the `group.instance.id` and the `transactional.id`. In "
        "Kubernetes: the pod's ordinal.",
        ge=0,
        le=9999,
    )

    data_dir: Path = setting(
        "State", Path(".local/data"), "Folder of the local stores; safe to lose, slow to restore."
    )
    standbys: int = setting(
        "State",
        1,
        "Keep standbys for the loss of this many other slots at once: each worker follows the "
        "changelogs of exactly those partitions that it would get, so that a fail-over does not "
        "wait for a restore. 0 keeps none. Costs disk and some reading; nothing with one worker.",
        ge=0,
        le=3,
    )
    scrub_records_per_s: int = setting(
        "State",
        0,
        "How many changelog records and users a second a worker compares in the background, its "
        "disk with its changelog; 0: it compares nothing. 1,000 is a good start; above the rate at "
        "which one partition's changelog grows, else no walk ends. It needs some 100 bytes of disk "
        "for each user of one partition, and the changelog's records are read once more for each "
        "walk.",
        ge=0,
        le=1_000_000,
    )
    policy_file: Path = setting(
        "Domain", Path("policy.yaml"), "The policy: its versions and when each takes effect."
    )
    assets_url: str = setting(
        "Domain",
        ".local/assets",
        "The object store of the figures: a folder, or a URL (`s3://`, `gs://`, `az://`). "
        "`awaway assets publish` fills it; a worker checks it at start.",
        min_length=1,
    )
    collapse: bool = setting(
        "Domain",
        True,
        "Write only the last progress and state record of each user and batch, instead of one for "
        "each event.",
    )
    development: bool = setting(
        "Domain",
        False,
        "Accept input topics with `CreateTime` timestamps (a simulated month). Never in "
        "production.",
    )

    development_broker: bool = setting(
        "Domain",
        False,
        "Accept brokers that can lose committed records: a single one, or too few replicas. Never "
        "in production.",
    )

    batch_records_max: int = setting(
        "Batches", 10_000, "Max input records in one transaction.", ge=1, le=1_000_000
    )
    batch_ms_max: int = setting(
        "Batches",
        1_000,
        "How long one transaction may collect and fold inputs, in ms; well below "
        "`transaction_timeout_ms`.",
        ge=1,
        le=2_000,
    )
    commit_linger_ms: int = setting(
        "Batches",
        1,
        "How long to wait for more records before a batch that is not full is folded, in ms. It "
        "adds that much latency at low rates, and saves transactions at high rates.",
        ge=0,
        le=1_000,
    )
    fetch_wait_ms_max: int = setting(
        "Batches",
        20,
        "How long a broker waits for records before it answers a fetch with none, in ms.",
        ge=1,
        le=5_000,
    )
    fetch_queue_mib_max: int = setting(
        "Batches",
        64,
        "Max memory for input that is fetched and not yet folded, in MiB.",
        ge=1,
        le=2_048,
    )
    produce_linger_ms: int = setting(
        "Batches",
        5,
        "How long the producer waits to fill a request, in ms; the commit flushes it at once.",
        ge=0,
        le=1_000,
    )
    compression: Literal["none", "lz4", "zstd", "snappy", "gzip"] = setting(
        "Batches",
        "lz4",
        "Compression of the records produced from now on; kafkajs without plug-ins reads gzip only "
        "(docs/CONSUMING.md).",
    )

    session_timeout_ms: int = setting(
        "Time-outs",
        10_000,
        "After this long without a heartbeat the group reassigns the worker's partitions, in ms. "
        "Above `transaction_timeout_ms`, and not below the broker's "
        "`group.min.session.timeout.ms`.",
        ge=6_000,
        le=1_800_000,
    )
    transaction_timeout_ms: int = setting(
        "Time-outs",
        5_000,
        "After this long the broker aborts a transaction that is still open, in ms.",
        ge=1_000,
        le=900_000,
    )
    max_poll_interval_ms: int = setting(
        "Time-outs",
        300_000,
        "After this long without a poll the consumer leaves its group, in ms. Far above "
        "`session_timeout_ms`.",
        ge=10_000,
        le=86_400_000,
    )
    start_timeout_s: int = setting(
        "Time-outs",
        60,
        "How long brokers and registry that do not answer are tried again at start, in s; then the "
        "worker fails.",
        ge=1,
        le=3_600,
    )
    stop_timeout_s: int = setting(
        "Time-outs",
        20,
        "How long a graceful stop may take, in s; then the process ends at once, with exit code 1. "
        "Below the time after which the supervisor kills it (Kubernetes: 30 s).",
        ge=1,
        le=600,
    )
    stall_timeout_s: int = setting(
        "Time-outs",
        90,
        "`/livez` fails when the engine's thread has made no step for this long, in s.",
        ge=5,
        le=3_600,
    )

    http_host: str = setting(
        "Observability",
        "127.0.0.1",
        "Address of `/livez`, `/readyz`, `/startupz` and `/metrics`. In a container: `0.0.0.0`.",
        min_length=1,
    )
    http_port: int = setting(
        "Observability",
        8080,
        "Port of these endpoints; 0 takes a free one and logs it.",
        ge=0,
        le=65535,
    )
    log_format: Literal["auto", "json", "console"] = setting(
        "Observability", "auto", "`auto` is `console` on a terminal and `json` elsewhere."
    )
    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "Observability", "info", "Lines below this level are not written."
    )

    @property
    def group_id(self) -> str:
        """The consumer group: one for each topic prefix and generation."""
        return f"{self.topic_prefix}{self.generation}"

    @property
    def transactional_id(self) -> str:
        """Also the `group.instance.id`; the same at every start of a slot."""
        return f"{self.group_id}-{self.slot}"

    def topic(self, name: str) -> str:
        """Full name of a topic of topics.yaml, such as `completions`."""
        return f"{self.topic_prefix}{name}"

    def kafka_client(self) -> dict[str, str | int | float | bool]:
        """The configuration of every client: the brokers and the extra settings, secrets in clear.

        Returns:
            A new dict. Pass it to a client; never log it.
        """
        extra = {
            key: value.get_secret_value() if isinstance(value, SecretStr) else value
            for key, value in self.kafka.items()
        }
        return {"bootstrap.servers": self.bootstrap_servers, **extra}

    def registry_client(self) -> dict[str, str]:
        """Configuration of confluent_kafka's SchemaRegistryClient, the password in clear."""
        client = {"url": self.registry_url}
        if self.registry_user is not None and self.registry_password is not None:
            password = self.registry_password.get_secret_value()
            client["basic.auth.user.info"] = f"{self.registry_user}:{password}"
        return client

    def shown(self) -> dict[str, Any]:
        """Every setting as JSON values, secrets as asterisks, in the order of this file."""
        return self.model_dump(mode="json")

    @field_validator("kafka")
    @classmethod
    def _check_kafka(cls, given: dict[str, ClientValue]) -> dict[str, ClientValue]:
        checked: dict[str, ClientValue] = {}
        for name, value in given.items():
            key = name.lower().replace("_", ".")
            if key in _OWNED_KEYS:
                raise ValueError(
                    f"{key} is set by the engine, exactly-once depends on it: remove it"
                )
            if key in checked:
                raise ValueError(f"{key} is given twice, with dots and with underscores: keep one")
            secret = _SECRET_KEY.search(key) and not isinstance(value, SecretStr)
            checked[key] = SecretStr(str(value)) if secret else value
        return checked

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.transaction_timeout_ms >= self.session_timeout_ms:
            raise ValueError(
                "transaction_timeout_ms must be below session_timeout_ms, so that a dead worker's "
                "transaction is aborted before its partitions move"
            )
        if self.batch_ms_max * 2 > self.transaction_timeout_ms:
            raise ValueError(
                "batch_ms_max must be at most half of transaction_timeout_ms, else the broker "
                "aborts full batches"
            )
        if self.max_poll_interval_ms <= self.session_timeout_ms:
            raise ValueError("max_poll_interval_ms must be above session_timeout_ms")
        if (self.registry_user is None) != (self.registry_password is None):
            raise ValueError("registry_user and registry_password go together: set both or neither")
        return self
