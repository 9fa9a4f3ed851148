"""Settings of the API's process.

Owns: what `awaway api` has beyond a worker's settings: name, default, range and meaning.
Does not own: the settings that it shares with a worker (worker.py), where values come from
(load.py).
Invariant: as worker.py's: a secret is a SecretStr and is shown as asterisks. One file of settings
serves both: a worker passes over what only the API has.
"""

from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr

from pipeline.settings.worker import Settings


def _setting(group: str, default: Any, description: str, **limits: Any) -> Any:
    return Field(default, description=description, json_schema_extra={"group": group}, **limits)


class ApiSettings(Settings):
    """A worker's settings, of which the API heeds those of Kafka, registry, domain and logs, and
    its own. Build it with `pipeline.settings.load.load_settings_of(ApiSettings)`.
    """

    api_host: str = _setting(
        "API", "127.0.0.1", "Address that the API listens on. In a container: `0.0.0.0`.",
        min_length=1,
    )  # fmt: skip
    api_port: int = _setting(
        "API",
        8090,
        "Port of the API, with its `/livez`, `/readyz`, `/startupz` and `/metrics`; 0 takes a free "
        "one and logs it.",
        ge=0,
        le=65535,
    )
    api_connections_max: int = _setting(
        "API", 1_024, "Connections that are served at once; more wait.", ge=1, le=65_536
    )
    api_stop_timeout_s: int = _setting(
        "API", 10, "How long requests in hand may take to end at a stop, in s.", ge=1, le=300
    )

    api_wait_ms_max: int = _setting(
        "API reads",
        5_000,
        "How long a read with `min_revision` waits at most, in ms; then it is answered with 503 "
        "and what there is.",
        ge=0,
        le=60_000,
    )
    api_waiting_max: int = _setting(
        "API reads", 1_000, "Reads that wait for a revision at once; more are told to come again.",
        ge=1, le=100_000,
    )  # fmt: skip
    api_stale_s: float = _setting(
        "API reads",
        10.0,
        "A read whose user's partition is further behind than this counts as stale, in s.",
        gt=0,
        le=86_400,
    )
    api_answers_max: int = _setting(
        "API reads",
        100_000,
        "Rendered answers to `progress` kept in memory; about 1.2 KiB each.",
        ge=0,
        le=10_000_000,
    )
    api_block_cache_mib: int = _setting(
        "API reads", 64, "Blocks of the store on disk kept in memory, in MiB.", ge=8, le=65_536
    )
    api_picture_processes: int = _setting(
        "API reads", 1, "Processes that draw PNGs; they start with the first one.", ge=1, le=64
    )
    api_picture_cache_mib: int = _setting(
        "API reads", 64, "Pictures kept in memory, in MiB.", ge=1, le=65_536
    )

    api_auth_off: bool = _setting(
        "API access",
        False,
        "Ask for no token: everybody may do everything. For development only; the log and every "
        "answer say so.",
    )
    api_auth_issuer: str = _setting(
        "API access", "", "What a token's `iss` must be; needed unless authorisation is off."
    )
    api_auth_audience: str = _setting(
        "API access", "awaway", "What a token's `aud` must be, or have among others.", min_length=1
    )
    api_auth_keys_file: Path | None = _setting(
        "API access",
        None,
        "The keys that tokens are signed with: PEM public keys or certificates, or a JWK set.",
    )
    api_auth_jwks_url: str | None = _setting(
        "API access",
        None,
        "The same from a URL; fetched again every ten minutes, and when a token names an unknown "
        "key. `http://` only on this machine.",
        pattern=r"^(https://[^\s@]+|http://(127\.0\.0\.1|localhost)(:\d+)?/[^\s@]*)$",
    )
    api_auth_secret: SecretStr | None = _setting(
        "API access",
        None,
        "The same as a shared secret of 32 bytes and up (HS256). For development, or where every "
        "holder may make tokens. Only one of the three is set.",
    )
    api_auth_leeway_s: float = _setting(
        "API access",
        30.0,
        "By how much an issuer's clock may differ from ours, in s.",
        ge=0,
        le=300,
    )
    api_cors_origins: list[str] = _setting(
        "API access",
        [],
        "Sites whose scripts may call the API, such as `https://app.example`; none by default. As "
        "a variable: a JSON list.",
    )

    api_rate_people_per_s: float = _setting(
        "API limits",
        20.0,
        "Requests a second of one user, supporter or operator; each record of a batch counts. 0: "
        "no limit.",
        ge=0,
        le=1_000_000,
    )
    api_rate_services_per_s: float = _setting(
        "API limits", 5_000.0, "The same of one service.", ge=0, le=10_000_000
    )
    api_burst_s: float = _setting(
        "API limits",
        15.0,
        "Requests that may come at once, as seconds of the rate.",
        ge=1,
        le=3_600,
    )
    api_body_bytes_max: int = _setting(
        "API limits", 1_048_576, "Bytes of a request's body.", ge=1_024, le=16_777_216
    )
    api_request_s_max: float = _setting(
        "API limits",
        20.0,
        "How long a request that is no read may take, its body included, in s; above "
        "`api_delivery_ms_max`.",
        ge=1,
        le=300,
    )

    api_batch_records_max: int = _setting(
        "API ingest",
        100,
        "Completions in one POST; no more than a principal's burst.",
        ge=1,
        le=10_000,
    )
    api_delivery_ms_max: int = _setting(
        "API ingest",
        5_000,
        "How long the brokers may take to acknowledge a completion, in ms; then it is answered "
        "with 503, and is safe to send again.",
        ge=100,
        le=120_000,
    )
    api_ingest_records_max: int = _setting(
        "API ingest",
        10_000,
        "Completions on their way to the brokers; more are told to come again (429).",
        ge=1,
        le=1_000_000,
    )
    api_ingest_mib_max: int = _setting("API ingest", 32, "The same in MiB.", ge=1, le=1_024)
    api_history_days: int = _setting(
        "API ingest",
        90,
        "How far back the API knows what became of an input, with alerts and dead letters, in "
        "days.",
        ge=1,
        le=3_650,
    )
    api_outcomes_wait_s: float = _setting(
        "API ingest",
        600.0,
        "How long `/readyz` waits after a start for the index of what became of inputs, in s; then "
        "reads go on without it. A new index takes about a minute for a million inputs.",
        ge=0,
        le=86_400,
    )

    api_stream_clients_max: int = _setting(
        "API streams", 1_000, "Clients of live streams at once.", ge=1, le=100_000
    )
    api_stream_clients_each: int = _setting(
        "API streams", 8, "Live streams of one principal at once.", ge=1, le=10_000
    )
    api_stream_queue_max: int = _setting(
        "API streams",
        1_000,
        "Events that wait for one client; a slower one is dropped, and can resume.",
        ge=8,
        le=100_000,
    )
    api_stream_heartbeat_s: float = _setting(
        "API streams", 15.0, "A silent stream says that it lives this often, in s.", gt=0, le=300
    )
    api_stream_s_max: float = _setting(
        "API streams", 3_600.0, "A stream ends after this long, in s; its client resumes.",
        gt=0, le=86_400,
    )  # fmt: skip
    api_console_worker_urls: list[str] = _setting(
        "API console",
        [],
        "The `/metrics` of workers that the console's health page shows. As a variable: a JSON "
        'list, such as `["http://127.0.0.1:8080/metrics"]`.',
    )
