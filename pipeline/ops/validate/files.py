"""Files of inputs, as `awaway validate` reads them.

Owns: which forms a file may have, and the entries of each.
Does not own: what is said of an entry (verdicts.py), the inputs' own form (codec/).
Invariants: an entry's value is the bytes that would be sent: of what is JSON, those of the file.
What is broken costs itself alone: every entry that can be told is there beside the errors.

| a file | its entries |
|---|---|
| one JSON object | itself |
| a JSON array | its items |
| JSON lines: some line is an object, or no line goes on in the next | its lines |
| an Avro container (`Obj`) | its records, of the schema that it carries |
| anything else | one value, as it is: framed Avro too |

Any of these JSON values may be an entry of a log instead, with `topic`, `append_time`, `key` and
`value` (an object, a text as it was sent, or null; `value_base64` for other bytes); and an object
with a `log`, itself or in its `input`, stands for the entries there, called by its `id`; unless it
has the id of a completion or of a command: then it is one, and those are fields like any other.
"""

import base64
import difflib
import io
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import fastavro
import msgspec

from pipeline.codec.avro import MAGIC
from pipeline.codec.errors import readable
from pipeline.codec.instants import NotAnInstantError, instant_ms
from pipeline.codec.json_array import NotAnArrayError, bare, cut
from pipeline.codec.schemas import JsonSchema
from pipeline.core.records import Instant
from pipeline.errors import ConfigError
from pipeline.ops.validate.verdicts import Entry, Topic

CONTAINER: Final = b"Obj\x01"
_LOG_FIELDS: Final = {"topic", "append_time", "key", "value", "value_base64"}
_VALUES: Final = {"value", "value_base64"}
_IDS: Final = {"completion_id", "request_id"}
_OWN: Final = {*_IDS, "user_id"}
"""Fields of inputs, and never of an entry of a log."""

_is_binary: Final = re.compile(rb"[\x00-\x08\x0e-\x1f]").search
_raw_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Batch(msgspec.Struct):
    """What a file holds.

    Attributes:
        entries: in their order.
        read_at: instants at which it asks where its users stand.
        schema: that its Avro records were written with; None without one.
        errors: of what is no entry, each naming its place.
    """

    entries: list[Entry] = []
    read_at: list[Instant] = []
    schema: JsonSchema | None = None
    errors: list[ConfigError] = []


def entries_of(
    data: bytes, name: str, topic: Topic | None, at: Instant, schema_id: int = -1
) -> Batch:
    """What a file holds.

    Args:
        data: its bytes.
        name: what its entries are called by, with their place where there are several: `[0]` is the
            first item, `:1` the first line.
        topic: of values that do not say; None: a value with a `request_id` is a command.
        at: append time of values that do not say.
        schema_id: by which the records of a container name the schema that it carries.
    """
    found = _Found(topic, at)
    if data.startswith(CONTAINER):
        found.add_container(data, name, schema_id)
    else:
        values = _values(data)
        for place, value in values:
            found.add(value, name if len(values) == 1 else f"{name}{place}")
    batch = found.batch
    if not batch.entries and not batch.errors:
        batch.errors.append(
            ConfigError(f"{name} holds no input", fix="give it a completion or a command")
        )
    return batch


def topic_of(text: str) -> Topic | None:
    """The topic of inputs that is meant, with or without a prefix; None for any other."""
    name = text.rpartition(".")[2]
    return name if name in ("completions", "commands") else None  # type: ignore[return-value]


def _values(data: bytes) -> list[tuple[str, bytes]]:
    """The values of a file that is no container, each with its place."""
    text = bare(data)
    if not text:
        return []
    if text[:1] == b"[":
        try:
            return [(f"[{n}]", item) for n, item in enumerate(cut(text)) if item]
        except NotAnArrayError:
            return [("", data)]
    if isinstance(_parsed(text), dict):
        return [("", text)]
    lines = [(f":{n}", bare(line)) for n, line in enumerate(data.splitlines(), 1)]
    lines = [(place, line) for place, line in lines if line]
    return lines if _are_values([line for _, line in lines]) else [("", data)]


def _are_values(lines: list[bytes]) -> bool:
    """Whether each of some lines is a value, and not a part of one."""
    if any(isinstance(_parsed(line), dict) for line in lines):
        return True
    if len(lines) < 2 or any(map(_is_binary, lines)):
        return False
    first = lines[0]
    goes_on = first.count(b"{") > first.count(b"}")
    return not goes_on or all(line[:1] == b"{" for line in lines)


def _parsed(text: bytes) -> Any:
    """A JSON value, only to see which form a file has; None when it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _raw(text: bytes, field: str) -> bytes:
    """A field's own bytes, which say more than its value: names that occur twice, how a number is
    written. Empty where they cannot be told, as of an object with NaN in it."""
    try:
        return bytes(_raw_fields(text).get(field, b""))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return b""


class _NoEntryError(Exception):
    """Why something is no entry of a log. Operator action: as the error says that it becomes."""


class _Found:
    """Gathers what a file holds.

    Args:
        topic, at: as of `entries_of`.
    """

    def __init__(self, topic: Topic | None, at: Instant) -> None:
        self.batch = Batch()
        self._topic = topic
        self._at = at

    def add(self, text: bytes, name: str) -> None:
        """Add a value: an input, an entry of a log, or a whole log."""
        fields = _parsed(text)
        fields = fields if isinstance(fields, dict) else {}
        inner = fields.get("input")
        inside = inner if isinstance(inner, dict) else fields
        log = inside.get("log")
        if isinstance(log, list) and not fields.keys() & _IDS:
            called = readable(str(fields.get("id") or name))
            raw = _raw(_raw(text, "input") if inside is inner else text, "log")
            items = cut(raw) if raw else [b""] * len(log)
            for n, (one, item) in enumerate(zip(log, items, strict=True)):
                self._add_logged(one, item, f"{called}[{n}]")
            self._add_read_at(inside.get("read_at") or [], called)
        elif _is_logged(fields):
            self._add_logged(fields, text, name, _unknown(fields))
        else:
            self._add_entry(name, self._topic_of(fields), self._at, text)

    def add_container(self, data: bytes, name: str, schema_id: int) -> None:
        """Add the records of an Avro container, up to the first that cannot be read."""
        batch, topic = self.batch, self._topic
        framing = bytes([MAGIC]) + schema_id.to_bytes(4, "big", signed=True)
        try:
            reader = fastavro.block_reader(io.BytesIO(data))
            schema = reader.writer_schema
            batch.schema = _plain(schema)
            of = str(schema.get("name", "")) if isinstance(schema, dict) else ""
            guessed: Topic = "commands" if of.rpartition(".")[2] == "Command" else "completions"
            for n, body in enumerate(_bodies(reader, schema)):
                self._add_entry(f"{name}[{n}]", topic or guessed, self._at, framing + body)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the file, it is the file's
            is_packed = isinstance(error, ValueError) and "codec" in str(error)
            damaged = f"it is cut off or damaged after {len(batch.entries)} records"
            batch.errors.append(
                ConfigError(
                    f"{name} cannot be read as an Avro container",
                    why=readable(str(error)) if is_packed else damaged,
                    fix="write it anew, uncompressed or with deflate",
                )
            )

    def _add_entry(self, name: str, topic: Topic, at: Instant, value: bytes) -> None:
        self.batch.entries.append(Entry(name, topic, at, value))

    def _add_logged(self, one: object, text: bytes, name: str, unknown: Iterable[str] = ()) -> None:
        """Add an entry of a log.

        Args:
            text: its own bytes; empty where they are not known.
            unknown: fields that it ought not to have.
        """
        try:
            self.batch.entries.append(self._logged(one, text, name, list(unknown)))
        except _NoEntryError as error:
            self.batch.errors.append(
                ConfigError(
                    f"{name} is no entry of a log",
                    why=readable(str(error)),
                    fix="give it topic, append_time (RFC 3339), key and value",
                )
            )

    def _logged(self, one: object, text: bytes, name: str, unknown: list[str]) -> Entry:
        if not isinstance(one, dict):
            raise _NoEntryError("it is no object")
        unknown = unknown or _misspelt(one)
        if unknown:
            raise _NoEntryError(f"it looks like one, with fields unknown: {', '.join(unknown)}")
        sent = one.get("value")
        said = str(one.get("topic") or "")
        found = topic_of(said) if said else self._topic_of(sent if isinstance(sent, dict) else {})
        if found is None:
            raise _NoEntryError(f"its topic is {said!r}, neither completions nor commands")
        key = one.get("key")
        return Entry(
            name,
            found,
            _instant(one["append_time"]) if "append_time" in one else self._at,
            _value(one, text),
            None if key is None else str(key).encode("utf-8", "surrogatepass"),
            "key" in one,
        )

    def _add_read_at(self, read_at: object, name: str) -> None:
        for one in read_at if isinstance(read_at, list) else [read_at]:
            try:
                self.batch.read_at.append(_instant(one))
            except _NoEntryError as error:
                self.batch.errors.append(
                    ConfigError(
                        f"a read_at of {name} is not read",
                        why=readable(str(error)),
                        fix="write it as 2026-03-01T06:30:00Z",
                    )
                )

    def _topic_of(self, fields: dict[str, Any]) -> Topic:
        return self._topic or ("commands" if "request_id" in fields else "completions")


def _is_logged(fields: dict[str, Any]) -> bool:
    """Whether an object is meant as an entry of a log, perhaps with a field that is misspelt."""
    has = fields.keys() & _LOG_FIELDS
    return bool(has & _VALUES or {"topic", "append_time"} <= has) and not fields.keys() & _OWN


def _unknown(fields: dict[str, Any]) -> list[str]:
    return [name for name in fields if name not in _LOG_FIELDS]


def _misspelt(fields: dict[str, Any]) -> list[str]:
    """Unknown fields that are meant as one that is not there."""
    absent = [name for name in _LOG_FIELDS if name not in fields]
    return [one for one in _unknown(fields) if difflib.get_close_matches(one, absent, 1, 0.75)]


def _value(one: dict[str, Any], text: bytes) -> bytes | None:
    if "value_base64" in one:
        try:
            return base64.b64decode(str(one["value_base64"]), validate=True)
        except ValueError as error:
            raise _NoEntryError(f"value_base64: {error}") from error
    sent = one.get("value")
    if sent is None:
        return None
    if isinstance(sent, str):
        return sent.encode("utf-8", "surrogatepass")
    return _raw(text, "value") or json.dumps(sent).encode()


def _instant(text: object) -> Instant:
    try:
        return instant_ms(str(text))
    except NotAnInstantError as error:
        raise _NoEntryError(f"{text!r} is no instant: {error}") from error


def _bodies(reader: Any, schema: Any) -> Iterator[bytes]:
    for block in reader:
        for record in block:
            out = io.BytesIO()
            fastavro.schemaless_writer(out, schema, record)
            yield out.getvalue()


def _plain(schema: Any) -> JsonSchema:
    """A schema as JSON has it, without what fastavro keeps beside."""
    if isinstance(schema, dict):
        return {k: _plain(v) for k, v in schema.items() if not k.startswith("__")}
    return [_plain(one) for one in schema] if isinstance(schema, list) else schema


def read_file(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        ConfigError: it cannot be read.
    """
    fixes: dict[type[OSError], str] = {
        IsADirectoryError: "name a file, not a folder",
        PermissionError: "let it be read by you",
        FileNotFoundError: "name a file that is there",
    }
    shown = readable(str(path))
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{shown} cannot be read",
            why=error.strerror or str(error),
            fix=fixes.get(type(error), "name a file that can be read"),
            path=shown,
        ) from error
