"""A difference between two states, as the diff has it.

Owns: what of a difference is written down, and why a user differs, in a word.
Does not own: the form of the diff (ops/rebuilds.py), finding differences (compare.py).
"""

from pipeline.ops.rebuild_diffs import ShownDifference
from pipeline.rebuild.compare import UserDifference


def why(difference: UserDifference) -> str:
    """Why a user differs: a key of `ops.rebuilds.WHY`."""
    if difference.unreadable is not None:
        return "unreadable"
    if difference.is_unpublished:
        return "published"
    return "stored" if difference.cause is None else difference.cause.kind


def shown(one: UserDifference) -> ShownDifference:
    """Leave out what only a repair needs."""
    return ShownDifference(
        one.user_id,
        one.partition,
        why(one),
        one.before,
        one.after,
        one.dates_added,
        one.dates_removed,
        one.portals_missed,
        one.window_records,
        one.cause,
        one.summary,
    )
