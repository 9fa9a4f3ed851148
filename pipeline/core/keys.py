"""Field Keys.

Owns: the ids of the keys that a portal grants, and which ids no portal can grant.
Does not own: when they are granted (portals.py), which are claimed (sets.py).
Invariant: `key_id` is the same in every generation and for every policy version.
"""

from pipeline.core.calendar import utc_date
from pipeline.core.identity import NamePrefix, uuid_of
from pipeline.core.records import Instant
from pipeline.core.rulebook import PolicyBook


def key_ids(user_id: str, lap: int, slug: str, keys: int) -> tuple[str, ...]:
    """Return the ids of the keys that come with a portal.

    Each is uuid5 of `user/lap/slug/i`, i from 0 to `keys`, exclusive.
    """
    return tuple([uuid_of(f"{user_id}/{lap}/{slug}/{i}") for i in range(keys)])


def can_exist(book: PolicyBook, user_id: str, key_id: str, append_time: Instant) -> bool:
    """Tell whether a key could have been granted to the user by now, or be so before long.

    Args:
        key_id: any text.
        append_time: no run of dates is longer than from the earliest date to the day after
            tomorrow.

    Returns:
        Whether some (lap, slug, i) of any policy version has that id. Costs a hash for each; a
        claim of a key that was granted needs no such search.
    """
    days = utc_date(append_time) + 2 - book.earliest_date
    user = NamePrefix(f"{user_id}/")
    names = [f"/{slug}/{i}" for slug, keys in book.keys_max.items() for i in range(keys)]
    start = key_id.replace("-", "")[:12]
    return any(
        user.digest(f"{lap}{name}").hex()[:12] == start and user.uuid(f"{lap}{name}") == key_id
        for lap in range(days // book.cycle_days + 1)
        for name in names
    )
