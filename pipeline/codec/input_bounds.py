"""The bounds of the inputs' texts, the same in Avro and JSON, and how a refusal words them.

Owns: how long a text may be, how much of the labels is carried.
Does not own: what a text may say, and how long those may be that a verdict depends on
(core/texts.py), the forms (inputs.py, json_inputs.py).
Invariant: a refusal of a field begins with the field's name.
"""

from typing import Final

from pipeline.codec.errors import DecodeError
from pipeline.core.enumerations import SENDABLE
from pipeline.core.texts import ID_CHARS_MAX, PRACTICE_CHARS_MAX

TEXT_CHARS_MAX: Final = 256
"""Max characters of an id, name or zone that is read; the core accepts fewer of some."""

_TAKEN_CHARS_MAX: Final = {
    **dict.fromkeys(
        (
            *("completion_id", "user_id", "session_id", "request_id", "actor", "withdraws"),
            "operation",
        ),
        ID_CHARS_MAX,
    ),
    "practice": PRACTICE_CHARS_MAX,
}

REASON_CHARS_MAX: Final = 4_096
"""Max characters of a command's `reason`, and of its other long texts."""

CONTEXT_ENTRIES_MAX: Final = 64
CONTEXT_KEY_CHARS_MAX: Final = 128
CONTEXT_VALUE_CHARS_MAX: Final = 1_024

COMPLETION_TEXTS: Final = ("completion_id", "user_id", "session_id", "practice", "tz")
COMPLETION_LABELS: Final = ("device_id", "app_version")
"""Fields that nothing interprets: one longer than `TEXT_CHARS_MAX` is cut, not refused."""

COMMAND_TEXTS: Final = (
    *("request_id", "user_id", "actor", "ticket", "key_id", "withdraws", "tz"),
    *("operation", "payload_topic"),
)
COMMAND_LONG_TEXTS: Final = ("reason", "subject", "payload_cause")
"""Fields of a command that may have `REASON_CHARS_MAX` characters."""

_SHOWN_MAX: Final = 40


def bounded(context: dict[str, str]) -> dict[str, str]:
    """Return as much of a context as is carried.

    Returns:
        The same object when all of it is. Else the first `CONTEXT_ENTRIES_MAX` entries whose keys
        are not too long, each text cut to `CONTEXT_VALUE_CHARS_MAX`: nothing interprets a label, so
        none costs a completion.
    """
    if len(context) <= CONTEXT_ENTRIES_MAX and all(
        len(key) <= CONTEXT_KEY_CHARS_MAX and len(text) <= CONTEXT_VALUE_CHARS_MAX
        for key, text in context.items()
    ):
        return context
    kept = [
        (key, text[:CONTEXT_VALUE_CHARS_MAX])
        for key, text in context.items()
        if len(key) <= CONTEXT_KEY_CHARS_MAX
    ]
    return dict(kept[:CONTEXT_ENTRIES_MAX])


def unknown_kind(kind: str, schema_id: int | None) -> DecodeError:
    """Return the refusal of a command that this release does not know; it names those it knows."""
    return DecodeError(
        "unknown_kind",
        f"kind is {kind[:TEXT_CHARS_MAX]!r}, which is not known to this release; send one of"
        f" {', '.join(SENDABLE)}",
        schema_id,
    )


def too_long(name: str, chars: int, chars_max: int, schema_id: int | None) -> DecodeError:
    """Return the refusal of a text that is too long."""
    return DecodeError(
        "field_too_long",
        f"{name} has {chars} characters; send at most {_TAKEN_CHARS_MAX.get(name, chars_max)}",
        schema_id,
    )


def shown(name: str) -> str:
    """Return a name from outside as a refusal shows it: quoted and bounded."""
    return repr(name if len(name) <= _SHOWN_MAX else f"{name[:_SHOWN_MAX]}…")
