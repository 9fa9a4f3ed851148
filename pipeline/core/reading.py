"""A published progress, read at a later instant.

Owns: everything that a reader shows beyond the record's own fields: the streak as it is now, each
date and what made it count, the frame of each date, the portal ahead.
Does not own: the rules (streak.py, runs.py, portals.py), how it is shown (api/).
Invariant: it follows from the record, the instant, the policy then in force and the catalogue, and
from nothing else; so two readers of one revision show the same.
"""

from collections.abc import Iterator
from enum import StrEnum

import msgspec

from pipeline.core.assets import AssetCatalogue
from pipeline.core.geometry.cycle import FRAMES
from pipeline.core.portals import next_portal
from pipeline.core.records import (
    Dates,
    Instant,
    LocalDate,
    NextPortal,
    ProgressUpdated,
    Run,
)
from pipeline.core.rulebook import Policy
from pipeline.core.runs import Runs, contains, difference, from_numbers, union
from pipeline.core.sets import Sets
from pipeline.core.streak import Standing, standing_of, today_of
from pipeline.core.zones import LAST_ON_EARTH


class DayKind(StrEnum):
    """What a local date is to a user. A revocation wins over what it takes back."""

    PRACTISED = "practised"
    CREDITED = "credited"
    REVOKED = "revoked"
    BRIDGED = "bridged"
    NOTHING = "nothing"


class Today(msgspec.Struct, frozen=True, gc=False):
    """Where a user stands now.

    Attributes:
        date: the local date now, with the policy's day start.
        tz: the zone that it is of.
        covered: the dates that count.
        standing: as `standing_of` them.
    """

    date: LocalDate
    tz: str
    covered: Runs
    standing: Standing


class Snapshot(msgspec.Struct, frozen=True, gc=False):
    """The figure of one covered date.

    Attributes:
        day: of its run, 1 and up. lap: 0 and up. frame: 1 and up.
        completed: the frame is its figure's last.
    """

    date: LocalDate
    day: int
    lap: int
    frame: int
    figure: str
    asset_id: str
    completed: bool


def runs_of(runs: tuple[Run, ...]) -> Runs:
    """Return a record's runs in the form that is reckoned with."""
    return tuple([(run.start, run.length) for run in runs])


def covered_by(dates: Dates) -> Runs:
    """Return the dates that count: practised, bridged or credited, and not revoked."""
    given = union(union(runs_of(dates.practised), runs_of(dates.bridged)), runs_of(dates.credited))
    return difference(given, runs_of(dates.revoked))


def zone_for(progress: ProgressUpdated, tz: str | None = None) -> str:
    """Return the zone in which a user's dates are read.

    Args:
        tz: where the reader says that the user is, a name that is known; None when it does not.

    Returns:
        The reader's, else the user's; while none is known the place where a date ends last, so that
        no streak is shown as broken while it can still go on somewhere.
    """
    return tz or (progress.tz if progress.tz_known else LAST_ON_EARTH)


def today(
    progress: ProgressUpdated, instant: Instant, policy: Policy, tz: str | None = None
) -> Today:
    """Return where a user stands at an instant; a streak that broke meanwhile is broken.

    Args:
        instant: at or after `updated_at`.
        policy: in force at the instant.
        tz: as in `zone_for`.
    """
    covered = covered_by(progress.dates)
    zone = zone_for(progress, tz)
    return Today(
        today_of(zone, instant, policy),
        zone,
        covered,
        standing_of(covered, zone, instant, policy),
    )


def portal_ahead(progress: ProgressUpdated, policy: Policy, streak_days: int) -> NextPortal:
    """Return the first portal ahead of the current run that is still to be unlocked."""
    laps: dict[str, list[int]] = {}
    for portal in progress.portals:
        laps.setdefault(portal.slug, []).append(portal.lap)
    unlocked = tuple([(slug, from_numbers(found)) for slug, found in laps.items()])
    return next_portal(Sets(unlocked=unlocked), policy, streak_days)


def day_kinds(dates: Dates, first: LocalDate, last: LocalDate) -> Iterator[DayKind]:
    """Give what each date from `first` to `last` is, both included."""
    layers = [
        (DayKind.REVOKED, runs_of(dates.revoked)),
        (DayKind.PRACTISED, runs_of(dates.practised)),
        (DayKind.CREDITED, runs_of(dates.credited)),
        (DayKind.BRIDGED, runs_of(dates.bridged)),
    ]
    for date in range(first, last + 1):
        yield next((kind for kind, runs in layers if contains(runs, date)), DayKind.NOTHING)


def snapshots(
    covered: Runs, before: LocalDate, variant: int, policy: Policy, assets: AssetCatalogue
) -> Iterator[Snapshot]:
    """Give the figure of each covered date before a date, the latest first.

    Args:
        covered: the dates that count.
        before: exclusive.
        variant: the user's.
    """
    cycle_days = policy.cycle_days
    for start, length in reversed(covered):
        for day in range(min(length, before - start), 0, -1):
            lap, place = divmod(day - 1, cycle_days)
            frame = place + 1
            figure = assets.figure_of(frame)
            yield Snapshot(
                start + day - 1,
                day,
                lap,
                frame,
                figure,
                assets.asset_id(frame, variant),
                frame == FRAMES or assets.figure_of(frame + 1) != figure,
            )
