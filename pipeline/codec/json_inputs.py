"""The JSON form of the inputs.

Owns: the JSON fields, their types and bounds, and a reason for each way to be wrong.
Does not own: the Avro form (inputs.py), which texts are instants (instants.py).
Invariant: the fields are those of the Avro schemas, each at most once, and no others. An instant is
a text in RFC 3339 with an offset, never a number; a local date is `YYYY-MM-DD`; bytes are base64.

Repeated fields. A JSON parser keeps one of two fields of a name, and two parsers may keep different
ones, so repetition is refused. The parser used here does not tell; but it is cheap to count
quotation marks, and a record without a repetition, a null or an escaped mark has four for each text
field. Only where the count differs is the text parsed a second time by one that tells.
"""

import json
from datetime import date
from typing import Annotated, Final

import msgspec

from pipeline.codec.errors import DecodeError
from pipeline.codec.instants import (
    LOCAL_DATE_MAX,
    LOCAL_DATE_MIN,
    NotAnInstantError,
    instant_ms,
)
from pipeline.core.records import COMMAND_KINDS, Command, PracticeCompleted

TEXT_CHARS_MAX: Final = 256
"""Longest id, name or zone, in characters."""

REASON_CHARS_MAX: Final = 4_096
"""Longest `reason` of a command, in characters."""

CONTEXT_ENTRIES_MAX: Final = 64
CONTEXT_KEY_CHARS_MAX: Final = 128
CONTEXT_VALUE_CHARS_MAX: Final = 1_024

COMPLETION_TEXTS: Final = (
    *("completion_id", "user_id", "session_id", "practice", "tz", "device_id", "app_version"),
)
COMMAND_TEXTS: Final = ("request_id", "user_id", "actor", "ticket", "key_id", "withdraws")

_Text = Annotated[str, msgspec.Meta(max_length=TEXT_CHARS_MAX)]
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_SHOWN_CHARS_MAX: Final = 300
_MARKS_OF_REQUIRED: Final = 7 * 4


class _Completion(msgspec.Struct, forbid_unknown_fields=True, gc=False):
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
    context: dict[str, str] | None = None


class _Command(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    request_id: _Text
    user_id: _Text
    kind: str
    actor: _Text
    reason: Annotated[str, msgspec.Meta(max_length=REASON_CHARS_MAX)] | None = None
    ticket: _Text | None = None
    local_date: date | None = None
    key_id: _Text | None = None
    withdraws: _Text | None = None
    payload: bytes | None = None
    payload_append_time: str | None = None


_decode_completion: Final = msgspec.json.Decoder(_Completion).decode
_decode_command: Final = msgspec.json.Decoder(_Command).decode


def completion(value: bytes) -> PracticeCompleted:
    """A completion from a JSON object.

    Raises:
        DecodeError: it is not one.
    """
    try:
        wire = _decode_completion(value)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _refusal(error) from error
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
        bound_context(context, None)
    if value.count(b'"') != marks:
        _refuse_repeated_fields(value)
    try:
        return PracticeCompleted(
            wire.completion_id,
            wire.user_id,
            wire.session_id,
            wire.practice,
            instant_ms(wire.started_at),
            instant_ms(wire.completed_at),
            wire.tz,
            None if sent_at is None else instant_ms(sent_at),
            wire.device_id,
            wire.app_version,
            context,
        )
    except NotAnInstantError as error:
        texts = {name: getattr(wire, name) for name in ("started_at", "completed_at", "sent_at")}
        name = next(name for name, text in texts.items() if not _is_instant(text))
        raise _not_an_instant(name, texts[name], error) from error


def command(value: bytes) -> Command:
    """A command from a JSON object.

    Raises:
        DecodeError: it is not one.
    """
    try:
        wire = _decode_command(value)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _refusal(error) from error
    _refuse_repeated_fields(value)
    if wire.kind not in COMMAND_KINDS:
        raise unknown_kind(wire.kind, None)
    return Command(
        wire.request_id,
        wire.user_id,
        wire.kind,
        wire.actor,
        wire.reason,
        wire.ticket,
        _local_date(wire.local_date),
        wire.key_id,
        wire.withdraws,
        wire.payload,
        _instant(wire.payload_append_time, "payload_append_time"),
    )


def bound_context(context: dict[str, str], schema_id: int | None) -> None:
    """Refuse a context that is too large.

    Raises:
        DecodeError: more entries, or longer ones, than are carried.
    """
    if len(context) > CONTEXT_ENTRIES_MAX:
        raise DecodeError(
            "collection_too_large",
            f"context has {len(context)} entries; send at most {CONTEXT_ENTRIES_MAX}",
            schema_id,
        )
    for key, text in context.items():
        if len(key) > CONTEXT_KEY_CHARS_MAX:
            raise too_long("a key of context", len(key), CONTEXT_KEY_CHARS_MAX, schema_id)
        if len(text) > CONTEXT_VALUE_CHARS_MAX:
            raise too_long(f"context.{key}", len(text), CONTEXT_VALUE_CHARS_MAX, schema_id)


def too_long(name: str, chars: int, chars_max: int, schema_id: int | None) -> DecodeError:
    """The refusal of a text that is too long."""
    return DecodeError(
        "field_too_long",
        f"{name} has {chars} characters; send at most {chars_max}",
        schema_id,
    )


def unknown_kind(kind: str, schema_id: int | None) -> DecodeError:
    """The refusal of a command that this release does not know."""
    return DecodeError(
        "unknown_kind",
        f"kind {kind[:TEXT_CHARS_MAX]!r} is not known to this release; send one of"
        f" {', '.join(COMMAND_KINDS)}",
        schema_id,
    )


def _instant(text: str | None, name: str) -> int | None:
    if text is None:
        return None
    try:
        return instant_ms(text)
    except NotAnInstantError as error:
        raise _not_an_instant(name, text, error) from error


def _is_instant(text: str | None) -> bool:
    try:
        return text is None or instant_ms(text) is not None
    except NotAnInstantError:
        return False


def _not_an_instant(name: str, text: str, error: NotAnInstantError) -> DecodeError:
    return DecodeError(
        error.reason,
        f"{name} is {text[:40]!r}: {error}; send RFC 3339 with an offset, such as"
        " 2026-03-01T06:30:00.000+01:00",
    )


def _local_date(day: date | None) -> int | None:
    if day is None:
        return None
    days = day.toordinal() - _EPOCH_ORDINAL
    if not LOCAL_DATE_MIN <= days <= LOCAL_DATE_MAX:
        raise DecodeError(
            "date_out_of_range", f"local_date is {day}; send a date of years 2 to 9998"
        )
    return days


def _refuse_repeated_fields(value: bytes) -> None:
    """Refuse an object, already known to be well formed, in which a field occurs twice."""

    def checked(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise DecodeError("duplicate_field", f"field {twice[:40]!r} occurs twice; send it once")
        return found

    json.loads(value, object_pairs_hook=checked)


def _refusal(error: msgspec.MsgspecError | UnicodeDecodeError) -> DecodeError:
    """Why the parser refused, as a stable reason and a text that says the fix."""
    text = str(error)[:_SHOWN_CHARS_MAX]
    if isinstance(error, UnicodeDecodeError):
        return DecodeError("invalid_utf8", "a text of the value is not UTF-8; send JSON in UTF-8")
    if not isinstance(error, msgspec.ValidationError):
        return DecodeError("malformed_json", f"{text}; send one JSON object in UTF-8")
    for reason, beginning, fix in _REFUSALS:
        if text.startswith(beginning):
            return DecodeError(reason, f"{text}; {fix}")
    return DecodeError("wrong_type", f"{text}; send the field as the schema has it")


_REFUSALS: Final = (
    ("missing_field", "Object missing required field", "send every required field"),
    ("unknown_field", "Object contains unknown field", "send the fields of the schema only"),
    ("field_too_long", "Expected `str` of length", "shorten it"),
    ("number_out_of_range", "Number out of range", "no field of ours is a number"),
    ("invalid_date", "Invalid RFC3339 encoded date", "send it as YYYY-MM-DD"),
)
