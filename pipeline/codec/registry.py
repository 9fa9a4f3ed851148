"""The schema registry, as the codec needs it.

Owns: our schemas' ids at start, the refusal to run on others, schemas by id for those who read what
is published.
Does not own: registering (ops/schemas/sync.py; a worker never registers anything), requests and
what their answers mean (registry_client.py), the schemas of inputs in a worker (writers.py).
Invariants: an id is never called unknown unless the registry itself said so; ids are never compared
between registries, fingerprints are; each cache is bounded.
"""

import json
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import msgspec
from confluent_kafka.schema_registry import SchemaRegistryClient

from pipeline.codec.avro_reader import AvroReader, UnresolvableSchemaError, parse_writer_schema
from pipeline.codec.errors import (
    CompatibilityLevelError,
    RegistryError,
    SchemaDiffersError,
    SchemaMissingError,
    UnknownSchemaIdError,
)
from pipeline.codec.registry_client import (
    ASKED_AT_ONCE,
    Version,
    ask,
    connect,
    level_of,
    schema_of,
    version_numbers,
    version_of,
)
from pipeline.codec.schemas import JsonSchema, Schema, fingerprint_of

__all__ = [
    "Expected",
    "SchemaResolver",
    "ask",
    "connect",
    "level_of",
    "registered_fingerprint",
    "registered_version",
    "unreadable",
    "way_out",
]

_FIX_REGISTER: Final = "run `awaway schemas plan`, then `awaway schemas register`"

logger = logging.getLogger(__name__)


class Expected(msgspec.Struct, frozen=True):
    """The state that a subject must have: our schema, and the level that keeps its other side safe.

    Attributes:
        schema: ours.
        level: of compatibility.
        is_input: producers write the subject's records and may register newer versions, as long as
            we can read them; of an output the latest version is ours.
    """

    schema: Schema
    level: str
    is_input: bool = False


def registered_fingerprint(text: str | None) -> str | None:
    """Return the fingerprint of a registered text; None when it is not Avro's JSON."""
    try:
        return fingerprint_of(json.loads(text or ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def unreadable(version: Version, ours: Schema) -> str | None:
    """Return why a worker cannot read what was written with a version; None when it can.

    Its own reader is the judge.
    """
    if version.kind != "AVRO":
        return f"it is {version.kind}, not Avro"
    try:
        AvroReader(parse_writer_schema(version.text), ours)
    except UnresolvableSchemaError as error:
        return str(error)
    return None


def registered_version(client: SchemaRegistryClient, subject: str, ours: Schema) -> Version | None:
    """Return the subject's version that is our schema; None when it was never registered.

    Raises:
        RegistryUnavailableError: the registry cannot say.
    """
    for number in reversed(version_numbers(client, subject)):
        version = version_of(client, subject, number)
        if version is not None and registered_fingerprint(version.text) == ours.fingerprint:
            return version
    return None


def way_out(subject: str, version: int) -> str:
    """Return the message that says how to remove a version that stands in the way."""
    return (
        f"start the release that goes with version {version}; or, if nobody needs it, delete it at"
        f" the registry (DELETE /subjects/{subject}/versions/{version}) and keep its producer from"
        " registering it again (auto.register.schemas=false)"
    )


class SchemaResolver:
    """Asks one registry, and remembers what it may.

    `writer_schema` is for the records of workers; what anybody else may have written is read with
    `writers.SubjectSchemas`, which a flood of ids cannot slow down.

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
        """Return the ids of our schemas, if the registry has them as we do.

        Args:
            expected: by subject.

        Returns:
            Schema id by subject, in the same order; of an input that has only other schemas than
            ours, that of the latest.

        Raises:
            SchemaMissingError, SchemaDiffersError, CompatibilityLevelError: the kind of the first
                subject that is wrong; the message names all of them. The latest version of an
                input need not be ours, if we can read it.
            RegistryUnavailableError: the registry cannot say.
        """
        ids: dict[str, int] = {}
        wrong: list[RegistryError] = []
        with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:  # a worker's start waits for all of them
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
        ours = expected.schema
        latest = version_of(self._client, subject)
        if latest is None:
            raise SchemaMissingError(
                f"the registry has no schema for {subject}",
                why=f"it was never registered; ours is {ours.name}",
                fix=_FIX_REGISTER,
                subject=subject,
            )
        theirs = registered_fingerprint(latest.text)
        schema_id = latest.schema_id
        if ours.fingerprint != theirs:
            self._check_other(subject, expected, latest, theirs)
            registered = registered_version(self._client, subject, ours)
            schema_id = schema_id if registered is None else registered.schema_id
        level = level_of(self._client, subject)
        if level != expected.level:
            raise CompatibilityLevelError(
                f"the compatibility level of {subject} is {level}, not {expected.level}",
                why="somebody changed it, or the subject was made by hand",
                fix=_FIX_REGISTER,
                subject=subject,
            )
        return schema_id

    def _check_other(
        self, subject: str, expected: Expected, latest: Version, theirs: str | None
    ) -> None:
        """Take a latest version that is not ours, if it is an input's that we can read."""
        number = latest.number
        if not expected.is_input:
            raise SchemaDiffersError(
                f"the registry's schema for {subject} is not this release's",
                why=f"its version {number} has fingerprint {theirs}, ours has"
                f" {expected.schema.fingerprint}",
                fix=f"{_FIX_REGISTER}; or {way_out(subject, number)}",
                subject=subject,
                version=number,
            )
        problem = unreadable(latest, expected.schema)
        if problem is not None:
            raise SchemaDiffersError(
                f"this release cannot read the latest schema of {subject}",
                why=f"version {number}: {problem}",
                fix=way_out(subject, number),
                subject=subject,
                version=number,
            )
        logger.info(
            "version %d of %s is not this release's, and can be read: fields that it does not know"
            " are left out; `awaway schemas plan` shows them",
            number,
            subject,
        )

    def writer_schema(self, schema_id: int) -> JsonSchema:
        """Return the schema that a record names.

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
        found = schema_of(self._client, schema_id)
        if found is None:
            self._unknown_until[schema_id] = now + self._unknown_ttl_s
            self._unknown_until.move_to_end(schema_id)
            if len(self._unknown_until) > self._ids_max:
                self._unknown_until.popitem(last=False)
            raise _unknown(schema_id)
        text: Any = found.schema_str
        if found.schema_type not in (None, "AVRO") or not isinstance(text, str):
            raise UnresolvableSchemaError(f"it is {found.schema_type}, not Avro")
        schema: JsonSchema = parse_writer_schema(text)
        self._known[schema_id] = schema
        if len(self._known) > self._ids_max:
            self._known.popitem(last=False)
        return schema


def _unknown(schema_id: int) -> UnknownSchemaIdError:
    return UnknownSchemaIdError(
        f"the registry has no schema {schema_id}",
        fix="register the schema before sending, in the registry that this pipeline uses",
        schema_id=schema_id,
    )
