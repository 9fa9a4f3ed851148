"""Files of inputs, as `awaway validate` reads them.

Owns: which forms a file may have, and the entries of each.
Does not own: what is said of an entry (verdicts.py), the inputs' own form (codec/).
Invariant: an entry's value is the bytes that would be sent: of what is JSON, those of the file.

| a file | its entries |
|---|---|
| one JSON object | itself |
| a JSON array | its items |
| JSON lines: some line is an object | its lines |
| an Avro container (`Obj`) | its records, of the schema that it carries |
| anything else | one value, as it is: framed Avro too |

Any of these JSON values may be an entry of a log instead, with `topic`, `append_time`, `key` and
`value` (an object, a text as it was sent, or null; `value_base64` for other bytes); and an object
with a `log`, itself or in its `input`, stands for the entries there, called by its `id`; unless it
has the id of a completion or of a command: then it is one, and those are fields like any other.
"""

import base64
import io
import json
from collections.abc import Iterator
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
_IDS: Final = {"completion_id", "request_id"}
_raw_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Batch(msgspec.Struct):
    """What a file holds.

    Attributes:
        entries: in their order.
        read_at: instants at which it asks where its users stand.
        schema: that its Avro records were written with; None without one.
    """

    entries: list[Entry]
    read_at: list[Instant] = []
    schema: JsonSchema | None = None


def entries_of(
    data: bytes, name: str, topic: Topic | None, at: Instant, schema_id: int = -1
) -> Batch:
    """What a file holds.

    Args:
        data: its bytes.
        name: what its entries are called by, with their place where there are several.
        topic: of values that do not say; None: a value with a `request_id` is a command.
        at: append time of values that do not say.
        schema_id: by which the records of a container name the schema that it carries.

    Raises:
        ConfigError: an entry of a log is not one, or a container is broken.
    """
    if data.startswith(CONTAINER):
        return _container(data, name, topic, at, schema_id)
    text = bare(data)
    whole = _parsed(text)
    if isinstance(whole, dict):
        return _object(text, whole, name, topic, at)
    values = _values(text) if whole is None or text[:1] == b"[" else [text]
    values = values or [data]
    batch = Batch([])
    for n, value in enumerate(values):
        called = name if len(values) == 1 else f"{name}[{n}]"
        fields = _parsed(value)
        one = _object(value, fields if isinstance(fields, dict) else {}, called, topic, at)
        batch.entries += one.entries
        batch.read_at += one.read_at
    return batch


def _values(text: bytes) -> list[bytes]:
    """The items of an array, or the lines of JSON lines; none of anything else."""
    values = text.splitlines()
    if text[:1] == b"[":
        try:
            values = cut(text)
        except NotAnArrayError:
            return []
    elif not any(isinstance(_parsed(line), dict) for line in values):
        return []  # lines of one value: to judge each of them would say nothing of it
    return [bare(value) for value in values if bare(value)]


def _parsed(text: bytes) -> Any:
    """A JSON value, only to see which form a file has; None when it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _object(
    text: bytes, fields: dict[str, Any], name: str, topic: Topic | None, at: Instant
) -> Batch:
    inner = fields.get("input")
    inside = inner if isinstance(inner, dict) else fields
    log, read_at = inside.get("log"), inside.get("read_at") or []
    if isinstance(log, list) and not fields.keys() & _IDS:
        called = str(fields.get("id") or name)
        raw = _raw(_raw(text, "input") if inside is inner else text, "log")
        items = cut(raw) if raw else [b""] * len(log)
        entries = [
            _logged(one, item, f"{called}[{n}]", topic, at)
            for n, (one, item) in enumerate(zip(log, items, strict=True))
        ]
        instants = read_at if isinstance(read_at, list) else [read_at]
        return Batch(entries, [_instant(one, called) for one in instants])
    if fields and fields.keys() <= _LOG_FIELDS and fields.keys() & {"value", "value_base64"}:
        return Batch([_logged(fields, text, name, topic, at)])
    return Batch([Entry(name, topic or _topic(fields), at, text)])


def _raw(text: bytes, field: str) -> bytes:
    """A field's own bytes, which say more than its value: names that occur twice, how a number is
    written. Empty where they cannot be told, as of an object with NaN in it."""
    try:
        return bytes(_raw_fields(text).get(field, b""))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return b""


def _topic(fields: dict[str, Any]) -> Topic:
    return "commands" if "request_id" in fields else "completions"


def _logged(one: object, text: bytes, name: str, topic: Topic | None, at: Instant) -> Entry:
    """An entry of a log.

    Args:
        text: its own bytes; empty where they are not known.
    """
    if not isinstance(one, dict):
        raise _no_entry(name, "it is no object")
    value: bytes | None
    sent = one.get("value")
    if "value_base64" in one:
        try:
            value = base64.b64decode(str(one["value_base64"]), validate=True)
        except ValueError as error:
            raise _no_entry(name, f"value_base64: {error}") from error
    elif sent is None:
        value = None
    elif isinstance(sent, str):
        value = sent.encode("utf-8", "surrogatepass")
    else:
        value = _raw(text, "value") or json.dumps(sent).encode()
    said = str(one.get("topic") or "").rpartition(".")[2]
    if said not in ("completions", "commands", ""):
        raise _no_entry(name, f"its topic is {said!r}, neither completions nor commands")
    found: Topic = topic or _topic(sent if isinstance(sent, dict) else {})
    if said:
        found = "commands" if said == "commands" else "completions"
    key = one.get("key")
    return Entry(
        name,
        found,
        _instant(one["append_time"], name) if "append_time" in one else at,
        value,
        None if key is None else str(key).encode("utf-8", "surrogatepass"),
        "key" in one,
    )


def _instant(text: object, name: str) -> Instant:
    try:
        return instant_ms(str(text))
    except NotAnInstantError as error:
        raise _no_entry(name, f"{text!r} is no instant: {error}") from error


def _no_entry(name: str, why: str) -> ConfigError:
    return ConfigError(
        f"{name} is no entry of a log",
        why=readable(why),
        fix="give it topic, append_time (RFC 3339), key and value",
    )


def _container(data: bytes, name: str, topic: Topic | None, at: Instant, schema_id: int) -> Batch:
    try:
        reader = fastavro.block_reader(io.BytesIO(data))
        schema = reader.writer_schema
        records = list(_bodies(reader, schema))
    except Exception as error:  # whatever is wrong with the file, it is the file's
        raise ConfigError(
            f"{name} cannot be read as an Avro container",
            why=readable(f"{type(error).__name__}: {error}"),
            fix="write it anew, uncompressed or with deflate",
        ) from error
    of = schema.get("name", "") if isinstance(schema, dict) else ""
    guessed: Topic = "commands" if str(of).rpartition(".")[2] == "Command" else "completions"
    framing = bytes([MAGIC]) + schema_id.to_bytes(4, "big", signed=True)
    entries = [
        Entry(f"{name}[{n}]", topic or guessed, at, framing + body)
        for n, body in enumerate(records)
    ]
    return Batch(entries, schema=_plain(schema))


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
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read",
            why=str(error),
            fix="name a file that is there",
            path=str(path),
        ) from error
