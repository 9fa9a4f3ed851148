"""Why an input does not count.

Owns: the rejection as a value, and the bounds on text that identifies something.
Does not own: which checks there are (completion.py, commands.py).
Invariant: bad input makes a rejection, never an exception; its detail quotes a bounded part of it.
"""

from typing import Final

from pipeline.core.records import Record

ID_CHARS_MAX: Final = 128
"""Of a user, completion, session or request id; every id that we make fits."""

NAME_CHARS_MAX: Final = 64
"""Of a practice or zone."""

NOTE_CHARS_MAX: Final = 2_000
"""Of a reason that a person gives."""

_QUOTED_CHARS_MAX: Final = 80


class Rejection(Record, frozen=True, gc=False):
    """A reason to put an input aside.

    Attributes:
        stage: always validate here; other layers have their own.
        reason: a stable code in snake_case. detail: for a person, with the fix where there is one.
    """

    stage: str
    reason: str
    detail: str


def rejected(reason: str, detail: str) -> Rejection:
    """Return a rejection by the domain's checks."""
    return Rejection("validate", reason, detail)


def quoted(text: str) -> str:
    """Return any text in a form that is short, printable and encodable."""
    shown = ascii(text[:_QUOTED_CHARS_MAX])
    if len(text) <= _QUOTED_CHARS_MAX and len(shown) <= 2 * _QUOTED_CHARS_MAX:
        return shown
    return f"{shown[:_QUOTED_CHARS_MAX]}... ({len(text)} characters)"


def is_id(text: str) -> bool:
    """Tell whether a text can identify something: 1 to 128 printable characters, not only spaces.

    Control characters and lone surrogates are not printable, so every id can be encoded and shown.
    """
    return 0 < len(text) <= ID_CHARS_MAX and text.isprintable() and not text.isspace()


def bad_id(field: str, value: str) -> Rejection:
    """Return the rejection of an id that `is_id` refuses."""
    return rejected(
        f"bad_{field}",
        f"{field} must have 1 to {ID_CHARS_MAX} printable characters, not {quoted(value)}",
    )


def is_note(text: str) -> bool:
    """Tell whether a text can be kept as a person's words: bounded, and no lone surrogates."""
    return len(text) <= NOTE_CHARS_MAX and not any("\ud800" <= char <= "\udfff" for char in text)
