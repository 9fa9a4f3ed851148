"""The bytes of a rejected input, readable.

Owns: which form bytes are shown in, and how much of them.
Does not own: the terminal (cli/output.py escapes control characters once more), the letter.
Invariant: a line has no control character, whatever the bytes are, and at most a bounded number of
lines come out; what is left out is said.

| bytes | shown as |
|---|---|
| JSON, at most `LEVELS_MAX` levels deep | indented, its texts and numbers as they were written |
| framed Avro that can be decoded | the record, as indented JSON |
| other UTF-8, unless it begins as framed Avro does | text |
| anything else | a table of hexadecimal digits |
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Final, Literal, TypeAlias

import msgspec

from pipeline.codec.avro import MAGIC
from pipeline.codec.errors import CodecError

Form: TypeAlias = Literal["nothing", "JSON", "Avro", "text", "bytes"]

LINES_MAX: Final = 200
LINE_CHARS_MAX: Final = 400
_ROW_BYTES: Final = 16

LEVELS_MAX: Final = 32
"""JSON that is nested deeper is shown as text: indented, a megabyte of it may become a thousand."""

_steers: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
).sub


class Shown(msgspec.Struct, frozen=True):
    """Bytes, as a person reads them.

    Attributes:
        left_out: what of them is not shown, for a person; empty mostly.
    """

    form: Form
    size: int
    lines: tuple[str, ...]
    left_out: str = ""


def shown_of(raw: bytes | None, decode: Callable[[bytes], object] | None = None) -> Shown:
    """Bytes in the form that says most.

    Args:
        decode: of a framed value to a record; raises CodecError for what it cannot read.
    """
    if not raw:
        return Shown("nothing", 0, ("null" if raw is None else "empty",))
    if (text := _json(raw)) is not None:
        return _bounded("JSON", raw, text.split("\n"))
    if decode is not None and raw[0] == MAGIC:
        try:
            record = msgspec.json.encode(decode(raw))
        except CodecError:
            pass
        else:
            return _bounded("Avro", raw, msgspec.json.format(record).decode().split("\n"))
    if raw[0] != MAGIC and (text := _text(raw)) is not None:
        return _bounded("text", raw, text.split("\n"))
    rows = [raw[n : n + _ROW_BYTES] for n in range(0, min(len(raw), LINES_MAX * 16), _ROW_BYTES)]
    left = len(raw) - LINES_MAX * _ROW_BYTES
    lines = tuple([_row(n * _ROW_BYTES, row) for n, row in enumerate(rows)])
    return Shown("bytes", len(raw), lines, f"{left:,} bytes more" if left > 0 else "")


def one_line(raw: bytes | None, chars_max: int) -> str:
    """The beginning of some bytes in one line, such as of a key."""
    if raw is None:
        return "null"
    text = _text(raw[: 4 * chars_max])
    shown = raw[:chars_max].hex(" ") if text is None else "".join(_escaped(text))
    return shown if len(shown) <= chars_max else f"{shown[: chars_max - 1]}…"


def _json(raw: bytes) -> str | None:
    """JSON, indented; None for what is none or too deep. A text or number alone stays text."""
    if raw.lstrip()[:1] not in (b"{", b"["):
        return None
    try:
        # Objects become lists of their values, so that no field hides behind one of the same name.
        found = json.loads(raw, object_pairs_hook=lambda pairs: [value for _, value in pairs])
        if _is_deeper(found, LEVELS_MAX):
            return None
        return msgspec.json.format(raw, indent=2).decode()
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return None


def _is_deeper(value: object, levels: int) -> bool:
    """Whether lists within lists go down more than so many levels."""
    if not isinstance(value, list):
        return False
    return levels == 0 or any(_is_deeper(one, levels - 1) for one in value)


def _text(raw: bytes) -> str | None:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def _bounded(form: Form, raw: bytes, lines: list[str]) -> Shown:
    kept = []
    is_cut = len(lines) > LINES_MAX
    for line in lines[:LINES_MAX]:
        is_cut = is_cut or len(line) > LINE_CHARS_MAX
        kept.append(_escaped(line[:LINE_CHARS_MAX]))
    left_out = "only the beginning of its lines is shown" if is_cut else ""
    return Shown(form, len(raw), tuple(kept), left_out)


def _escaped(text: str) -> str:
    """A text whose control characters are shown as their code points."""
    return _steers(lambda found: ascii(found[0])[1:-1], text)


def _row(offset: int, row: bytes) -> str:
    digits = row.hex(" ").ljust(3 * _ROW_BYTES - 1)
    return f"{offset:08x}  {digits}  {''.join(_printable(row))}"


def _printable(row: bytes) -> Iterator[str]:
    for byte in row:
        yield chr(byte) if 0x20 <= byte < 0x7F else "."
