"""The schema registry, as the codec needs it.

Owns: our schemas' ids at start, the refusal to run on others, writers' schemas by id.
Does not own: registering (ops/schemas.py; a worker never registers anything), decoding (inputs.py).
Invariants: an id is never called unknown unless the registry itself said so; ids are never compared
between registries, fingerprints are; each cache is bounded.
"""

import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any, Final, TypeVar

import msgspec
from confluent_kafka.schema_registry import SchemaRegistryClient, SchemaRegistryError
from httpx2 import HTTPError

from pipeline.codec.avro_reader import UnresolvableSchemaError
from pipeline.codec.errors import (
    CompatibilityLevelError,
    RegistryError,
    RegistryUnavailableError,
    SchemaDiffersError,
    SchemaMissingError,
    UnknownSchemaIdError,
)
from pipeline.codec.schemas import JsonSchema, Schema, fingerprint_of

SUBJECT_NOT_FOUND: Final = 40401
VERSION_NOT_FOUND: Final = 40402
SCHEMA_NOT_FOUND: Final = 40403
NO_SUBJECT_LEVEL: Final = 40408

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
_FIX_REGISTER: Final = "run `awaway schemas plan`, then `awaway schemas register`"

_ASKED_AT_ONCE: Final = 8

_Answer = TypeVar("_Answer")


class Expected(msgspec.Struct, frozen=True):
    """What a subject must have: our schema, and the level that keeps its other side safe."""

    schema: Schema
    level: str


def connect(settings: Mapping[str, Any]) -> SchemaRegistryClient:
    """A client with bounded waits; the library's own wait for ever.

    Args:
        settings: of `confluent_kafka.schema_registry.SchemaRegistryClient`; they win.
    """
    return SchemaRegistryClient({**_CLIENT_DEFAULTS, **settings})


def ask(what: str, request: Callable[[], _Answer], *absent: int) -> _Answer | None:
    """Send one request.

    Args:
        what: what it is for, for the message.
        request: calls the client.
        absent: the registry's error codes that mean: there is none.

    Returns:
        The answer; None when the registry said that there is none.

    Raises:
        RegistryUnavailableError: no answer, or one that says nothing about what was asked.
    """
    try:
        return request()
    except SchemaRegistryError as error:
        if error.error_code in absent:
            return None
        status, said = error.http_status_code, error.error_message
        raise RegistryUnavailableError(
            f"the registry refused: {what}",
            why=f"HTTP {status}" + (f": {said}" if said else ""),
            fix=_FIX_PATH if status == HTTPStatus.NOT_FOUND else _FIX_UNAVAILABLE,
            http_status=status,
        ) from error
    except (HTTPError, OSError, ValueError) as error:
        raise RegistryUnavailableError(
            f"the registry did not answer: {what}",
            why=f"{type(error).__name__}: {error}",
            fix=_FIX_UNAVAILABLE,
        ) from error


def level_of(client: SchemaRegistryClient, subject: str) -> str:
    """The compatibility level in force for a subject: its own, or else the registry's.

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


def registered_fingerprint(text: str | None) -> str | None:
    """Fingerprint of a registered text; None when it is not Avro's JSON."""
    try:
        return fingerprint_of(json.loads(text or ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


class SchemaResolver:
    """Asks one registry, and remembers what it may.

    Args:
        client: from `connect`.
        clock: seconds of elapsed time.
        ids_max: how many writers' schemas, and how many unknown ids, are remembered.
        unknown_ttl_s: for how long an unknown id is not asked for again; a schema that is
            registered after its first record is taken up when that has passed.
    """

    def __init__(
        self,
        client: SchemaRegistryClient,
        clock: Callable[[], float] = time.monotonic,
        ids_max: int = 1_024,
        unknown_ttl_s: float = 30.0,
    ) -> None:
        self._client = client
        self._clock = clock
        self._ids_max = ids_max
        self._unknown_ttl_s = unknown_ttl_s
        self._known: OrderedDict[int, JsonSchema] = OrderedDict()
        self._unknown_until: OrderedDict[int, float] = OrderedDict()

    def resolve(self, expected: Mapping[str, Expected]) -> dict[str, int]:
        """The ids of our schemas, if the registry has them as we do.

        Args:
            expected: by subject.

        Returns:
            Schema id by subject, in the same order.

        Raises:
            SchemaMissingError, SchemaDiffersError, CompatibilityLevelError: the kind of the first
                subject that is wrong; the message names all of them.
            RegistryUnavailableError: the registry cannot say.
        """
        ids: dict[str, int] = {}
        wrong: list[RegistryError] = []
        with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:  # a worker's start waits for all of them
            asked = {
                name: pool.submit(self._resolve_one, name, expected[name]) for name in expected
            }
        for subject, answer in asked.items():
            try:
                ids[subject] = answer.result()
            except (SchemaMissingError, SchemaDiffersError, CompatibilityLevelError) as error:
                wrong.append(error)
        if wrong:
            first = wrong[0]
            raise type(first)(
                first.what,
                why="\n".join([first.why, *(str(error) for error in wrong[1:])]),
                fix=first.fix,
                **first.fields,
            )
        return ids

    def _resolve_one(self, subject: str, expected: Expected) -> int:
        latest = ask(
            f"latest version of {subject}",
            lambda: self._client.get_version(subject, "latest"),
            SUBJECT_NOT_FOUND,
            VERSION_NOT_FOUND,
        )
        if latest is None or latest.schema_id is None or latest.schema is None:
            raise SchemaMissingError(
                f"the registry has no schema for {subject}",
                why=f"it was never registered; ours is {expected.schema.name}",
                fix=_FIX_REGISTER,
                subject=subject,
            )
        ours, theirs = expected.schema.fingerprint, registered_fingerprint(latest.schema.schema_str)
        if ours != theirs:
            raise SchemaDiffersError(
                f"the registry's schema for {subject} is not this release's",
                why=f"its version {latest.version} has fingerprint {theirs}, ours has {ours}",
                fix=f"{_FIX_REGISTER}; or start the release that registered it",
                subject=subject,
                version=latest.version,
            )
        level = level_of(self._client, subject)
        if level != expected.level:
            raise CompatibilityLevelError(
                f"the compatibility level of {subject} is {level}, not {expected.level}",
                why="somebody changed it, or the subject was made by hand",
                fix=_FIX_REGISTER,
                subject=subject,
            )
        return latest.schema_id

    def writer_schema(self, schema_id: int) -> JsonSchema:
        """The schema that a record names.

        Args:
            schema_id: any number that a record's framing can hold.

        Raises:
            UnknownSchemaIdError: the registry has none of this id, now or a moment ago.
            UnresolvableSchemaError: it has one that is not Avro.
            RegistryUnavailableError: the registry cannot say; the record must be tried again.
        """
        if schema_id in self._known:
            self._known.move_to_end(schema_id)
            return self._known[schema_id]
        now = self._clock()
        if self._unknown_until.get(schema_id, now) > now:
            raise _unknown(schema_id)
        found = ask(
            f"schema {schema_id}", lambda: self._client.get_schema(schema_id), SCHEMA_NOT_FOUND
        )
        if found is None:
            self._unknown_until[schema_id] = now + self._unknown_ttl_s
            self._unknown_until.move_to_end(schema_id)
            if len(self._unknown_until) > self._ids_max:
                self._unknown_until.popitem(last=False)
            raise _unknown(schema_id)
        try:
            schema: JsonSchema = json.loads(found.schema_str or "")
        except ValueError as error:
            raise UnresolvableSchemaError(f"it is {found.schema_type}, not Avro") from error
        self._known[schema_id] = schema
        if len(self._known) > self._ids_max:
            self._known.popitem(last=False)
        return schema


def _unknown(schema_id: int) -> UnknownSchemaIdError:
    return UnknownSchemaIdError(f"the registry has no schema {schema_id}", schema_id=schema_id)
