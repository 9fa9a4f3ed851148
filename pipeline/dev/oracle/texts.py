"""The check that a text can be an id, a practice or a note.

Owns: what an id and a practice may be, by code points; the replacement of lone surrogates.
Does not own: where texts come from (reading.py), the length of anything else.
Invariant: no Unicode database is asked, so every Python gives the same answer.
"""

import re
from typing import Final

ID_CHARS_MAX: Final = 255
PRACTICE_CHARS_MAX: Final = 64
NOTE_CHARS_MAX: Final = 2_000
"""Of a reason or ticket."""

WHITE_SPACE: Final = "\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""The 25 code points with the property White_Space, as a class of a regular expression."""

_IGNORABLE: Final = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Default_Ignorable_Code_Point: drawn as nothing."""

_EMPTY_BRAILLE: Final = "\u2800"
_CONTROL: Final = "\x00-\x1f\x7f-\x9f"
_SURROGATE: Final = "\ud800-\udfff"
_BIDI: Final = "\u202a-\u202e\u2066-\u2069"
_LINE: Final = "\u2028\u2029"

_BLANK_TEXT: Final = re.compile(f"[{WHITE_SPACE}{_IGNORABLE}{_EMPTY_BRAILLE}]*")
_NEVER_IN_AN_ID: Final = re.compile(f"[{_CONTROL}{_SURROGATE}{_BIDI}{_LINE}]")
_NEVER_IN_A_PRACTICE: Final = re.compile(f"[{_CONTROL}{_SURROGATE}]")
_LONE_SURROGATE: Final = re.compile(f"[{_SURROGATE}]")


def is_blank(text: str) -> bool:
    """Tell whether `text` shows nothing."""
    return _BLANK_TEXT.fullmatch(text) is not None


def is_id(text: str | None) -> bool:
    """Tell whether `text` can identify something."""
    return (
        text is not None
        and len(text) <= ID_CHARS_MAX
        and not is_blank(text)
        and not _NEVER_IN_AN_ID.search(text)
    )


def is_practice(text: str) -> bool:
    """Tell whether `text` can say what was practised."""
    return (
        len(text) <= PRACTICE_CHARS_MAX
        and not is_blank(text)
        and not _NEVER_IN_A_PRACTICE.search(text)
    )


def is_note(text: str | None) -> bool:
    """Tell whether a person's words can be kept, if there are any."""
    return text is None or (len(text) <= NOTE_CHARS_MAX and not has_surrogate(text))


def has_surrogate(text: str) -> bool:
    """Tell whether half a character is in `text`: Python joins the halves that belong together."""
    return _LONE_SURROGATE.search(text) is not None


def without_surrogates(text: str) -> str:
    """Return `text` with U+FFFD for each half of a character."""
    return _LONE_SURROGATE.sub("\ufffd", text)
