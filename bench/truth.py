"""What a correct pipeline makes of the benchmark's input.

Owns: the truth that every peer's result is checked against.
Does not own: the input (pipeline/dev/workload/steady.py), how fast anybody is (measure.py).
Invariant: the truth is derived from the completions' instants by sets of dates, not by any code
that is measured.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

from pipeline.core.records import PracticeCompleted
from pipeline.dev.workload.ground_truth import InputRecord
from pipeline.dev.workload.steady import Steady, completions_of, records_of, users_at_random

DAY_START_HOUR: Final = 3
PORTAL_DAYS: Final = (1, 3, 7, 13, 21, 30, 40, 51, 62, 73, 84, 96, 108)


@dataclass(frozen=True, slots=True)
class UserTruth:
    """What a correct pipeline says of one user at the end.

    Attributes:
        accepted: completions that counted. longest_days, lifetime_days: of the practised dates.
        portals: how many were unlocked.
    """

    accepted: int
    longest_days: int
    lifetime_days: int
    portals: int


@dataclass(frozen=True)
class Truth:
    """What a correct pipeline makes of the whole input. `by_user` is keyed by user id."""

    events: int
    accepted: int
    duplicates: int
    portals: int
    by_user: dict[str, UserTruth]


@dataclass(frozen=True)
class Data:
    """An input in memory, with what a correct pipeline makes of it."""

    events: Sequence[InputRecord]
    truth: Truth


def data_of(steady: Steady) -> Data:
    """Generate an input."""
    completions = completions_of(steady, users_at_random(steady))
    return Data(list(records_of(steady, completions)), truth_of(steady, completions))


def truth_of(steady: Steady, completions: list[PracticeCompleted]) -> Truth:
    """Derive the result from the sets of local dates alone."""
    dates: dict[str, set[int]] = defaultdict(set)
    accepted: dict[str, int] = defaultdict(int)
    for one in completions:
        dates[one.user_id].add(_local_date(one.completed_at, one.tz))
        accepted[one.user_id] += 1
    by_user = {}
    for user_id, days in dates.items():
        longest = _longest(days)
        laps, rest = divmod(longest, PORTAL_DAYS[-1])
        reached = laps * len(PORTAL_DAYS) + sum(1 for day in PORTAL_DAYS if day <= rest)
        by_user[user_id] = UserTruth(accepted[user_id], longest, len(days), reached)
    return Truth(
        events=steady.events,
        accepted=len(completions),
        duplicates=steady.events - len(completions),
        portals=sum(user.portals for user in by_user.values()),
        by_user=by_user,
    )


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _local_date(instant_ms: int, tz: str) -> int:
    local = datetime.fromtimestamp(instant_ms / 1000, _zone(tz))
    day = local.date() if local.hour >= DAY_START_HOUR else local.date() - timedelta(days=1)
    return day.toordinal()


def _longest(days: set[int]) -> int:
    longest = 0
    for day in days:
        if day - 1 not in days:
            length = 1
            while day + length in days:
                length += 1
            longest = max(longest, length)
    return longest
