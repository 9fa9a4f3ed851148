"""An array of JSON values, cut into its items.

Owns: where an item begins and ends.
Does not own: whether an item is JSON, and what it says: each is judged alone.
Invariants: what is not an array as a whole, with its brackets in pairs and its strings ended, is
not cut at all. Of an array that is JSON the items are those that any parser finds. The time is
linear in the array's length and bounded, and nesting costs no stack.

Why: a parser stops at the first thing that is wrong, and takes the sound items of a batch along
with the one that is not. To cut, strings and brackets are enough.
"""

import re
from typing import Final

import msgspec

from pipeline.codec.json_object import WHITE_SPACE, bare

__all__ = ["NotAnArrayError", "bare", "cut"]

MARKS_MAX: Final = 131_072
"""Max brackets, and commas between items, of a malformed array that is cut. Ten thousand
completions have 40,000."""

_PAIRS: Final = {b"}": b"{", b"]": b"["}
_STRING: Final = rb'"[^"\\]*+(?:\\[\s\S][^"\\]*+)*+"'
_skip_between: Final = re.compile(rb'(?:[^"\[\]{},]++|' + _STRING + rb")*+").match
_skip_within: Final = re.compile(rb'(?:[^"\[\]{}]++|' + _STRING + rb")*+").match
_as_items: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


class NotAnArrayError(ValueError):
    """Text that begins like an array and is none.

    Args:
        why: for the person who made the client.

    **Operator action**: none; it is the client's to mend.
    """


def cut(array: bytes) -> list[bytes]:
    """Return the items of an array, without the space around them.

    Args:
        array: `bare`, beginning with `[`.

    Returns:
        Their own bytes, in their order; empty where there is nothing between two commas.

    Raises:
        NotAnArrayError: a bracket or a string has no end, or something follows.
    """
    try:
        return [bytes(item) for item in _as_items(array)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _cut(array)


def _cut(array: bytes) -> list[bytes]:
    items: list[bytes] = []
    opened = [b"["]
    start = at = 1
    for _ in range(MARKS_MAX):
        skip = _skip_within if len(opened) > 1 else _skip_between
        found = skip(array, at)
        at = len(array) if found is None else found.end()
        mark = array[at : at + 1]
        at += 1
        if mark == b",":
            items.append(bare(array[start : at - 1]))
            start = at
        elif mark in (b"[", b"{"):
            opened.append(mark)
        elif mark == b"":
            raise NotAnArrayError("a bracket is not closed")
        elif mark == b'"':
            raise NotAnArrayError("a string has no end")
        elif opened.pop() != _PAIRS[mark]:
            raise NotAnArrayError(f"a `{mark.decode()}` closes what another bracket opened")
        elif not opened:
            last = bare(array[start : at - 1])
            if array[at:].strip(WHITE_SPACE):
                raise NotAnArrayError("something follows the array")
            return [*items, last] if items or last else []
    raise NotAnArrayError("it has more brackets and commas than a batch of completions")
