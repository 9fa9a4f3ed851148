"""The views of a user that the API shows.

Owns: the JSON of each read, and making it from a published record.
Does not own: the rules (core/reading.py), HTTP (user_read.py, users.py).
Invariant: a view depends on the record, the reader's zone, the date that is today there, and the
policy; its ETag names all of them. `as_of` and `lag_ms` are added when it is sent, so the ETag is
weak.
"""

from collections.abc import Iterator
from datetime import date
from itertools import islice
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from pipeline.clock import rfc3339
from pipeline.core.calendar import day_of, maybe_day_of
from pipeline.core.geometry.catalogue import GoldenCatalogue
from pipeline.core.keys import key_ids
from pipeline.core.reading import DayKind, Snapshot, Today, day_kinds, portal_ahead, snapshots
from pipeline.core.records import Instant, LocalDate, NextPortal, ProgressUpdated
from pipeline.core.rulebook import Policy, PolicyBook, Portal

"""Ordinal of the date whose local date is 0."""

InstantText = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


class Asset(msgspec.Struct, frozen=True):
    """A drawn frame: content-addressed, the same for ever."""

    id: str
    svg: str
    png: str


class UserView(msgspec.Struct, frozen=True, kw_only=True):
    """What every read of a user says.

    `today` is the local date in `tz`, with the day start of the policy. `tz` is the reader's zone
    where the query has one, else the user's own, `user_tz`; that is null while nothing said where
    the user is, and then `tz` is the place where a date ends last, Etc/GMT+12. Everything that was
    published before `as_of` is in here; `lag_ms` is how long ago that was.
    """

    user_id: str
    generation: str
    revision: int
    today: date
    tz: str
    user_tz: str | None
    policy_version: str
    as_of: InstantText | UnsetType | None = UNSET
    lag_ms: int | UnsetType | None = UNSET


class Progress(UserView, frozen=True, kw_only=True):
    """A user's streak as it is now, and where it leads."""

    streak_days: int
    streak_safe_until: date | None
    covered_today: bool
    longest_days: int
    lifetime_days: int
    lap: int
    cycle_day: int
    last_local_date: date | None
    figure: str | None
    frame: int
    variant: int
    asset: Asset | None
    portals_reached: int
    next_portal: NextPortal
    field_keys_pending: int
    updated_at: InstantText


class PortalSeen(msgspec.Struct, frozen=True):
    """A portal that was unlocked; once, for ever."""

    lap: int
    slug: str
    title: str
    cycle_day: int | None
    figure: str | None
    reached_on: date
    unlocked_at: InstantText
    asset: Asset


class Portals(UserView, frozen=True, kw_only=True):
    """The portals that a user has reached, in the order in which they were told."""

    portals: list[PortalSeen]
    next_portal: NextPortal


class FieldKey(msgspec.Struct, frozen=True):
    """A Field Key; `lap` and `portal` say what granted it, where that is known."""

    key_id: str
    claimed: bool
    lap: int | None
    portal: str | None


class Keys(UserView, frozen=True, kw_only=True):
    """The Field Keys that a user was granted, and the claims that still wait for their grant."""

    granted: list[FieldKey]
    pending: int
    claimed_before_grant: list[str]


class Frame(msgspec.Struct, frozen=True):
    """The figure of one date: `day` of its run, from 1 on."""

    local_date: date
    day: int
    lap: int
    frame: int
    figure: str
    figure_completed: bool
    asset: Asset


class Geometry(UserView, frozen=True, kw_only=True):
    """The current figure, and the figure of each date that counts, the latest first.

    `next_before` is the `before` of the next page; null when there is none.
    """

    current: Frame | None
    variant: int
    generator_version: str
    snapshots: list[Frame]
    next_before: date | None


class Day(msgspec.Struct, frozen=True):
    """One local date. `counts` is whether it is part of a run; `day` of that run, 0 without."""

    local_date: date
    kind: DayKind
    counts: bool
    day: int


class Calendar(UserView, frozen=True, kw_only=True):
    """Each local date between two, both included."""

    first: date
    last: date
    days: list[Day]


class UserNow(msgspec.Struct, frozen=True, gc=False):
    """A published record as of an instant.

    Attributes:
        now: the user's date and standing at that instant.
        policy: the rules in force.
    """

    record: ProgressUpdated
    now: Today
    policy: Policy


class Views:
    """Makes the views.

    Args:
        policies: have the titles and figures of portals.
        catalogue: has the ids of frames.
    """

    def __init__(self, policies: PolicyBook, catalogue: GoldenCatalogue) -> None:
        self._policies = policies
        self._catalogue = catalogue

    def progress(self, user: UserNow) -> Progress:
        """Make the view of a user's progress."""
        record, standing = user.record, user.now.standing
        end, frame = standing.current_end, standing.cycle_day
        return Progress(
            **_head(user),
            streak_days=standing.streak_days,
            streak_safe_until=None if end is None else day_of(end + 1),
            covered_today=end is not None and end >= user.now.date,
            longest_days=standing.longest_days,
            lifetime_days=standing.lifetime_days,
            lap=standing.lap,
            cycle_day=frame,
            last_local_date=maybe_day_of(standing.last_date),
            figure=self._catalogue.figure_of(frame) if frame else None,
            frame=frame,
            variant=record.variant,
            asset=asset(self._catalogue.asset_id(frame, record.variant)) if frame else None,
            portals_reached=len(record.portals),
            next_portal=portal_ahead(record, user.policy, standing.streak_days),
            field_keys_pending=record.field_keys_pending,
            updated_at=rfc3339(record.updated_at),
        )

    def portals(self, user: UserNow) -> Portals:
        """Make the view of a user's portals."""
        seen = []
        for each in user.record.portals:
            known = self.portal(each.slug, each.unlocked_at)
            seen.append(
                PortalSeen(
                    each.lap,
                    each.slug,
                    known.title if known else each.slug,
                    known.day if known else None,
                    known.figure if known else None,
                    day_of(each.reached_on),
                    rfc3339(each.unlocked_at),
                    asset(each.asset_id),
                )
            )
        ahead = portal_ahead(user.record, user.policy, user.now.standing.streak_days)
        return Portals(**_head(user), portals=seen, next_portal=ahead)

    def keys(self, user: UserNow) -> Keys:
        """Make the view of a user's Field Keys."""
        source = {}
        record = user.record
        for each in record.portals:
            most = self._policies.keys_max.get(each.slug, 0)
            for key_id in key_ids(record.user_id, each.lap, each.slug, most):
                source[key_id] = (each.lap, each.slug)
        claimed = set(record.keys.claimed)
        granted = [
            FieldKey(key_id, key_id in claimed, *source.get(key_id, (None, None)))
            for key_id in record.keys.granted
        ]
        return Keys(
            **_head(user),
            granted=granted,
            pending=record.field_keys_pending,
            claimed_before_grant=sorted(claimed.difference(record.keys.granted)),
        )

    def geometry(self, user: UserNow, before: LocalDate, limit: int) -> Geometry:
        """Make one page of a user's figures.

        Args:
            before: only dates before this one.
            limit: max dates of the page, 1 and up.
        """
        covered, end = user.now.covered, user.now.standing.current_end
        page = list(islice(self._frames(user, before), limit))
        current = None if end is None else next(self._frames(user, end + 1), None)
        more = len(page) == limit and page[-1].date > covered[0][0]
        return Geometry(
            **_head(user),
            current=None if current is None else frame_of(current),
            variant=user.record.variant,
            generator_version=self._catalogue.generator_version,
            snapshots=[frame_of(each) for each in page],
            next_before=day_of(page[-1].date) if more else None,
        )

    def _frames(self, user: UserNow, before: LocalDate) -> Iterator[Snapshot]:
        variant = user.record.variant
        return snapshots(user.now.covered, before, variant, user.policy, self._catalogue)

    def calendar(self, user: UserNow, first: LocalDate, last: LocalDate) -> Calendar:
        """Make the calendar of the dates from `first` to `last`."""
        counted = {}
        for start, length in user.now.covered:
            for number in range(max(start, first), min(start + length - 1, last) + 1):
                counted[number] = number - start + 1
        kinds = day_kinds(user.record.dates, first, last)
        days = [
            Day(day_of(number), kind, number in counted, counted.get(number, 0))
            for number, kind in zip(range(first, last + 1), kinds, strict=True)
        ]
        return Calendar(**_head(user), first=day_of(first), last=day_of(last), days=days)

    def portal(self, slug: str, at: Instant) -> Portal | None:
        """Find a portal in the policy of an instant, else in the latest version that has it."""
        for policy in (self._policies.at(at), *reversed(self._policies.versions)):
            for portal in policy.portals:
                if portal.slug == slug:
                    return portal
        return None


def frame_of(snapshot: Snapshot) -> Frame:
    """Make the view of a snapshot."""
    return Frame(
        day_of(snapshot.date),
        snapshot.day,
        snapshot.lap,
        snapshot.frame,
        snapshot.figure,
        snapshot.completed,
        asset(snapshot.asset_id),
    )


def asset(asset_id: str) -> Asset:
    """Return the addresses of a drawn frame."""
    return Asset(asset_id, f"/v1/assets/{asset_id}.svg", f"/v1/assets/{asset_id}.png")


def _head(user: UserNow) -> dict[str, Any]:
    record = user.record
    return {
        "user_id": record.user_id,
        "generation": record.generation,
        "revision": record.revision,
        "today": day_of(user.now.date),
        "tz": user.now.tz,
        "user_tz": record.tz if record.tz_known else None,
        "policy_version": user.policy.version,
    }
