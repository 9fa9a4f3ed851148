"""Ids in paths.

Owns: the part of a path that is a user id, `{user_id:user}` in a route's template, or a completion
id, `{completion_id:completion}`; how an id is written there.
Does not own: whether a text can be an id (core/texts.py); the route checks that first.
Invariants: every id has a spelling that reaches it, through any client, browser and proxy that
follows RFC 3986 or the WHATWG's URL standard. Decoding what `path_of` wrote gives the id.

An id is percent-encoded, as in any path: `a/b` as `a%2Fb`. That does not work for all ids. To a
browser `%2E%2E` is the same as `..`, the parent folder, and nothing changes that; and a user id
that contains `/completions/` would end there, as everything after it is a completion's id. Such an
id is written as `~` and its UTF-8 in base64url without padding (RFC 4648, section 5): `..` as
`~Li4`. Any id may be written so, and an id that begins with `~` must be.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from typing import Final
from urllib.parse import quote

from starlette.convertors import Convertor, register_url_convertor

from pipeline.core.texts import ID_CHARS_MAX

ENCODED: Final = "~"
"""First character of an id in base64url."""

NO_ID: Final = ""
"""Stands for a part that begins with `~` and encodes no id; every route refuses it."""

COMPLETIONS: Final = "/completions/"
"""Ends the user id in the path of a completion."""

_is_step: Final = re.compile(r"(?:^|[/\\])\.{1,2}(?:$|[/\\])").search


def path_of(id_: str) -> str:
    """Write an id as a part of a path, in ASCII."""
    needs_more = id_.startswith(ENCODED) or _is_step(id_) or COMPLETIONS in f"{id_}/"
    if not needs_more:
        return quote(id_, safe="")
    return ENCODED + urlsafe_b64encode(id_.encode()).rstrip(b"=").decode()


def id_of(part: str) -> str:
    """Read the id from a part of a path.

    Args:
        part: with percent-encoding undone, as servers do.

    Returns:
        The id, or `NO_ID` where the part encodes none.
    """
    if not part.startswith(ENCODED):
        return part
    text = part[len(ENCODED) :]
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        is_canonical = urlsafe_b64encode(raw).rstrip(b"=").decode() == text
        return raw.decode() if is_canonical else NO_ID
    except (Base64Error, ValueError):
        return NO_ID


def user_path(user_id: str) -> str:
    """Return the beginning of a user's paths."""
    return f"/v1/users/{path_of(user_id)}"


def completion_path(user_id: str, completion_id: str) -> str:
    """Return the path of a completion."""
    return f"{user_path(user_id)}/completions/{path_of(completion_id)}"


class _UserId(Convertor[str]):
    regex = rf"(?:(?!{COMPLETIONS})[\s\S])+?"

    def convert(self, value: str) -> str:
        return id_of(value)

    def to_string(self, value: str) -> str:
        return path_of(value)


class _CompletionId(_UserId):
    regex = r"[\s\S]+"


register_url_convertor("user", _UserId())
register_url_convertor("completion", _CompletionId())

USERS: Final = "/v1/users/{user_id:user}"
"""Beginning of the templates of a user's routes."""

ID_FORM: Final = (
    f"1 to {ID_CHARS_MAX} characters, not all of them blank, and none that is a control, a line "
    "separator or a change of direction"
)
"""The form of an id, in words for people."""
