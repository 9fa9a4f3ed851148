"""Ids in paths.

Owns: the part of a path that is a user id, `{user_id:user}` in a route's template, or a completion
id, `{completion_id:completion}`; how an id is written there.
Does not own: whether it can be an id (core/texts.py), which the route asks first.
Invariants: every id has a spelling that reaches it, through any client, browser and proxy that
keeps to RFC 3986 or to the WHATWG's URL standard. What is read back from `path_of` is the id.

An id is written percent-encoded, as in any path: `a/b` as `a%2Fb`. That does not do for all. To a
browser `%2E%2E` is the same as `..`, a step up, and there is no way to tell it otherwise; and a
user id that holds `/completions/` would end there, as everything after it is a completion's id.
Such an id is written as `~` and its UTF-8 in base64url without padding (RFC 4648, section 5), which
any id may be: `..` as `~Li4`. So an id that begins with `~` is always written that way.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from typing import Final
from urllib.parse import quote

from starlette.convertors import Convertor, register_url_convertor

from pipeline.core.texts import ID_CHARS_MAX

ENCODED: Final = "~"
NO_ID: Final = ""
"""Stands for what begins with `~` and goes on with no id; every route refuses it."""

COMPLETIONS: Final = "/completions/"
_is_step: Final = re.compile(r"(?:^|[/\\])\.{1,2}(?:$|[/\\])").search


def path_of(id_: str) -> str:
    """An id as a part of a path, in ASCII."""
    needs_more = id_.startswith(ENCODED) or _is_step(id_) or COMPLETIONS in f"{id_}/"
    if not needs_more:
        return quote(id_, safe="")
    return ENCODED + urlsafe_b64encode(id_.encode()).rstrip(b"=").decode()


def id_of(part: str) -> str:
    """The id that a part of a path stands for.

    Args:
        part: percent-encoding undone, as servers do.

    Returns:
        `NO_ID` where there is none.
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
    """What the paths of a user begin with."""
    return f"/v1/users/{path_of(user_id)}"


def completion_path(user_id: str, completion_id: str) -> str:
    """The path of a completion."""
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
"""What the routes of a user begin with."""

ID_FORM: Final = (
    f"1 to {ID_CHARS_MAX} characters, not all of them blank, and none that is a control, a line "
    "separator or a change of direction"
)
"""What an id is, for people."""
