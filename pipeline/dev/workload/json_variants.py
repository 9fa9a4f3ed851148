"""Unusual ways to write a completion in JSON that do not change its meaning.

Owns: one function for each way.
Does not own: the completion's fields (wire.py).
"""

from collections.abc import Callable
from random import Random
from typing import Any, Final

import msgspec

Variant = Callable[[dict[str, Any], Random], bytes]


def _byte_order_mark(fields: dict[str, Any], _: Random) -> bytes:
    return b"\xef\xbb\xbf" + msgspec.json.encode(fields)


def _white_space(fields: dict[str, Any], rng: Random) -> bytes:
    return rng.choice((b"\n", b" \t", b"\r\n\r\n")) + msgspec.json.encode(fields) + b"\n"


def _unknown_fields(fields: dict[str, Any], rng: Random) -> bytes:
    more = {"app_build": rng.randrange(9_999), "arms": [{"a": [None, True]}, {"a": 1.5e-7}]}
    return msgspec.json.encode(more | fields)


def _other_labels(fields: dict[str, Any], rng: Random) -> bytes:
    labels = {"pulse": rng.randrange(50, 90), "calm": True, "mood": None, "share": "MARK"}
    text = msgspec.json.encode(fields | {"context": labels})
    return text.replace(b'"MARK"', rng.choice((b"1.50", b"-0", b"2E+3")))


def _half_character(fields: dict[str, Any], rng: Random) -> bytes:
    text = msgspec.json.encode(fields | {"context": {"note": "breathed calmly MARK"}})
    return text.replace(b"MARK", rng.choice((rb"\ud83d", rb"\uDE4F", rb"\ud83d\ud83d\ude4f")))


VARIANTS: Final[dict[str, Variant]] = {
    "byte_order_mark": _byte_order_mark,
    "white_space": _white_space,
    "unknown_fields": _unknown_fields,
    "other_labels": _other_labels,
    "half_character": _half_character,
}
"""One function for each way, by name: from the fields to JSON."""


def in_any_variant(fields: dict[str, Any], rng: Random) -> bytes:
    """Return a completion's JSON in one of the `VARIANTS`."""
    return rng.choice(tuple(VARIANTS.values()))(fields, rng)
