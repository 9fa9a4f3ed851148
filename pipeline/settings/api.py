"""Settings of the API's process.

Owns: the settings that only `awaway api` has: name, default, range and meaning.
Does not own: the settings that it shares with a worker (worker.py), where values come from
(load.py).
Invariant: as in worker.py, a secret is a SecretStr and is shown as asterisks. One file of settings
serves both processes: a worker ignores those that only the API has.
"""

from pathlib import Path

from pydantic import SecretStr

from pipeline.settings.worker import Settings, setting


class ApiSettings(Settings):
    """A worker's settings and the API's own. Of a worker's the API uses those of Kafka, registry,
    domain and logs.

    Build it with `pipeline.settings.load.load_settings_of(ApiSettings)`.
    """

    api_host: str = setting(
        "API", "127.0.0.1", "Address that the API listens on. In a container: `0.0.0.0`.",
        min_length=1,
    )  # fmt: skip
    api_port: int = setting(
        "API",
        8090,
        "Port of the API, with its `/livez`, `/readyz`, `/startupz` and `/metrics`; 0 takes a free "
        "one and logs it.",
        ge=0,
        le=65535,
    )
    api_connections_max: int = setting(
        "API", 1_024, "Max connections served at once; further ones wait.", ge=1, le=65_536
    )
    api_stop_timeout_s: int = setting(
        "API", 10, "How long open requests may take to end at a stop, in s.", ge=1, le=300
    )

    api_wait_ms_max: int = setting(
        "API reads",
        5_000,
        "How long a read with `min_revision` waits at most, in ms; then the answer is 503 with the "
        "newest revision there is. A correction waits as long for its effect, and at most 5,000.",
        ge=0,
        le=60_000,
    )
    api_waiting_max: int = setting(
        "API reads",
        1_000,
        "Max reads that wait for a revision at once; further ones are told to retry.",
        ge=1,
        le=100_000,
    )
    api_stale_s: float = setting(
        "API reads",
        10.0,
        "A read whose user's partition is further behind than this counts as stale, in s.",
        gt=0,
        le=86_400,
    )
    api_answers_max: int = setting(
        "API reads",
        100_000,
        "Max rendered answers to `progress` kept in memory; about 1.2 KiB each.",
        ge=0,
        le=10_000_000,
    )
    api_block_cache_mib: int = setting(
        "API reads", 64, "Memory for blocks of the store on disk, in MiB.", ge=8, le=65_536
    )
    api_scrub_records_per_s: int = setting(
        "API reads",
        0,
        "How many records of `progress` and users of the store a second the API compares in the "
        "background; 0: it compares nothing. 1,000 is a good start; above the rate at which "
        "progress is written, else no pass ends.",
        ge=0,
        le=1_000_000,
    )
    api_picture_processes: int = setting(
        "API reads", 1, "Processes that draw PNGs; they start with the first PNG.", ge=1, le=64
    )
    api_picture_cache_mib: int = setting(
        "API reads", 64, "Memory for drawn pictures, in MiB.", ge=1, le=65_536
    )

    api_auth_off: bool = setting(
        "API access",
        False,
        "Require no token: everybody may do everything. For development only; the log and every "
        "answer say that it is off.",
    )
    api_auth_issuer: str = setting(
        "API access", "", "What a token's `iss` must be; required unless `api_auth_off` is set."
    )
    api_auth_audience: str = setting(
        "API access", "awaway", "What a token's `aud` must be or contain.", min_length=1
    )
    api_auth_keys_file: Path | None = setting(
        "API access",
        None,
        "File of the keys that verify tokens: PEM public keys or certificates, or a JWK set.",
    )
    api_auth_jwks_url: str | None = setting(
        "API access",
        None,
        "URL of a JWK set with these keys instead; fetched again every ten minutes, and when a "
        "token names an unknown key. `http://` only on this machine.",
        pattern=r"^(https://[^\s@]+|http://(127\.0\.0\.1|localhost)(:\d+)?/[^\s@]*)$",
    )
    api_auth_secret: SecretStr | None = setting(
        "API access",
        None,
        "A shared secret of at least 32 bytes instead (HS256). For development, or where every "
        "holder may create tokens. Only one of the three may be set.",
    )
    api_auth_leeway_s: float = setting(
        "API access",
        30.0,
        "How much the issuer's clock may differ from the API's, in s.",
        ge=0,
        le=300,
    )
    api_cors_origins: list[str] = setting(
        "API access",
        [],
        "Origins whose scripts may call the API, such as `https://app.example`; none by default. "
        "As a variable: a JSON list.",
    )

    api_rate_people_per_s: float = setting(
        "API limits",
        20.0,
        "Max requests per second of one user, supporter or operator; each record of a batch counts "
        "as one. 0: no limit.",
        ge=0,
        le=1_000_000,
    )
    api_rate_services_per_s: float = setting(
        "API limits", 5_000.0, "Max requests per second of one service.", ge=0, le=10_000_000
    )
    api_burst_s: float = setting(
        "API limits",
        15.0,
        "Max requests at once, as so many seconds of the rate.",
        ge=1,
        le=3_600,
    )
    api_body_bytes_max: int = setting(
        "API limits", 1_048_576, "Max bytes of a request's body.", ge=1_024, le=16_777_216
    )
    api_request_s_max: float = setting(
        "API limits",
        20.0,
        "How long a request other than a read may take, with its body, in s; above "
        "`api_delivery_ms_max`.",
        ge=1,
        le=300,
    )

    api_batch_records_max: int = setting(
        "API ingest",
        100,
        "Max completions in one POST; not above a principal's burst.",
        ge=1,
        le=10_000,
    )
    api_delivery_ms_max: int = setting(
        "API ingest",
        5_000,
        "How long the brokers may take to acknowledge a completion, in ms; then the answer is 503, "
        "and it is safe to send the completion again.",
        ge=100,
        le=120_000,
    )
    api_ingest_records_max: int = setting(
        "API ingest",
        10_000,
        "Max completions on their way to the brokers; further ones are told to retry (429).",
        ge=1,
        le=1_000_000,
    )
    api_ingest_mib_max: int = setting(
        "API ingest", 32, "Max size of these completions, in MiB.", ge=1, le=1_024
    )
    api_history_days: int = setting(
        "API ingest",
        90,
        "How far back the API knows outcomes of inputs, alerts and dead letters, in days.",
        ge=1,
        le=3_650,
    )
    api_outcomes_wait_s: float = setting(
        "API ingest",
        600.0,
        "How long `/readyz` waits after a start for the index of outcomes, in s; then reads are "
        "served without it. A new index takes about a minute for a million inputs.",
        ge=0,
        le=86_400,
    )

    api_stream_clients_max: int = setting(
        "API streams", 1_000, "Max clients of live streams at once.", ge=1, le=100_000
    )
    api_stream_clients_each: int = setting(
        "API streams", 8, "Max live streams of one principal at once.", ge=1, le=10_000
    )
    api_stream_queue_max: int = setting(
        "API streams",
        1_000,
        "Max events that wait for one client; a slower client is disconnected, and can resume.",
        ge=8,
        le=100_000,
    )
    api_stream_heartbeat_s: float = setting(
        "API streams",
        15.0,
        "How often a stream without events sends a heartbeat, in s.",
        gt=0,
        le=300,
    )
    api_stream_s_max: float = setting(
        "API streams",
        3_600.0,
        "A stream is closed after this long, in s; its client resumes.",
        gt=0,
        le=86_400,
    )
    api_console_worker_urls: list[str] = setting(
        "API console",
        [],
        "URLs of `/metrics` of the workers that the console's health page shows. As a variable: a "
        "JSON "
        'list, such as `["http://127.0.0.1:8080/metrics"]`.',
    )
