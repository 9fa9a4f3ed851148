"""What a rejected input says of itself although it could not be read.

Owns: whether the bytes of a dead letter carry a certain completion id and user.
Does not own: decoding what is sound (codec/), the index (index.py).
Invariant: it says yes only of a dead letter that is the user's own: by the record's key, or, where
the key names nobody, by the user id in the value. So nobody learns of another's record.
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
    """Whether a dead letter is this user's and of this completion.

    Args:
        letter: of an input whose ids could not be read.
    """
    value = letter.value or b""
    return is_of(letter, user_id) and _says(value, "completion_id", completion_id)


def is_of(letter: DeadLetter, user_id: str) -> bool:
    """Whether a dead letter is this user's."""
    owner = _owner(letter.key)
    return owner == user_id if owner else _says(letter.value or b"", "user_id", user_id)


def _owner(key: bytes | None) -> str:
    try:
        text = "" if key is None else key.decode()
    except UnicodeDecodeError:
        return ""
    return text if is_id(text) else ""


def _says(value: bytes, name: str, text: str) -> bool:
    if value[:1] == bytes([MAGIC]):  # Avro: a text is its length and its bytes, wherever it stands
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
