"""The JSON form of the inputs.

Owns: which values are JSON, and the fast reading of a completion that is as most are.
Does not own: what is taken and what is refused (json_exact.py), the Avro form (inputs.py).
Invariant: what the fast reading takes, the exact one takes as the same record; what it does not
take is read exactly, so that only one place takes liberties and says what is wrong.

The fast reading is a typed parser that tells neither a field that it skips nor a name that occurs
twice. But it is cheap to count quotation marks, and a record of texts without either has four for
each field. Where the count differs, escaped marks are left out of it, and a map of the fields as
they were sent accounts for unknown fields and for nulls. More marks than that are a name that
occurs twice.
"""

from collections.abc import Callable
from typing import Annotated, Final

import msgspec

from pipeline.codec.input_bounds import (
    CONTEXT_ENTRIES_MAX,
    CONTEXT_KEY_CHARS_MAX,
    CONTEXT_VALUE_CHARS_MAX,
    TEXT_CHARS_MAX,
)
from pipeline.codec.instants import NotAnInstantError, instant_and_offset, instant_ms
from pipeline.codec.json_exact import (
    COMPLETION_FIELDS,
    COMPLETION_REQUIRED,
    exact_command,
    exact_completion,
)
from pipeline.codec.json_object import BYTE_ORDER_MARK, DEPTH_MAX, WHITE_SPACE, bare
from pipeline.core.records import Command, PracticeCompleted

_Text = Annotated[str, msgspec.Meta(max_length=TEXT_CHARS_MAX)]
_ContextKey = Annotated[str, msgspec.Meta(max_length=CONTEXT_KEY_CHARS_MAX)]
_ContextValue = Annotated[str, msgspec.Meta(max_length=CONTEXT_VALUE_CHARS_MAX)]
_Context = Annotated[dict[_ContextKey, _ContextValue], msgspec.Meta(max_length=CONTEXT_ENTRIES_MAX)]
_MARKS_OF_REQUIRED: Final = 4 * len(COMPLETION_REQUIRED)
_OBJECT_START: Final = ord("{")
_BEFORE_OBJECT: Final = frozenset(WHITE_SPACE + BYTE_ORDER_MARK[:1])


class _Completion(msgspec.Struct, gc=False):
    completion_id: _Text
    user_id: _Text
    session_id: _Text
    practice: _Text
    started_at: str
    completed_at: str
    tz: _Text
    sent_at: str | None = None
    device_id: _Text | None = None
    app_version: _Text | None = None
    context: _Context | None = None


_OPTIONAL: Final = tuple(COMPLETION_FIELDS - set(COMPLETION_REQUIRED))

_decode_completion: Final = msgspec.json.Decoder(_Completion).decode
_decode_fields: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class _UnaccountedError(Exception):
    """The usual reading cannot say that no name occurs twice.

    **Operator action**: none; the record is read exactly, and nothing else sees this.
    """


_UNUSUAL: Final = (
    *(msgspec.MsgspecError, UnicodeDecodeError, RecursionError),
    *(NotAnInstantError, _UnaccountedError),
)


def is_json(value: bytes) -> bool:
    """Return whether a value is meant as JSON: it begins with {, after a BOM and white space.

    Args:
        value: not empty.
    """
    first = value[0]
    if first == _OBJECT_START:
        return True
    if first not in _BEFORE_OBJECT:
        return False
    return bare(value)[:1] == b"{"


def completion(
    value: bytes, count_ignored: Callable[[int], None] | None = None
) -> PracticeCompleted:
    """Read a completion from a JSON object.

    Args:
        value: for which `is_json` says yes.
        count_ignored: called with the number of fields, 1 and up, that are none of ours, for a
            completion that is taken.

    Raises:
        DecodeError: it is not one.
    """
    try:
        wire = _decode_completion(value)
        sent_at, context = wire.sent_at, wire.context
        marks = _MARKS_OF_REQUIRED
        if sent_at is not None:
            marks += 4
        if wire.device_id is not None:
            marks += 4
        if wire.app_version is not None:
            marks += 4
        if context is None:
            context = {}
        else:
            marks += 2 + 4 * len(context)
        ignored = 0 if value.count(b'"') == marks else _ignored(value, wire, marks)
        completed_at, offset_minutes = instant_and_offset(wire.completed_at)
        record = PracticeCompleted(
            wire.completion_id,
            wire.user_id,
            wire.session_id,
            wire.practice,
            instant_ms(wire.started_at),
            completed_at,
            wire.tz,
            None if sent_at is None else instant_ms(sent_at),
            wire.device_id,
            wire.app_version,
            context,
            offset_minutes,
        )
    except _UNUSUAL:
        record, ignored = exact_completion(value)
    if ignored and count_ignored is not None:
        count_ignored(ignored)
    return record


def command(value: bytes, count_ignored: Callable[[int], None] | None = None) -> Command:
    """Read a command from a JSON object. Commands are few: they are always read exactly.

    Args:
        value, count_ignored: as of `completion`.

    Raises:
        DecodeError: it is not one.
    """
    record, ignored = exact_command(value)
    if ignored and count_ignored is not None:
        count_ignored(ignored)
    return record


def _ignored(value: bytes, wire: _Completion, accounted: int) -> int:
    """Count the fields of an object that are none of ours.

    Args:
        value: the object. wire: the typed reading of it.
        accounted: quotation marks around the names and texts in `wire`.

    Raises:
        _UnaccountedError: there are more of them.
    """
    marks = _marks(value)
    if marks == accounted:
        return 0
    if value.count(b"{") + value.count(b"[") > DEPTH_MAX or not _is_utf8(value):
        raise _UnaccountedError
    fields = _decode_fields(value)
    others = fields.keys() - COMPLETION_FIELDS
    for name in others:
        accounted += 2 + _marks(bytes(fields[name]))
    for name in _OPTIONAL:
        if getattr(wire, name) is None and name in fields:
            accounted += 2
    if marks != accounted:
        raise _UnaccountedError
    return len(others)


def _marks(json: bytes) -> int:
    """Count the quotation marks that begin or end a text, in JSON known to be well-formed."""
    if b"\\" not in json:
        return json.count(b'"')
    json = json.replace(rb"\\", b"")
    return json.count(b'"') - json.count(rb"\"")


def _is_utf8(value: bytes) -> bool:
    """Return whether a value is UTF-8; the typed parser does not look into what it skips."""
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
