"""Finds ids in the bytes of a rejected input that could not be decoded.

Owns: whether the bytes of a dead letter name a certain completion and user.
Does not own: decoding valid inputs (codec/), the index (index.py).
Invariant: a dead letter belongs to a user only by the record's key or, where the key is no user id,
by the user id in the value. So nobody learns of another user's record.
"""

import json
import re
from collections.abc import Iterator
from typing import Final

from pipeline.codec.avro import MAGIC
from pipeline.codec.varint import zigzag
from pipeline.core.records import DeadLetter
from pipeline.core.texts import is_id

_STRING: Final = rb'("[^"\\]*+(?:\\[\s\S][^"\\]*+)*+")'
_text_of: Final = {
    name: re.compile(rb'"' + name.encode() + rb'"[ \t\r\n]*:[ \t\r\n]*' + _STRING)
    for name in ("completion_id", "user_id")
}


def names_completion(letter: DeadLetter, user_id: str, completion_id: str) -> bool:
    """Tell whether a dead letter is this user's and names this completion.

    Args:
        letter: the dead letter of an input whose ids could not be read.
    """
    value = letter.value or b""
    return is_of(letter, user_id) and _says(value, "completion_id", completion_id)


def is_of(letter: DeadLetter, user_id: str) -> bool:
    """Tell whether a dead letter is this user's."""
    owner = _owner(letter.key)
    return owner == user_id if owner else _says(letter.value or b"", "user_id", user_id)


def _owner(key: bytes | None) -> str:
    try:
        text = "" if key is None else key.decode()
    except UnicodeDecodeError:
        return ""
    return text if is_id(text) else ""


def _says(value: bytes, name: str, text: str) -> bool:
    if value[:1] == bytes([MAGIC]):  # Avro: any text is its length and its bytes
        raw = text.encode()
        return zigzag(len(raw)) + raw in value
    return text in _texts(value, name)


def _texts(value: bytes, name: str) -> Iterator[str]:
    for found in _text_of[name].finditer(value):
        try:
            text = json.loads(found[1])
        except ValueError:
            continue
        yield text
