"""Raw bytes into events, strictly.

Owns: telling a readable record from garbage, and naming the kind of garbage.
Does not own: whether a readable event makes sense (users.py, duplicates.py).
Invariant: nothing but `UnreadableError` leaves `Reader.completion` and `Reader.command`, whatever
the bytes.
"""

import io
import json
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final

import fastavro

from pipeline.oracle.dates import EPOCH
from pipeline.oracle.events import Completion, SupportCommand

RFC_3339: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
FRAME_BYTES: Final = 5
"""The Confluent frame: a zero byte, then the writer's schema id, big endian."""


class UnreadableError(Exception):
    """The bytes are not an event. **Operator action**: none; it belongs in the dead letters.

    Attributes:
        category: what is wrong, in snake_case.
    """

    def __init__(self, category: str) -> None:
        super().__init__(category)
        self.category = category


class Reader:
    """Reads Avro by the writers' schemas it is given, and JSON of the same fields."""

    def __init__(self, schemas: Mapping[int, Mapping[str, Any]]) -> None:
        """Take the schemas that the registry knows for the topic, by id."""
        self._schemas = {
            schema_id: fastavro.parse_schema(without_logical_types(schema))
            for schema_id, schema in schemas.items()
        }

    def completion(self, value: bytes | None) -> Completion:
        """Return the completion in `value`.

        Raises:
            UnreadableError: it holds none. Operator action: none.
        """
        fields = self._fields(value)
        context = fields.take("context", dict, default={})
        if not all(type(k) is str and type(v) is str for k, v in context.items()):
            raise UnreadableError("wrong_type")
        fields.take("device_id", str, default=None)
        fields.take("app_version", str, default=None)
        return Completion(
            completion_id=fields.take("completion_id", str),
            user_id=fields.take("user_id", str),
            session_id=fields.take("session_id", str),
            practice=fields.take("practice", str),
            started_at_ms=fields.instant("started_at"),
            completed_at_ms=fields.instant("completed_at"),
            tz=fields.take("tz", str),
            sent_at_ms=fields.instant("sent_at", optional=True),
        )

    def command(self, value: bytes | None) -> SupportCommand:
        """Return the command in `value`.

        Raises:
            UnreadableError: it holds none. Operator action: none.
        """
        fields = self._fields(value)
        return SupportCommand(
            request_id=fields.take("request_id", str),
            user_id=fields.take("user_id", str),
            kind=fields.take("kind", str),
            actor=fields.take("actor", str),
            reason=fields.take("reason", str, default=None),
            ticket=fields.take("ticket", str, default=None),
            local_date=fields.day("local_date"),
            key_id=fields.take("key_id", str, default=None),
            withdraws=fields.take("withdraws", str, default=None),
        )

    def _fields(self, value: bytes | None) -> "_Fields":
        if not value:
            raise UnreadableError("empty")
        if value[:1] == b"{":
            return _Fields(_from_json(value), instants_from=_rfc_3339_ms, days_from=_iso_days)
        if value[0] != 0:
            raise UnreadableError("noise")
        return _Fields(self._from_avro(value), instants_from=_plain, days_from=_plain)

    def _from_avro(self, value: bytes) -> dict[str, Any]:
        schema_id = int.from_bytes(value[1:FRAME_BYTES], "big")
        if len(value) < FRAME_BYTES or schema_id not in self._schemas:
            raise UnreadableError("unknown_schema")
        body = io.BytesIO(value[FRAME_BYTES:])
        try:
            record = fastavro.schemaless_reader(body, self._schemas[schema_id], None)
        except UnicodeDecodeError as problem:
            raise UnreadableError("bad_utf8") from problem
        except (EOFError, IndexError, ValueError, OverflowError, MemoryError, TypeError) as problem:
            raise UnreadableError("bad_avro") from problem
        if body.read(1) or not isinstance(record, dict):
            raise UnreadableError("bad_avro")
        return record


class _Fields:
    """One record's fields, asked for by name and type."""

    def __init__(
        self,
        values: dict[str, Any],
        *,
        instants_from: Callable[[Any], int],
        days_from: Callable[[Any], int],
    ) -> None:
        self._values = values
        self._instant_from = instants_from
        self._days_from = days_from

    def take(self, name: str, kind: type, **default: Any) -> Any:
        """Return field `name`, which must be a `kind`; the default only where there is one."""
        value = self._values.get(name)
        if value is None and "default" in default:
            return default["default"]
        if type(value) is not kind:
            raise UnreadableError("wrong_type")
        return value

    def instant(self, name: str, *, optional: bool = False) -> Any:
        """Return an instant in milliseconds, or None where that is allowed."""
        value = self._values.get(name)
        if value is None and optional:
            return None
        return self._instant_from(value)

    def day(self, name: str) -> date | None:
        """Return a date, or None."""
        value = self._values.get(name)
        if value is None:
            return None
        try:
            return EPOCH.date() + timedelta(days=self._days_from(value))
        except OverflowError as problem:
            raise UnreadableError("wrong_type") from problem


def _from_json(value: bytes) -> dict[str, Any]:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise UnreadableError("bad_utf8") from problem
    try:
        parsed = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as problem:
        raise UnreadableError("bad_json") from problem
    return dict(parsed)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _plain(value: Any) -> int:
    if type(value) is not int:
        raise UnreadableError("wrong_type")
    return value


def _rfc_3339_ms(value: Any) -> int:
    if type(value) is not str or not RFC_3339.fullmatch(value):
        raise UnreadableError("wrong_type")
    try:
        instant = datetime.fromisoformat(value.upper())
        return (instant - EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError) as problem:
        raise UnreadableError("wrong_type") from problem


def _iso_days(value: Any) -> int:
    if type(value) is not str:
        raise UnreadableError("wrong_type")
    try:
        return (date.fromisoformat(value) - EPOCH.date()).days
    except ValueError as problem:
        raise UnreadableError("wrong_type") from problem


def without_logical_types(schema: Any) -> Any:
    """Return `schema` with instants and dates as the plain integers they are written as."""
    if isinstance(schema, Mapping):
        return {k: without_logical_types(v) for k, v in schema.items() if k != "logicalType"}
    if isinstance(schema, list):
        return [without_logical_types(part) for part in schema]
    return schema
