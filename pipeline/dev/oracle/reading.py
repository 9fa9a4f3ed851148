"""Raw bytes into events: lenient in what cannot be mistaken, strict in all else.

Owns: which records can be read, and the category of each that cannot.
Does not own: whether a readable event makes sense (users.py, duplicates.py), which texts are
instants (instants.py).
Invariant: nothing but `UnreadableError` leaves `Reader.completion` and `Reader.command`, whatever
the bytes.
"""

import base64
import io
import json
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, Final

import fastavro

from pipeline.dev.oracle.dates import EPOCH
from pipeline.dev.oracle.events import Completion, SupportCommand
from pipeline.dev.oracle.instants import FIRST_MS, LAST_MS, date_of, instant_of
from pipeline.dev.oracle.texts import has_surrogate, without_surrogates

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
JSON_SPACE: Final = b" \t\n\r"
FRAME_BYTES: Final = 5
"""The Confluent frame: a zero byte, then the writer's schema id, big endian."""

TEXT_CHARS_MAX: Final = 256
REASON_CHARS_MAX: Final = 4_096
CONTEXT_ENTRIES_MAX: Final = 64
CONTEXT_KEY_CHARS_MAX: Final = 128
CONTEXT_VALUE_CHARS_MAX: Final = 1_024
JSON_DEPTH_MAX: Final = 100
"""Of objects and arrays in each other, the outermost object among them."""


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
        fields.context()
        fields.label("device_id")
        fields.label("app_version")
        completed_at_ms, offset_minutes = fields.instant("completed_at")
        sent_at_ms, _ = fields.instant("sent_at", optional=True)
        return Completion(
            completion_id=fields.name("completion_id"),
            user_id=fields.name("user_id"),
            session_id=fields.name("session_id"),
            practice=fields.words("practice"),
            started_at_ms=fields.instant("started_at")[0],
            completed_at_ms=completed_at_ms,
            tz=fields.zone("tz"),
            sent_at_ms=sent_at_ms,
            offset_minutes=offset_minutes,
        )

    def command(self, value: bytes | None) -> SupportCommand:
        """Return the command in `value`.

        Raises:
            UnreadableError: it holds none. Operator action: none.
        """
        fields = self._fields(value)
        payload, kind = fields.payload(), fields.name("kind")
        topic = fields.name("payload_topic", optional=True)
        return SupportCommand(
            request_id=fields.name("request_id"),
            user_id=fields.name("user_id"),
            kind=kind,
            actor=fields.name("actor"),
            reason=fields.words("reason", optional=True, chars_max=REASON_CHARS_MAX),
            ticket=fields.name("ticket", optional=True),
            local_date=fields.day("local_date"),
            key_id=fields.name("key_id", optional=True),
            withdraws=fields.name("withdraws", optional=True),
            tz=fields.name("tz", optional=True),
            operation=fields.name("operation", optional=True),
            subject=fields.words("subject", optional=True, chars_max=REASON_CHARS_MAX),
            payload_topic=topic,
            payload_cause=fields.name("payload_cause", optional=True),
            carried_at_ms=fields.instant("payload_append_time", optional=True)[0],
            carried=self._carried(payload, topic) if kind == "redrive" else None,
        )

    def _carried(
        self, payload: bytes | None, topic: str | None
    ) -> Completion | SupportCommand | str | None:
        if payload is None:
            return None
        try:
            return self.command(payload) if topic == "commands" else self.completion(payload)
        except UnreadableError as problem:
            return problem.category

    def _fields(self, value: bytes | None) -> "_Fields":
        if not value:
            raise UnreadableError("empty")
        text = value.lstrip(JSON_SPACE).removeprefix(BYTE_ORDER_MARK).lstrip(JSON_SPACE)
        if text[:1] == b"{":
            return _JsonFields(_from_json(text))
        if value[0] != 0:
            raise UnreadableError("noise")
        return _AvroFields(self._from_avro(value))

    def _from_avro(self, value: bytes) -> dict[str, Any]:
        schema_id = int.from_bytes(value[1:FRAME_BYTES], "big")
        if len(value) < FRAME_BYTES or schema_id not in self._schemas:
            raise UnreadableError("unknown_schema")
        body = io.BytesIO(value[FRAME_BYTES:])
        try:
            record = fastavro.schemaless_reader(body, self._schemas[schema_id], None)
        except UnicodeDecodeError as problem:
            raise UnreadableError("bad_utf8") from problem
        except (
            *(EOFError, IndexError, ValueError, OverflowError),
            *(MemoryError, TypeError, RecursionError),
        ) as problem:
            raise UnreadableError("bad_avro") from problem
        if body.read(1) or not isinstance(record, dict):
            raise UnreadableError("bad_avro")
        return record


class _Fields:
    """One record's fields, asked for by name and type; null is as absent."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def words(self, name: str, *, optional: bool = False, chars_max: int = TEXT_CHARS_MAX) -> Any:
        """Return a text for people, or None where that is allowed."""
        value = self._text(name, optional=optional, chars_max=chars_max)
        return None if value is None else without_surrogates(value)

    def label(self, name: str) -> None:
        """Refuse what is no label: a text for people, of any length, or nothing."""
        self._text(name, optional=True, chars_max=1 << 30)

    def zone(self, name: str) -> str:
        """Return what names a zone."""
        zone: str = self.name(name)
        return zone

    def name(self, name: str, *, optional: bool = False) -> Any:
        """Return a text in which every character matters, or None where that is allowed."""
        value = self._text(name, optional=optional, chars_max=TEXT_CHARS_MAX)
        if value is not None and has_surrogate(value):
            raise UnreadableError("bad_text")
        return value

    def _text(self, name: str, *, optional: bool, chars_max: int) -> str | None:
        value = self.values.get(name)
        if value is None and optional:
            return None
        if type(value) is not str:
            raise UnreadableError("wrong_type")
        if len(value) > chars_max:
            raise UnreadableError("too_long")
        return value

    def instant(self, name: str, *, optional: bool = False) -> tuple[Any, int | None]:
        """Return an instant in milliseconds, or None where that is allowed, and its offset."""
        value = self.values.get(name)
        return (None, None) if value is None and optional else self._instant(value)

    def day(self, name: str) -> date | None:
        """Return a date, or None."""
        value = self.values.get(name)
        return None if value is None else self._day(value)

    def payload(self) -> bytes | None:
        """Return what a command carries, or None."""
        value = self.values.get("payload")
        return None if value is None else self._bytes(value)

    def context(self) -> dict[str, str]:
        """Return the labels."""
        value = self.values.get("context")
        labels = {} if value is None else self._labels(value)
        carried: dict[str, str] = {}
        for key, label in labels.items():
            if len(key) <= CONTEXT_KEY_CHARS_MAX and len(carried) < CONTEXT_ENTRIES_MAX:
                carried[key] = label[:CONTEXT_VALUE_CHARS_MAX]
        return carried

    def _instant(self, value: Any) -> tuple[int, int | None]:
        raise NotImplementedError

    def _day(self, value: Any) -> date:
        raise NotImplementedError

    def _bytes(self, value: Any) -> bytes:
        raise NotImplementedError

    def _labels(self, value: Any) -> dict[str, str]:
        raise NotImplementedError


class _AvroFields(_Fields):
    """Fields that were Avro: instants and dates are numbers, and a text may be written as bytes."""

    def _text(self, name: str, *, optional: bool, chars_max: int) -> str | None:
        value = self.values.get(name)
        if type(value) is bytes:
            try:
                self.values[name] = value.decode()
            except UnicodeDecodeError as problem:
                raise UnreadableError("bad_utf8") from problem
        return super()._text(name, optional=optional, chars_max=chars_max)

    def _instant(self, value: Any) -> tuple[int, int | None]:
        if type(value) is not int or not FIRST_MS <= value <= LAST_MS:
            raise UnreadableError("wrong_type")
        return value, None

    def _day(self, value: Any) -> date:
        if type(value) is not int:
            raise UnreadableError("wrong_type")
        try:
            return EPOCH.date() + timedelta(days=value)
        except OverflowError as problem:
            raise UnreadableError("wrong_type") from problem

    def _bytes(self, value: Any) -> bytes:
        if type(value) not in (bytes, str):
            raise UnreadableError("wrong_type")
        return value.encode() if type(value) is str else bytes(value)

    def _labels(self, value: Any) -> dict[str, str]:
        if type(value) is not dict or not all(type(label) is str for label in value.values()):
            raise UnreadableError("wrong_type")
        return value


class _JsonFields(_Fields):
    """Fields that were JSON: instants and dates are texts; what is not said may be left empty."""

    def label(self, name: str) -> None:
        """As any text; a number or a boolean is one, as it was written."""
        value = self.values.get(name)
        if type(value) in (_Number, bool):
            self.values[name] = str(_label(value))
        super().label(name)

    def zone(self, name: str) -> str:
        """As any name; empty where it is not said."""
        return self.name(name, optional=True) or ""

    def instant(self, name: str, *, optional: bool = False) -> tuple[Any, int | None]:
        """As any instant; an empty text is none."""
        if optional and self.values.get(name) == "":
            return None, None
        return super().instant(name, optional=optional)

    def _instant(self, value: Any) -> tuple[int, int | None]:
        if type(value) is not str:
            raise UnreadableError("wrong_type")
        try:
            return instant_of(value)
        except ValueError as problem:
            raise UnreadableError("bad_instant") from problem

    def _day(self, value: Any) -> date:
        if type(value) is not str:
            raise UnreadableError("wrong_type")
        try:
            return date_of(value)
        except ValueError as problem:
            raise UnreadableError("wrong_type") from problem

    def _bytes(self, value: Any) -> bytes:
        if type(value) is not str:
            raise UnreadableError("wrong_type")
        try:
            return base64.b64decode(value, validate=True)
        except ValueError as problem:
            raise UnreadableError("wrong_type") from problem

    def _labels(self, value: Any) -> dict[str, str]:
        if value == [] and type(value) is list:
            return {}
        if type(value) is not _Object:
            raise UnreadableError("wrong_type")
        return {
            without_surrogates(key): without_surrogates(_label(one))
            for key, one in _once_each(value).items()
            if one is not None
        }


class _Object(list[tuple[str, Any]]):
    """A JSON object's fields as they were written, repetitions and all."""


class _Number(str):
    """A JSON number as it was written."""

    __slots__ = ()


def _from_json(value: bytes) -> dict[str, Any]:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise UnreadableError("bad_utf8") from problem
    try:
        parsed = json.loads(
            text,
            object_pairs_hook=_Object,
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_refuse,
        )
    except (ValueError, RecursionError) as problem:
        raise UnreadableError("bad_json") from problem
    if _depth(parsed) > JSON_DEPTH_MAX:
        raise UnreadableError("bad_json")
    return _once_each(parsed)


def _depth(value: Any) -> int:
    """Return how deep objects and arrays are in each other, level by level."""
    depth, level = 0, [value]
    while level := [one for one in level if isinstance(one, list)]:
        depth += 1
        level = [inner[1] if isinstance(one, _Object) else inner for one in level for inner in one]
    return depth


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _once_each(fields: _Object) -> dict[str, Any]:
    found = dict(fields)
    if len(found) != len(fields):
        raise UnreadableError("repeated_field")
    return found


def _label(value: Any) -> str:
    """A text as it is; anything else as JSON writes it, without white space."""
    return str(value) if type(value) in (str, _Number) else _written(value)


def _written(value: Any) -> str:
    if value is None:
        return "null"
    if type(value) is bool:
        return str(value).lower()
    if type(value) is _Number:
        return str(value)
    if type(value) is _Object:
        inner = [json.dumps(name, ensure_ascii=False) + ":" + _written(one) for name, one in value]
        return "{" + ",".join(inner) + "}"
    if type(value) is list:
        return "[" + ",".join(_written(one) for one in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def without_logical_types(schema: Any) -> Any:
    """Return `schema` with instants and dates as the plain integers they are written as."""
    if isinstance(schema, Mapping):
        return {k: without_logical_types(v) for k, v in schema.items() if k != "logicalType"}
    if isinstance(schema, list):
        return [without_logical_types(part) for part in schema]
    return schema
