"""One registry over HTTP: bounded requests, and what its answers mean.

Owns: the client's settings and bounds, which answers say something, a subject's versions.
Does not own: what follows from an answer (registry.py, writers.py), registering
(ops/schemas/sync.py).
Invariants: whatever comes back, the outcome of a request is a value of the form that was asked for,
"there is none", or `RegistryUnavailableError`; nothing is called absent unless the registry said so
with its own error code; no body of more than `BODY_BYTES_MAX` is taken into memory.
"""

from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final, Literal, TypeVar

import msgspec
from confluent_kafka.schema_registry import Schema as RegistrySchema
from confluent_kafka.schema_registry import SchemaRegistryClient, SchemaRegistryError
from confluent_kafka.schema_registry.error import OAuthTokenError
from httpx2 import HTTPError, Response, SyncByteStream

from pipeline.codec.errors import RegistryUnavailableError

SUBJECT_NOT_FOUND: Final = 40401
VERSION_NOT_FOUND: Final = 40402
SCHEMA_NOT_FOUND: Final = 40403
NO_SUBJECT_LEVEL: Final = 40408

BODY_BYTES_MAX: Final = 4 * 1024 * 1024
"""Max bytes of an answer that is read; a schema of 256 KiB whose every character is escaped has
1.5 MiB."""

ASKED_AT_ONCE: Final = 8

_SAID_CHARS_MAX: Final = 300
_CLIENT_DEFAULTS: Final[Mapping[str, Any]] = {
    "timeout": 5,
    "max.retries": 2,
    "retries.wait.ms": 100,
    "retries.max.wait.ms": 500,
}
_FIX_UNAVAILABLE: Final = "check AWAWAY_REGISTRY_URL, its credentials, and the registry's log"
_FIX_PATH: Final = (
    "check the path of AWAWAY_REGISTRY_URL: the local stack's ends in /apis/ccompat/v7"
)
_PASSING: Final = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY)

_Answer = TypeVar("_Answer")


class Version(msgspec.Struct, frozen=True):
    """One registered version of a subject.

    Attributes:
        number: 1 and up.
        schema_id: of its schema, which other subjects may share.
        kind: AVRO, or another language's name.
        text: of its schema.
        refers: whether it needs other schemas (the registry's references).
    """

    number: int
    schema_id: int
    kind: str
    text: str
    refers: bool = False


class _AskLaterError(SchemaRegistryError):
    """The registry has too much to do; asking again at once would not help."""

    def __init__(self, status: int, retry_after_s: float | None) -> None:
        super().__init__(status, SchemaRegistryError.UNKNOWN, "asked too often")
        self.retry_after_s = retry_after_s


class _BoundedBody(SyncByteStream):
    """A body that ends with an error where it is too long."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        left = BODY_BYTES_MAX
        for chunk in self._stream:
            left -= len(chunk)
            if left < 0:
                raise ValueError(f"the answer has more than {BODY_BYTES_MAX} bytes")
            yield chunk

    def close(self) -> None:
        """Release the connection."""
        self._stream.close()


def _check(response: Response) -> None:
    """Bound an answer before it is read; raise if the registry has too much to do."""
    response.stream = _BoundedBody(response.stream)
    status, later = response.status_code, response.headers.get("retry-after")
    if status == HTTPStatus.TOO_MANY_REQUESTS or (
        status == HTTPStatus.SERVICE_UNAVAILABLE and later is not None
    ):
        raise _AskLaterError(status, _seconds(later or ""))
    if response.headers.get("content-encoding", "identity") != "identity":
        raise ValueError("the answer is compressed, though none was to be")


def _seconds(text: str) -> float | None:
    """Return the header's number of seconds; None where it is a date, which is rare."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 9 else None


def connect(settings: Mapping[str, Any]) -> SchemaRegistryClient:
    """Return a client with bounded waits and answers; the library's own waits for ever.

    Args:
        settings: of `confluent_kafka.schema_registry.SchemaRegistryClient`; they win.
    """
    client = SchemaRegistryClient({**_CLIENT_DEFAULTS, **settings})
    session = client._rest_client.session
    session.headers["accept-encoding"] = "identity"  # what is bounded is what is taken
    session.event_hooks = {"response": [_check]}
    return client


def ask(what: str, request: Callable[[], _Answer], *absent: int) -> _Answer | None:
    """Send one request.

    Args:
        what: what it is for, for the message.
        request: calls the client; may raise whatever an odd answer leads to.
        absent: the registry's error codes that mean: there is none.

    Returns:
        The answer; None when the registry said that there is none.

    Raises:
        RegistryUnavailableError: no answer, or one that says nothing about what was asked. Its
            field `http_status` is that of the answer, where there was one.
    """
    try:
        return request()
    except SchemaRegistryError as error:
        if error.error_code in absent:
            return None
        status, said = error.http_status_code, str(error.error_message or "")[:_SAID_CHARS_MAX]
        raise RegistryUnavailableError(
            f"the registry refused: {what}",
            why=f"HTTP {status}" + (f": {said}" if said else ""),
            fix=_FIX_PATH if status == HTTPStatus.NOT_FOUND else _FIX_UNAVAILABLE,
            http_status=status,
            retry_after_s=getattr(error, "retry_after_s", None),
        ) from error
    except (HTTPError, OSError, OAuthTokenError) as error:
        raise RegistryUnavailableError(
            f"the registry did not answer: {what}",
            why=f"{type(error).__name__}: {error}"[:_SAID_CHARS_MAX],
            fix=_FIX_UNAVAILABLE,
        ) from error
    except Exception as error:  # an answer can be of any form
        raise RegistryUnavailableError(
            f"the answer is not a registry's: {what}",
            why=f"HTTP 200, {type(error).__name__}: {error}"[:_SAID_CHARS_MAX],
            fix=_FIX_PATH,
            http_status=int(HTTPStatus.OK),
        ) from error


def was_answered(error: RegistryUnavailableError) -> bool:
    """Return whether there was an answer that another request would not change.

    Faults of the server (5xx), time-outs and connections that fail are no answers: they pass.
    """
    status = error.fields.get("http_status")
    return isinstance(status, int) and status < 500 and status not in _PASSING


def level_of(client: SchemaRegistryClient, subject: str) -> str:
    """Return the compatibility level in force for a subject: its own, or else the registry's.

    Raises:
        RegistryUnavailableError: the registry cannot say.
    """
    own = ask(
        f"compatibility of {subject}",
        lambda: client.get_compatibility(subject),
        SUBJECT_NOT_FOUND,
        NO_SUBJECT_LEVEL,
    )
    if own is not None:
        return own
    return ask("compatibility of the registry", client.get_compatibility) or "NONE"


def version_numbers(
    client: SchemaRegistryClient, subject: str, *, deleted: bool = False
) -> list[int]:
    """Return the numbers of a subject's versions, ascending; none when it is not there.

    Args:
        deleted: those that were soft-deleted as well, as records still name them.

    Raises:
        RegistryUnavailableError: the registry cannot say.
    """

    def numbers() -> list[int]:
        found: Any = client.get_versions(subject, deleted=deleted)
        if not isinstance(found, list) or not all(type(one) is int for one in found):
            raise TypeError("the versions are not a list of numbers")
        return sorted(set(found))

    return ask(f"versions of {subject}", numbers, SUBJECT_NOT_FOUND) or []


def version_of(
    client: SchemaRegistryClient,
    subject: str,
    number: int | Literal["latest"] = "latest",
    *,
    deleted: bool = False,
) -> Version | None:
    """Return one version of a subject; None when the registry has none.

    Args:
        number: of the version.
        deleted: one that was soft-deleted as well.

    Raises:
        RegistryUnavailableError: the registry cannot say.
    """

    def version() -> Version:
        found: Any = client.get_version(subject, number, deleted)
        schema = found.schema
        answer = (found.version, found.schema_id, schema.schema_type or "AVRO", schema.schema_str)
        if [type(one) for one in answer] != [int, int, str, str]:
            raise TypeError("it is not a version's number, its id, its language and its text")
        return Version(*answer, bool(schema.references))

    return ask(f"version {number} of {subject}", version, SUBJECT_NOT_FOUND, VERSION_NOT_FOUND)


def schema_of(client: SchemaRegistryClient, schema_id: int) -> RegistrySchema | None:
    """Return the schema of an id, under whatever subject; None when the registry has none.

    Raises:
        RegistryUnavailableError: the registry cannot say.
    """

    def schema() -> RegistrySchema:
        found: Any = client.get_schema(schema_id)
        if not isinstance(found, RegistrySchema):
            raise TypeError("it is not a schema")
        return found

    return ask(f"schema {schema_id}", schema, SCHEMA_NOT_FOUND)
