"""Completions and commands from JSON, field by field.

Owns: the fields, which liberties are taken with them, and a text for each refusal.
Does not own: JSON itself (json_object.py), which texts are instants (instants.py), how much is
taken (input_bounds.py), the fast reading (json_inputs.py).
Invariant: the fields are those of the Avro schemas, each at most once; others are ignored, as in
Avro, and counted. An instant is a text in RFC 3339 with an offset, never a number; a local date is
`YYYY-MM-DD`; bytes are base64. A zone that is absent or null is an empty one: a browser that knows
none leaves it out, and the offset of the end can stand in (core/completion.py). Half a character,
a lone surrogate, is replaced in what nothing interprets, and refused in what tells one user,
session or request from another. A label may be any JSON; what is no text is carried as its JSON
text.
"""

import re
from binascii import a2b_base64
from datetime import date
from typing import Final

from pipeline.codec.errors import DecodeError
from pipeline.codec.input_bounds import (
    REASON_CHARS_MAX,
    TEXT_CHARS_MAX,
    bounded,
    shown,
    unknown_kind,
)
from pipeline.codec.instants import LOCAL_DATE_MAX, LOCAL_DATE_MIN
from pipeline.codec.json_object import (
    Fields,
    JsonValue,
    by_name,
    json_text,
    mended,
    wrong_type,
)
from pipeline.core.enumerations import COMMAND_KINDS
from pipeline.core.records import Command, PracticeCompleted

COMPLETION_REQUIRED: Final = PracticeCompleted.__struct_fields__[:7]
_COMPLETION_NEEDED: Final = COMPLETION_REQUIRED[:6]
COMPLETION_FIELDS: Final = frozenset(PracticeCompleted.__struct_fields__) - {"offset_minutes"}

_COMMAND_REQUIRED: Final = Command.__struct_fields__[:4]
_COMMAND_FIELDS: Final = frozenset(Command.__struct_fields__)
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_BASE64: Final = re.compile("[A-Za-z0-9+/]*={0,2}")


def exact_completion(value: bytes) -> tuple[PracticeCompleted, int]:
    """Read a completion from a JSON object.

    Returns:
        The completion, and how many fields of the object are none of its own.

    Raises:
        DecodeError: it is not one.
    """
    fields = Fields(value, COMPLETION_FIELDS, _COMPLETION_NEEDED)
    completion_id = fields.text("completion_id", TEXT_CHARS_MAX)
    user_id = fields.text("user_id", TEXT_CHARS_MAX)
    session_id = fields.text("session_id", TEXT_CHARS_MAX)
    practice = fields.text("practice", TEXT_CHARS_MAX, mend=True)
    started_at, _ = fields.instant("started_at")
    completed_at, offset_minutes = fields.instant("completed_at")
    record = PracticeCompleted(
        completion_id,
        user_id,
        session_id,
        practice,
        started_at,
        completed_at,
        fields.optional_text("tz", TEXT_CHARS_MAX) or "",
        fields.optional_instant("sent_at"),
        fields.optional_label("device_id", TEXT_CHARS_MAX),
        fields.optional_label("app_version", TEXT_CHARS_MAX),
        _context(fields.value("context")),
        offset_minutes,
    )
    return record, fields.ignored


def exact_command(value: bytes) -> tuple[Command, int]:
    """Read a command from a JSON object; otherwise as `exact_completion`."""
    fields = Fields(value, _COMMAND_FIELDS, _COMMAND_REQUIRED)
    request_id = fields.text("request_id", TEXT_CHARS_MAX)
    user_id = fields.text("user_id", TEXT_CHARS_MAX)
    kind = fields.text("kind", len(value), mend=True)
    if kind not in COMMAND_KINDS:
        raise unknown_kind(kind, None)
    record = Command(
        request_id,
        user_id,
        kind,
        fields.text("actor", TEXT_CHARS_MAX),
        fields.optional_text("reason", REASON_CHARS_MAX, mend=True),
        fields.optional_text("ticket", TEXT_CHARS_MAX),
        _local_date(fields.value("local_date")),
        fields.optional_text("key_id", TEXT_CHARS_MAX),
        fields.optional_text("withdraws", TEXT_CHARS_MAX),
        _payload(fields.value("payload")),
        fields.optional_instant("payload_append_time"),
        fields.optional_text("tz", TEXT_CHARS_MAX),
        fields.optional_text("operation", TEXT_CHARS_MAX),
        fields.optional_text("subject", REASON_CHARS_MAX, mend=True),
        fields.optional_text("payload_topic", TEXT_CHARS_MAX),
        fields.optional_text("payload_cause", REASON_CHARS_MAX),
    )
    return record, fields.ignored


def _context(found: JsonValue) -> dict[str, str]:
    """Return a completion's labels as texts, but for nulls. PHP writes an empty map as an
    empty array."""
    if found is None or found == []:
        return {}
    if type(found) is not tuple:
        raise wrong_type("context", found, "an object of texts")
    labels = by_name(found, "context has the key {} twice")
    return bounded(
        {
            mended(key): mended(value if type(value) is str else json_text(value))
            for key, value in labels.items()
            if value is not None
        }
    )


def _local_date(found: JsonValue) -> int | None:
    if found is None:
        return None
    if type(found) is not str:
        raise wrong_type("local_date", found, "a text, YYYY-MM-DD")
    if not _DATE.fullmatch(found):
        raise DecodeError(
            "invalid_date", f"local_date is {shown(found)}, which is no date; send it as YYYY-MM-DD"
        )
    try:
        days = date.fromisoformat(found).toordinal() - _EPOCH_ORDINAL
    except ValueError as error:
        raise DecodeError(
            "invalid_date", f"local_date is {found!r}: there is no such date; send one that is"
        ) from error
    if not LOCAL_DATE_MIN <= days <= LOCAL_DATE_MAX:
        raise DecodeError(
            "date_out_of_range", f"local_date is {found}; send a date of years 2 to 9998"
        )
    return days


def _payload(found: JsonValue) -> bytes | None:
    if found is None:
        return None
    if type(found) is not str:
        raise wrong_type("payload", found, "a text in base64")
    if len(found) % 4 or not _BASE64.fullmatch(found):
        raise DecodeError(
            "wrong_type", "payload is a text that is not base64; send base64 with its padding"
        )
    return a2b_base64(found)
