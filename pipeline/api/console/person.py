"""One person's page.

Owns: what it shows: the calendar, the portals as a time line, the gallery.
Does not own: the views themselves (views.py), what happened to the person's inputs (history.py).
Invariant: the page is bounded even after decades of practice: it shows `YEARS` of the calendar, and
long lists have pages.
"""

from collections.abc import Sequence
from datetime import date
from typing import Final, Literal

import msgspec

from pipeline.api.console.dependencies import ConsoleDependencies
from pipeline.api.console.heatmap import Year, years_of
from pipeline.api.console.history import place
from pipeline.api.console.people import user_at_now
from pipeline.api.console.zone import Own, own_of
from pipeline.api.dependencies import Dependencies
from pipeline.api.outcomes.index import PAGE_MAX
from pipeline.api.reads.freshness import AsOf
from pipeline.api.reads.views import FieldKey, Keys, PortalSeen, Progress, UserNow, asset
from pipeline.core.calendar import date_of, day_of
from pipeline.core.geometry.cycle import SPANS
from pipeline.core.records import PortalUnlocked
from pipeline.ops.delivery.watch import Read

YEARS: Final = 2
"""Years of the calendar on a page."""


class Passed(msgspec.Struct, frozen=True):
    """A portal of the time line.

    Attributes:
        source: place of the input that unlocked it; empty where the history no longer has it.
        published: place of the record that published it.
        keys: number of Field Keys that it granted.
        reads: which downstream groups have read the record; empty where that is not known.
    """

    portal: PortalSeen
    source: str
    published: str
    keys: int
    reads: Sequence[Read] = ()


class Grant(msgspec.Struct, frozen=True):
    """The Field Keys of one portal; `lap` counts from 1, as people do."""

    title: str
    lap: int | str
    keys: Sequence[FieldKey]


DrawnState = Literal["complete", "begun", "ahead"]


class Drawn(msgspec.Struct, frozen=True):
    """A figure of the gallery.

    Attributes:
        frame: the furthest frame that was reached; 0 for none.
        days: days of a run that complete the figure.
        svg: address of the frame; empty without one.
    """

    slug: str
    title: str
    state: DrawnState
    frame: int
    days: int
    svg: str


class Person(msgspec.Struct, frozen=True):
    """Everything on a page.

    Attributes:
        record_place: place of the published progress.
        own: the person's own zone, where the page reads in another.
        older_year: the latest year before those on the page; None without one.
    """

    progress: Progress
    own: Own | None
    keys: Keys
    grants: Sequence[Grant]
    years: Sequence[Year]
    older_year: int | None
    portals: Sequence[Passed]
    gallery: Sequence[Drawn]
    record_place: str
    cause: str
    as_of: AsOf | None


def person_of(
    deps: ConsoleDependencies, user_id: str, until_year: int, tz: str | None = None
) -> Person | None:
    """Make a person's page; None where nothing was published about them.

    Args:
        until_year: the calendar's latest year; a year in the future stands for this year.
        tz: canonical name of the zone in which the person is read; None: their own.
    """
    held = deps.source.store.get(user_id)
    if held is None:
        return None
    user = user_at_now(deps, held.value, tz)
    views = deps.reads.views
    portals = _passed(deps, user)
    years, older = _calendar(deps, user, portals, until_year)
    cause = user.record.cause
    keys = views.keys(user)
    return Person(
        progress=views.progress(user),
        own=own_of(deps, user),
        keys=keys,
        grants=_grants(keys, portals),
        years=years,
        older_year=older,
        portals=portals,
        gallery=gallery_of(deps, user),
        record_place=place(deps.settings.topic("progress"), held.partition, held.offset),
        cause=place(cause.topic, cause.partition, cause.offset),
        as_of=deps.source.freshness.as_of(held.partition),
    )


def _calendar(
    deps: Dependencies, user: UserNow, portals: Sequence[Passed], until_year: int
) -> tuple[list[Year], int | None]:
    """Return the years of a page, and the latest year before them."""
    dates = user.record.dates
    starts = [
        runs[0].start
        for runs in (dates.practised, dates.bridged, dates.credited, dates.revoked)
        if runs
    ]
    last = max(user.now.date, user.now.standing.last_date or user.now.date)
    first = min([*starts, last])
    year = min(until_year, day_of(last).year)
    least = date(max(1, year - YEARS + 1), 1, 1)
    shown_first = max(first, date_of(least))
    shown_last = min(last, date_of(date(year, 12, 31)))
    if shown_first > shown_last:
        return [], None
    shown = deps.reads.views.calendar(user, shown_first, shown_last)
    reached = {one.portal.reached_on: one.portal.title for one in portals}
    older = least.year - 1 if day_of(first) < least else None
    return years_of(shown.days, reached, shown.today), older


def _passed(deps: ConsoleDependencies, user: UserNow) -> list[Passed]:
    entries, _ = deps.outcomes.of_user(user.record.user_id, ("portals",), limit=PAGE_MAX)
    published_by_portal = {
        (entry.record.lap, entry.record.portal): (entry, entry.record)
        for entry in entries
        if isinstance(entry.record, PortalUnlocked)
    }
    found = []
    for portal in deps.reads.views.portals(user).portals:
        source = published = ""
        keys = 0
        reads: Sequence[Read] = ()
        if (portal.lap, portal.slug) in published_by_portal:
            entry, record = published_by_portal[portal.lap, portal.slug]
            source = place(record.cause.topic, record.cause.partition, record.cause.offset)
            at = (deps.settings.topic("portals"), entry.partition, entry.offset)
            published, reads = place(*at), deps.delivery.reads(*at)
            keys = len(record.field_keys)
        found.append(Passed(portal, source, published, keys, reads))
    return found


def _grants(keys: Keys, portals: Sequence[Passed]) -> list[Grant]:
    """Group keys by the portal that granted them, in the order of the portals."""
    by_portal: dict[tuple[int | None, str | None], list[FieldKey]] = {}
    for key in keys.granted:
        by_portal.setdefault((key.lap, key.portal), []).append(key)
    found = []
    for one in portals:
        granted = by_portal.pop((one.portal.lap, one.portal.slug), [])
        if granted:
            found.append(Grant(one.portal.title, one.portal.lap + 1, granted))
    return [*found, *(Grant("unknown", "", rest) for rest in by_portal.values())]


def gallery_of(deps: Dependencies, user: UserNow) -> list[Drawn]:
    """Return the thirteen figures as far as the user's longest run has drawn them."""
    longest = user.now.standing.longest_days
    titles = {portal.figure: portal.title for portal in user.policy.portals}
    found, before = [], 0
    for slug, last in SPANS:
        frame = min(last, longest) if longest > before else 0
        state: DrawnState = "ahead" if not frame else "complete" if longest >= last else "begun"
        svg = asset(deps.catalogue.asset_id(frame, user.record.variant)).svg if frame else ""
        title = titles.get(slug, slug.replace("-", " ").title())
        found.append(Drawn(slug, title, state, frame, last, svg))
        before = last
    return found
