"""JSON text to the fields of one object, exactly.

Owns: which bytes are one JSON object, the types of its fields, and a text for each way to be wrong.
Does not own: which fields there are (json_inputs.py), which texts are instants (instants.py).
Invariant: the verdict is a function of the bytes alone, on every Python, and the work is
proportional to their number; every refusal of a field begins with the field's name.

What a value becomes: a text is `str`, lone surrogates kept; a number is `bytes`, exactly as it was
written, so that nothing of it is lost and no conversion has a limit; an array is a `list`; an
object is a `tuple` of pairs, so that it still shows a name that occurs twice.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Set
from itertools import accumulate, islice
from typing import Any, Final, NoReturn, TypeAlias

from pipeline.codec.errors import DecodeError
from pipeline.codec.input_bounds import shown, too_long
from pipeline.codec.instants import NotAnInstantError, instant_and_offset

JsonValue: TypeAlias = str | bytes | bool | list[Any] | tuple[Any, ...] | None

DEPTH_MAX: Final = 100
"""Max nesting of objects and arrays. It is far below what a parser's own recursion bears, which
would depend on the Python and on who calls."""

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
WHITE_SPACE: Final = b" \t\n\r"

_SHOWN_MAX: Final = 40
_NAMES_SHOWN_MAX: Final = 3
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_STEPS: Final = {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}
_NO_BRACKETS: Final = bytes(set(range(256)) - _STEPS.keys())


class Fields:
    """Holds the fields of one object, which are asked for by name.

    Args:
        value: the object's bytes.
        known: names that are asked for; others are ignored.
        required: those of `known` that must be there.

    Raises:
        DecodeError: the value is not one JSON object in UTF-8, a name occurs twice, or a required
            one is missing.
    """

    def __init__(self, value: bytes, known: Set[str], required: Iterable[str]) -> None:
        self._values = _object(value)
        self._known = known
        for name in required:
            if name not in self._values:
                raise self._missing(name)

    @property
    def ignored(self) -> int:
        """Return how many fields are not among the known ones."""
        return len(self._values.keys() - self._known)

    def value(self, name: str) -> JsonValue:
        """Return the value of a field; None where it is absent or null."""
        return self._values.get(name)

    def text(self, name: str, chars_max: int, *, mend: bool = False) -> str:
        """Return a text that must be there.

        Args:
            name: of a required field.
            chars_max: longest that is taken.
            mend: a lone surrogate becomes U+FFFD, instead of being refused.

        Raises:
            DecodeError: it is no text, or too long, or cannot be written in UTF-8.
        """
        found = self._values.get(name)
        if type(found) is not str:
            raise wrong_type(name, found, "a text")
        if not found.isascii():
            found = mended(found) if mend else _whole(name, found)
        if len(found) > chars_max:
            raise too_long(name, len(found), chars_max, None)
        return found

    def optional_text(self, name: str, chars_max: int, *, mend: bool = False) -> str | None:
        """Return a text, or None where it is absent or null; otherwise as `text`."""
        if self._values.get(name) is None:
            return None
        return self.text(name, chars_max, mend=mend)

    def instant(self, name: str) -> tuple[int, int]:
        """Return an instant that must be there, and its offset, as `instant_and_offset` does.

        Raises:
            DecodeError: it is no text, or no instant.
        """
        found = self._values.get(name)
        if type(found) is not str:
            raise wrong_type(name, found, "a text such as 2026-03-01T06:30:00.000+01:00")
        try:
            return instant_and_offset(found)
        except NotAnInstantError as error:
            raise DecodeError(
                error.reason,
                f"{name} is {found[:_SHOWN_MAX]!r}: {error}; send RFC 3339 with an offset, such as"
                " 2026-03-01T06:30:00.000+01:00",
            ) from error

    def optional_instant(self, name: str) -> int | None:
        """Return an instant, or None where it is absent, null or empty; otherwise as `instant`."""
        return None if self._values.get(name) in (None, "") else self.instant(name)[0]

    def optional_label(self, name: str, chars_max: int) -> str | None:
        """Return a text that nothing interprets, also written as a number or boolean, cut where it
        is too long; otherwise as `optional_text`, mended."""
        found = self._values.get(name)
        if type(found) in (bytes, bool):
            found = json_text(found)
        if type(found) is str:
            return mended(found)[:chars_max]
        return self.optional_text(name, chars_max)

    def _missing(self, name: str) -> DecodeError:
        others = (shown(other) for other in self._values if other not in self._known)
        ignored = ", ".join(islice(others, _NAMES_SHOWN_MAX))
        hint = f" (not known here, and ignored: {ignored})" if ignored else ""
        return DecodeError("missing_field", f"{name} is missing; send it{hint}")


def bare(value: bytes) -> bytes:
    """Return a value without a byte order mark and the space around it."""
    return value.strip(WHITE_SPACE).removeprefix(BYTE_ORDER_MARK).strip(WHITE_SPACE)


def json_text(found: JsonValue) -> str:
    """Return a value as JSON text: numbers as they were written, the rest without white space.

    Args:
        found: nested `DEPTH_MAX` deep at most.
    """
    if found is None or type(found) is bool:
        return {None: "null", True: "true", False: "false"}[found]
    if type(found) is bytes:
        return found.decode()
    if type(found) is list:
        return f"[{','.join(map(json_text, found))}]"
    if type(found) is tuple:
        return f"{{{','.join([f'{_quoted(name)}:{json_text(one)}' for name, one in found])}}}"
    return _quoted(found)


def by_name(pairs: tuple[tuple[str, JsonValue], ...], fault: str) -> dict[str, JsonValue]:
    """Return the pairs of an object by name.

    A parser keeps one of two pairs of a name, and two parsers may keep different ones.

    Args:
        pairs: of an object.
        fault: how the refusal words it, with `{}` for the name.

    Raises:
        DecodeError: a name occurs twice, in whatever spelling.
    """
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    times = Counter(name for name, _ in pairs)
    twice = next(name for name in times if times[name] > 1)
    raise DecodeError("duplicate_field", f"{fault.format(shown(twice))}; send it once")


def mended(text: str) -> str:
    """Replace each lone surrogate, half of a character that was cut in two, by U+FFFD."""
    return _LONE_SURROGATE.sub("\ufffd", text)


def wrong_type(name: str, found: JsonValue, wanted: str) -> DecodeError:
    """Return the refusal of a field of another type."""
    return DecodeError("wrong_type", f"{name} is {kind_of(found)}; send {wanted}")


def kind_of(found: JsonValue) -> str:
    """Return the JSON type of a value, in words."""
    return "null" if found is None else _KINDS[type(found)]


_KINDS: Final[dict[type, str]] = {
    str: "a text",
    bytes: "a number",
    bool: "a boolean",
    list: "an array",
    tuple: "an object",
}


def _whole(name: str, text: str) -> str:
    lone = _LONE_SURROGATE.search(text)
    if lone is None:
        return text
    raise DecodeError(
        "invalid_text",
        f"{name} has half a character, the lone surrogate \\u{ord(lone[0]):04x}; send whole"
        " characters, because two names that were cut must not become one",
    )


def _object(value: bytes) -> dict[str, JsonValue]:
    try:
        text = bare(value).decode()
    except UnicodeDecodeError as error:
        raise DecodeError(
            "invalid_utf8",
            f"the value is not UTF-8, from byte {error.start} on; send JSON in UTF-8",
        ) from error
    if value.count(b"{") + value.count(b"[") > DEPTH_MAX and _depth(value) > DEPTH_MAX:
        raise _malformed(f"it is nested more than {DEPTH_MAX} deep")
    try:
        found = _parse(text)
    except json.JSONDecodeError as error:
        what = error.msg.removesuffix(" at")  # as "Unterminated string starting at"
        raise _malformed(f"{what} at character {error.pos}") from error
    if type(found) is not tuple:
        raise wrong_type("the value", found, "one JSON object")
    return by_name(found, "field {} occurs twice")


def _depth(value: bytes) -> int:
    """Return how deep objects and arrays nest, up to the first fault of a value that has one.

    Brackets within texts do not count: what lies between the first and the second quotation mark,
    the third and the fourth, and so on, once those that are escaped are gone.
    """
    unescaped = value.replace(rb"\\", b"").replace(rb"\"", b"")
    outside = b"".join(unescaped.split(b'"')[::2])
    brackets = outside.translate(None, _NO_BRACKETS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0)


def _no_constant(name: str) -> NoReturn:
    raise _malformed(f"{name} is no JSON")


def _malformed(why: str) -> DecodeError:
    return DecodeError("malformed_json", f"the value is malformed: {why}; send one JSON object")


_quoted: Final = json.JSONEncoder(ensure_ascii=False).encode
_parse: Final = json.JSONDecoder(
    object_pairs_hook=tuple,
    parse_int=str.encode,
    parse_float=str.encode,
    parse_constant=_no_constant,
).decode
