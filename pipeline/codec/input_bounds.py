"""The bounds of the inputs' texts, the same in Avro and JSON, and how a refusal words them.

Owns: how long a text, how many labels. Does not own: what a text may say (core/texts.py), the forms
(inputs.py, json_inputs.py).
Invariant: a refusal of a field begins with the field's name.
"""

import re
from typing import Final

from pipeline.codec.errors import DecodeError
from pipeline.core.records import COMMAND_KINDS

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
COMMAND_TEXTS: Final = ("request_id", "user_id", "actor", "ticket", "key_id", "withdraws", "tz")

_SHOWN_MAX: Final = 40
_PLAIN_KEY: Final = re.compile(r"[\w-]+", re.ASCII)


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
            raise DecodeError(
                "field_too_long",
                f"context has a key of {len(key)} characters, {shown(key)}; send at most"
                f" {CONTEXT_KEY_CHARS_MAX}",
                schema_id,
            )
        if len(text) > CONTEXT_VALUE_CHARS_MAX:
            raise DecodeError(
                "field_too_long",
                f"{entry_fault(key, 'has', f'{len(text)} characters')}; send at most"
                f" {CONTEXT_VALUE_CHARS_MAX}",
                schema_id,
            )


def unknown_kind(kind: str, schema_id: int | None) -> DecodeError:
    """The refusal of a command that this release does not know."""
    return DecodeError(
        "unknown_kind",
        f"kind is {kind[:TEXT_CHARS_MAX]!r}, which is not known to this release; send one of"
        f" {', '.join(COMMAND_KINDS)}",
        schema_id,
    )


def too_long(name: str, chars: int, chars_max: int, schema_id: int | None) -> DecodeError:
    """The refusal of a text that is too long."""
    return DecodeError(
        "field_too_long",
        f"{name} has {chars} characters; send at most {chars_max}",
        schema_id,
    )


def shown(name: str) -> str:
    """A name from outside as a refusal shows it: quoted and bounded."""
    return repr(name if len(name) <= _SHOWN_MAX else f"{name[:_SHOWN_MAX]}…")


def entry_fault(key: str, verb: str, what: str) -> str:
    """What is wrong with one entry of `context`, in words that begin with the field's name.

    Args:
        key: of any kind.
        verb: `is` or `has`.
        what: the entry's value is or has.
    """
    if len(key) <= _SHOWN_MAX and _PLAIN_KEY.fullmatch(key):
        return f"context.{key} {verb} {what}"
    return f"context has {what} under {shown(key)}"
