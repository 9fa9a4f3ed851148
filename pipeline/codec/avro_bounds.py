"""The bounds on a writer's schema, checked before it is parsed, and what refuses it.

Owns: the bounds on schema text, the two refusals of the Avro reader.
Does not own: what a schema means (avro_types.py), which values are kept (avro_reader.py).
Invariant: the cost of a text is proportional to its length, at most `SCHEMA_CHARS_MAX`, and no text
reaches the JSON parser, which is recursive, unless it is nested at most `JSON_DEPTH_MAX` deep.
"""

import json
import re
from typing import Any, Final

from pipeline.codec.schemas import JsonSchema

SCHEMA_CHARS_MAX: Final = 256 * 1024
"""Max characters of a schema text; our own have 3,000, generated ones of whole models
60,000."""

JSON_DEPTH_MAX: Final = 160
"""Max brackets that are open at once in a schema text: 3 for each record within a record, and a
margin."""

NAME_CHARS_MAX: Final = 512
"""Max characters of a type's full name."""

_SHOWN_MAX: Final = 60
# A string that nobody ends reaches to the end, so that no character is looked at twice.
_TOKENS: Final = re.compile(r'"[^"\\]*+(?:\\(?:.|\Z)[^"\\]*+)*+(?:"|\Z)|[\[\]{}]', re.DOTALL)


class MalformedAvroError(ValueError):
    """The bytes are not a value of their schema, or one that our schema has no place for.

    **Operator action**: none; the record becomes a dead letter.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class UnresolvableSchemaError(ValueError):
    """What was written cannot be read as what we expect.

    **Operator action**: none; records written with that schema become dead letters.
    """


def parse_writer_schema(text: str) -> JsonSchema:
    """Parse the JSON of a schema that somebody else wrote.

    Args:
        text: of any origin and length.

    Returns:
        What `AvroReader` takes; whether it is an Avro schema is for it to say.

    Raises:
        UnresolvableSchemaError: it is too long, nested too deep, no JSON, or JSON that two parsers
            read differently (a key twice in one object, NaN, Infinity).
    """
    if len(text) > SCHEMA_CHARS_MAX:
        raise UnresolvableSchemaError(
            f"it has {len(text)} characters, at most {SCHEMA_CHARS_MAX} are read"
        )
    depth = 0
    for token in _TOKENS.finditer(text):
        first = token[0][0]
        if first in "[{":
            depth += 1
            if depth > JSON_DEPTH_MAX:
                raise UnresolvableSchemaError(
                    f"its JSON is nested too deep, at most {JSON_DEPTH_MAX} levels are read"
                )
        elif first in "]}":
            depth -= 1
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except UnresolvableSchemaError:
        raise
    except ValueError as error:  # also a number of thousands of digits
        raise UnresolvableSchemaError(f"it is not JSON ({shown(str(error))})") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for key, value in pairs:
        if key in members:
            raise UnresolvableSchemaError(f"an object of it has the key {shown(key)} twice")
        members[key] = value
    return members


def _constant(name: str) -> None:
    raise UnresolvableSchemaError(f"it has {name}, which is not JSON")


def shown(thing: object) -> str:
    """Return a part of a schema as a message shows it: short, in characters that can be printed.

    Args:
        thing: of JSON, of any size and depth.
    """
    if isinstance(thing, str):
        return repr(thing[:_SHOWN_MAX])
    if isinstance(thing, (dict, list)):
        return "an object" if isinstance(thing, dict) else "a list"
    if isinstance(thing, int) and not -(2**63) <= thing < 2**63:
        return "a number of more than 64 bits"
    return repr(thing)[:_SHOWN_MAX]
