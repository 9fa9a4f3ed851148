"""The reason why an input becomes a dead letter.

Owns: the rejection as a value, and how it quotes what it rejects.
Does not own: which checks there are (completion.py, commands.py, texts.py).
Invariant: bad input makes a rejection, never an exception; its detail quotes a bounded part of it.
"""

from typing import Final

from pipeline.core.enumerations import Stage
from pipeline.core.records import Record
from pipeline.core.texts import ID_CHARS_MAX

_QUOTED_CHARS_MAX: Final = 80


class Rejection(Record, frozen=True, gc=False):
    """The reason why an input becomes a dead letter.

    Attributes:
        stage: validate for the domain's checks; the worker makes rejections of the others.
        reason: a stable code in snake_case. detail: for a person, with the fix where there is one.
    """

    stage: Stage
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


def bad_id(field: str, value: str) -> Rejection:
    """Return the rejection of an id that `is_id` refuses."""
    return rejected(
        f"bad_{field}",
        f"{field} must have 1 to {ID_CHARS_MAX} characters, not only space, and no control or "
        f"bidirectional ones, not {quoted(value)}",
    )
