"""Makes authorisation and limits from the settings.

Owns: which settings make which guard, and the refusal of settings that would let everybody in.
Does not own: the settings (settings/api.py), what it puts together (auth.py, token_keys.py,
rate_limits.py).
Invariant: a guard needs exactly one source of keys and an issuer, unless a setting turns
authorisation off; then the log says so at start, and a header on every answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from pipeline.api.http.auth import OFF_HEADER, Expected, Guard, Kind, Principal, Verifier
from pipeline.api.http.limits_and_headers import LimitsAndHeaders
from pipeline.api.http.rate_limits import Allowance, Limits
from pipeline.api.http.token_keys import FetchedKeys, Keys, StaticKeys, keys_of_file, secret_keys
from pipeline.errors import ConfigError
from pipeline.settings.api import ApiSettings

HEADERS_OF_OTHER_SITES: Final = (
    *("authorization", "content-type", "content-encoding", "if-none-match", "last-event-id"),
    *("traceparent", "tracestate", "baggage"),
)
"""Headers that scripts of other sites may send; OpenTelemetry adds the last three everywhere."""

HEADERS_FOR_OTHER_SITES: Final = (
    *("etag", "location", "retry-after", "awaway-as-of", "awaway-lag-ms"),
    *("accept-post", "accept-encoding", "www-authenticate"),
)
"""Headers that scripts of other sites may read; `content-type` is always readable."""

_SOURCES: Final = "AWAWAY_API_AUTH_KEYS_FILE, AWAWAY_API_AUTH_JWKS_URL or AWAWAY_API_AUTH_SECRET"
_log = structlog.get_logger("awaway.auth")


class KeysService:
    """Runs the keys as a service of the process."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    async def start(self) -> None:
        """Begin to keep the keys fresh."""
        self._keys.start()

    async def stop(self) -> None:
        """Stop keeping them fresh."""
        self._keys.stop()


@dataclass(frozen=True, slots=True)
class Access:
    """What decides who may use a server, and how much.

    Attributes:
        keys: runs as a service of the process.
        headers: for every answer, beside the security headers.
    """

    guard: Guard
    limits: Limits
    keys: KeysService
    headers: Sequence[tuple[bytes, bytes]]


def make_access(settings: ApiSettings, now_ms: Callable[[], int]) -> Access:
    """Make the guard and the limits of a server.

    Raises:
        ConfigError: there is no key, no issuer, or more than one source of keys.
    """
    limits = Limits(
        _allowance(settings.api_rate_people_per_s, settings.api_burst_s),
        _allowance(settings.api_rate_services_per_s, settings.api_burst_s),
    )
    if settings.api_auth_off:
        _log.warning(
            "AUTHORISATION IS OFF: everybody who reaches this port may read and change everything",
            fix="unset AWAWAY_API_AUTH_OFF; it is for development only",
        )
        guard = Guard(None, limits.admit)
        return Access(guard, limits, KeysService(StaticKeys([])), (OFF_HEADER,))
    keys = _keys(settings)
    if not settings.api_auth_issuer:
        raise ConfigError(
            "no issuer of tokens is trusted",
            fix="set AWAWAY_API_AUTH_ISSUER to the `iss` of your identity provider's tokens",
        )
    expected = Expected(
        settings.api_auth_issuer, settings.api_auth_audience, settings.api_auth_leeway_s
    )
    verifier = Verifier(keys, expected, lambda: now_ms() / 1000)
    guard = Guard(verifier, limits.admit, limits.suspect)
    return Access(guard, limits, KeysService(keys), ())


def middleware(settings: ApiSettings, access: Access) -> list[Middleware]:
    """Make the middleware of every request, outermost first."""
    limits = partial(
        LimitsAndHeaders,
        body_bytes_max=settings.api_body_bytes_max,
        request_s_max=settings.api_request_s_max,
        headers=access.headers,
    )
    found = [Middleware(limits)]
    if settings.api_cors_origins:  # outermost, so that a named site can read the refusals, too
        cors = Middleware(
            CORSMiddleware,
            allow_origins=settings.api_cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=list(HEADERS_OF_OTHER_SITES),
            expose_headers=list(HEADERS_FOR_OTHER_SITES),
        )
        found.insert(0, cors)
    return found


def records_max(settings: ApiSettings, principal: Principal) -> int:
    """Return how many records a principal's request may carry.

    A request with more records than a burst would be told to try again for ever.
    """
    is_service = principal.kind is Kind.SERVICE
    per_s = settings.api_rate_services_per_s if is_service else settings.api_rate_people_per_s
    if not per_s:
        return settings.api_batch_records_max
    burst = int(max(1.0, per_s * settings.api_burst_s))
    return min(burst, settings.api_batch_records_max)


def _allowance(per_s: float, burst_s: float) -> Allowance:
    return Allowance(per_s, max(1.0, per_s * burst_s))


def _keys(settings: ApiSettings) -> Keys:
    file, url, secret = (
        settings.api_auth_keys_file,
        settings.api_auth_jwks_url,
        settings.api_auth_secret,
    )
    if [file, url, secret].count(None) != 2:
        raise ConfigError(
            "the API needs exactly one source of the keys that tokens are signed with",
            fix=f"set one of {_SOURCES}; for development, AWAWAY_API_AUTH_OFF=true asks for no "
            "token",
        )
    if file is not None:
        return keys_of_file(file)
    if url is not None:
        return FetchedKeys(url)
    return secret_keys(secret.get_secret_value() if secret is not None else "")
