"""The repair of one user: what a rebuild derived from the log, to be put in place of what is there.

Owns: a repair's content.
Does not own: its bytes (codec/repairs.py), when it applies (fold.py), how it is derived (rebuild/).
Invariant: it names the state that it was compared with, so that it never undoes what came since.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from pipeline.core.records import LocalDate
from pipeline.core.runs import Runs
from pipeline.core.state import UserState
from pipeline.core.texts import is_id
from pipeline.core.zones import zone_of

LAP_MAX: Final = 10_000
"""Max lap of an unlocked portal; a thousand years have fewer."""

WindowRecords = tuple[tuple[bytes, bytes | None], ...]
"""Records of the changelog of the dedupe window: key, and value or None to delete."""


class Repair(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one user's state is to be.

    Attributes:
        revision, digest: of the state that this one replaces; if the user has another by then, the
            repair is rejected.
        state: the new one. Its revision does not count: the user's goes on from where it is. Its
            unlocked portals are those that were published; those that are due beside them are
            unlocked by the repair.
        window: of the user alone.
    """

    revision: int
    digest: str
    state: UserState
    window: WindowRecords = ()


def is_sensible(state: UserState, first: LocalDate, last: LocalDate) -> bool:
    """Tell whether a worker could have come to a state, as far as its form says.

    Args:
        first, last: between which all dates are.
    """
    sets = state.sets
    dated = (*sets.credits, *sets.revocations)
    named = (sets.credits, sets.revocations, sets.withdrawals, sets.claims, sets.unlocked)
    return (
        _are_runs(sets.practised, first, last)
        and _are_runs(sets.bridged, first, last)
        and all(first <= date <= last for _, date in dated)
        and all(_are_sorted_ids([name for name, _ in rows]) for rows in named)
        and all(is_id(target) for _, target in (*sets.withdrawals, *sets.claims))
        and all(_are_runs(laps, 0, LAP_MAX) for _, laps in sets.unlocked)
        and all(first <= row.reached_on <= last for row in state.portals)
        and (not state.tz or zone_of(state.tz) is not None)
    )


def _are_runs(runs: Runs, first: int, last: int) -> bool:
    """Tell whether runs lie between two numbers, in order, and neither touch nor overlap."""
    free = first
    for start, length in runs:
        if length < 1 or start < free or start + length - 1 > last:
            return False
        free = start + length + 1
    return True


def _are_sorted_ids(names: Sequence[str]) -> bool:
    return all(map(is_id, names)) and list(names) == sorted(set(names))
