"""Finds people.

Owns: the search by id or its beginning, what a list of people shows of each.
Does not own: the store (store.py), one person's page (person.py).
Invariant: a search reads at most a page of users, however many the store has, as the store has them
in the order of their ids.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from pipeline.api.dependencies import Dependencies
from pipeline.api.reads.views import Progress, UserNow
from pipeline.codec.published import NotPublishedError
from pipeline.core.reading import today
from pipeline.core.texts import ID_CHARS_MAX

PAGE: Final = 24
"""People of a page."""


class Found(msgspec.Struct, frozen=True):
    """A page of people.

    Attributes:
        exact: the person with exactly that id, who is the first of `people`.
        next_after: the id after which the next page begins; empty on the last page.
    """

    people: list[Progress]
    exact: Progress | None
    next_after: str


def find(
    deps: Dependencies, wanted: str, after: str = "", limit: int = PAGE, tz: str | None = None
) -> Found:
    """Find the people whose id begins with a text, in the order of their ids.

    Args:
        wanted: an id or its beginning; empty: all people.
        after: `next_after` of the previous page.
        tz: as in `user_at_now`.
    """
    if len(wanted) > ID_CHARS_MAX or len(after) > ID_CHARS_MAX:
        return Found([], None, "")
    prefix = _key(wanted)
    start = max(prefix, _key(after) + b"\0" if after else b"")
    found: list[Progress] = []
    next_after = ""
    for key, held in deps.source.store.scan(start):
        if not key.startswith(prefix):
            break
        if len(found) == limit:
            next_after = found[-1].user_id
            break
        shown = _progress(deps, held.value, tz)
        if shown is not None:
            found.append(shown)
    first = found[0] if found and found[0].user_id == wanted and not after else None
    return Found(found, first, next_after)


def known(
    deps: Dependencies, user_ids: Iterable[str], limit: int = PAGE, tz: str | None = None
) -> list[Progress]:
    """Return the progress of some people; those about whom nothing was published are left out.

    Args:
        user_ids: may repeat.
        tz: as in `user_at_now`.
    """
    found: dict[str, Progress] = {}
    for user_id in user_ids:
        if len(found) == limit:
            break
        held = None if user_id in found else deps.source.store.get(user_id)
        shown = None if held is None else _progress(deps, held.value, tz)
        if shown is not None:
            found[user_id] = shown
    return list(found.values())


def user_at_now(deps: Dependencies, value: bytes, tz: str | None = None) -> UserNow:
    """Read a user's record as of now.

    Args:
        tz: canonical name of the zone in which it is read; None: the user's own.

    Raises:
        NotPublishedError: the store has something that is not a progress record.
    """
    now_ms = deps.now_ms()
    record = deps.source.decode(value)
    policy = deps.policies.at(now_ms)
    return UserNow(record, today(record, now_ms, policy, tz), policy)


def _progress(deps: Dependencies, value: bytes, tz: str | None) -> Progress | None:
    try:
        return deps.reads.views.progress(user_at_now(deps, value, tz))
    except NotPublishedError:
        return None


def _key(text: str) -> bytes:
    return text.encode("utf-8", "replace")
