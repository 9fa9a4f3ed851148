"""User ids in paths.

Owns: the part of a path that is a user id: `{user_id:user}` in a route's template.
Does not own: whether it can be an id (core/rejection.py), which the route asks first.
Invariant: an id may hold what an id may, a slash too (`%2F` in a URL, which the server undoes); the
one thing that is not taken for a part of it is a `/completions/`, after which everything is a
completion's id, which may hold slashes as well.
"""

from typing import Final

from starlette.convertors import Convertor, register_url_convertor


class _UserId(Convertor[str]):
    regex = r"(?:(?!/completions/)[\s\S])+?"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("user", _UserId())

USERS: Final = "/v1/users/{user_id:user}"
"""What the routes of a user begin with."""
