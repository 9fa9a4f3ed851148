"""The check that a text can be an id, a practice or a note.

Owns: the code points that are refused, the ones that say nothing by themselves, the lengths.
Does not own: the rejection of a text (rejection.py), how long a text may be to be read at all
(codec/).
Invariants: a verdict depends on the code points listed here and on nothing else, so it is the same
with every release of Python and of Unicode; nothing is normalised, so two ids are the same only
when all their code points are (OpenID Connect Core 1.0, section 14, asks for that of a subject).

Refused is what is dangerous to carry and to show; the rest of a person's language is not for us to
judge: joiners, emoji of next year, no-break and ideographic spaces are part of a practice's name.
"""

import re
from typing import Final

ID_CHARS_MAX: Final = 255
"""Most characters of a user, completion, session or request id, as of an OpenID subject."""

PRACTICE_CHARS_MAX: Final = 64

NOTE_CHARS_MAX: Final = 2_000
"""Most characters of a reason or ticket that a person gives."""

_CONTROLS: Final = "\x00-\x1f\x7f-\x9f"
_SURROGATES: Final = "\ud800-\udfff"
_BIDI: Final = "\u202a-\u202e\u2066-\u2069"
"""Embeddings, overrides and isolates: with them an id is shown as another one than it is."""

_LINES: Final = "\u2028\u2029"
WHITE_SPACE: Final = (
    "\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000"
    "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
)
"""The 25 code points with Unicode's property White_Space, as of Unicode 15.1."""

_INVISIBLE: Final = (
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Joiners, selectors, fillers and the like: parts of a word, but none by themselves. Unicode's
Default_Ignorable_Code_Point, as of Unicode 15.1, and the empty Braille pattern."""

_not_in_id: Final = re.compile(f"[{_CONTROLS}{_SURROGATES}{_BIDI}{_LINES}]").search
_not_in_practice: Final = re.compile(f"[{_CONTROLS}{_SURROGATES}]").search
_not_in_note: Final = re.compile(f"[{_SURROGATES}]").search
_says_something: Final = re.compile(f"[^{WHITE_SPACE}{_INVISIBLE}]").search


def is_id(text: str) -> bool:
    """Tell whether a text can identify something.

    Returns:
        Whether it has 1 to 255 code points, none of them a control character, a lone surrogate, a
        line separator or one that changes the direction of writing, and is more than space.
    """
    if not 0 < len(text) <= ID_CHARS_MAX:
        return False
    if text.isascii():  # which ASCII characters are printable changes with no release
        return text.isprintable() and not text.isspace()
    return _not_in_id(text) is None and not is_blank(text)


def is_practice(text: str) -> bool:
    """Tell whether a text can name what was practised.

    Returns:
        Whether it has 1 to 64 code points, no control character or lone surrogate among them, and
        is more than space.
    """
    if not 0 < len(text) <= PRACTICE_CHARS_MAX:
        return False
    if text.isascii():
        return text.isprintable() and not text.isspace()
    return _not_in_practice(text) is None and not is_blank(text)


def is_note(text: str) -> bool:
    """Tell whether a text can be kept as a person's words: bounded, and no lone surrogates."""
    return len(text) <= NOTE_CHARS_MAX and _not_in_note(text) is None


def is_blank(text: str) -> bool:
    """Tell whether a text says nothing: it is empty, or space and invisible characters alone."""
    return _says_something(text) is None
