"""What portals, progress and geometry have to say, field by field.

Owns: the tables of the three records about a user.
Does not own: the other records (records_tables.py), the formulas (records_meaning.py).
Invariant: a key is the path of a field that holds no record; its value gives what stands there.
"""

from datetime import date
from typing import Any, Final

from pipeline.dev.oracle import Completion
from tests.integration.records_meaning import (
    FIGURES,
    ONE_DAY,
    Published,
    figure_of,
    frames_of,
    instant_of,
    portal_row,
    runs,
    uuid_of,
    variant_of,
)
from tests.integration.records_scene import catalogue_in
from tests.integration.records_tables import CAUSE, GENERATION, Table


def _ahead(record: Published, field: str) -> Any:
    slug, days_away = record.unlock.shown.next_portal
    return days_away if field == "days_away" else portal_row(record, slug)[field]


def _keys(record: Published) -> list[str]:
    count = portal_row(record, record.unlock.slug)["keys"]
    return [
        uuid_of(record.user.user_id, record.unlock.lap, record.unlock.slug, i) for i in range(count)
    ]


def _url(record: Published, asset_id: str) -> str:
    return (record.scene.ledger.assets.resolve() / "svg" / f"{asset_id}.svg").as_uri()


PORTAL_UNLOCKED: Final[Table] = {
    "unlock_id": lambda t: uuid_of(t.user.user_id, t.unlock.lap, t.unlock.slug),
    "user_id": lambda t: t.user.user_id,
    "lap": lambda t: t.unlock.lap,
    "portal": lambda t: t.unlock.slug,
    "title": lambda t: portal_row(t, t.unlock.slug)["title"],
    "cycle_day": lambda t: portal_row(t, t.unlock.slug)["day"],
    "streak_days": lambda t: t.shown.streak_days,
    "longest_days": lambda t: t.shown.longest_days,
    "lifetime_days": lambda t: len(t.user.covered),
    "reached_on": lambda t: t.unlock.reached_on,
    "tz": lambda t: t.user.zone or "UTC",
    "practice": lambda t: t.step.judged.practice if isinstance(t.step.judged, Completion) else None,
    "figure": lambda t: portal_row(t, t.unlock.slug)["figure"],
    "frame": lambda t: portal_row(t, t.unlock.slug)["day"],
    "asset_id": lambda t: t.picture(t.unlock.day),
    "asset_url": lambda t: _url(t, t.picture(t.unlock.day)),
    "field_keys": _keys,
    "field_keys_pending": lambda t: len(t.user.keys_granted - t.user.keys_claimed),
    "next_portal.slug": lambda t: _ahead(t, "slug"),
    "next_portal.title": lambda t: _ahead(t, "title"),
    "next_portal.days_away": lambda t: _ahead(t, "days_away"),
    "policy_version": lambda t: t.policy.version,
    "origin": lambda t: "live" if isinstance(t.step.judged, Completion) else "adjustment",
    "unlocked_at": lambda t: t.at,
} | CAUSE


def _frame(record: Published) -> int:
    return frames_of(record)[record.nth][0]


GEOMETRY_UPDATED: Final[Table] = {
    "user_id": lambda t: t.user.user_id,
    "local_date": lambda t: frames_of(t)[t.nth][1],
    "figure": lambda t: figure_of(_frame(t)),
    "frame": _frame,
    "variant": lambda t: variant_of(t.user.user_id),
    "figure_completed": lambda t: _frame(t) in FIGURES,
    "asset_id": lambda t: t.picture(_frame(t)),
    "asset_url": lambda t: _url(t, t.picture(_frame(t))),
    "generator_version": lambda t: catalogue_in(t.scene.ledger.assets)[0],
} | CAUSE


def _day_in_cycle(record: Published) -> int:
    streak = record.shown.streak_days
    return (streak - 1) % 108 + 1 if streak else 0


def _last(record: Published) -> date | None:
    return max(record.user.covered, default=None)


def _current_end(record: Published) -> date | None:
    """The last date of the run that goes on: the earliest one that ends yesterday or later."""
    safe_until = record.shown.streak_safe_until
    assert safe_until is None or safe_until - ONE_DAY in record.user.covered
    return safe_until


PROGRESS_UPDATED: Final[Table] = {
    "user_id": lambda t: t.user.user_id,
    "revision": lambda t: len(t.user.counted) + len(t.user.commands),
    "streak_days": lambda t: t.shown.streak_days,
    "longest_days": lambda t: max((length for _, length in runs(t.user.covered)), default=0),
    "lifetime_days": lambda t: len(t.user.covered),
    "lap": lambda t: max(t.shown.streak_days - 1, 0) // 108,
    "cycle_day": _day_in_cycle,
    "last_local_date": _last,
    "streak_safe_until": _current_end,
    "tz": lambda t: t.user.zone or "UTC",
    "dates.practised.start": lambda t: [start for start, _ in runs(t.user.practised)],
    "dates.practised.length": lambda t: [length for _, length in runs(t.user.practised)],
    "dates.bridged.start": lambda t: [start for start, _ in runs(t.user.bridged)],
    "dates.bridged.length": lambda t: [length for _, length in runs(t.user.bridged)],
    "dates.credited.start": lambda t: [start for start, _ in runs(t.user.credited)],
    "dates.credited.length": lambda t: [length for _, length in runs(t.user.credited)],
    "dates.revoked.start": lambda t: [start for start, _ in runs(t.user.revoked)],
    "dates.revoked.length": lambda t: [length for _, length in runs(t.user.revoked)],
    "portals.lap": lambda t: [lap for lap, _ in t.user.unlocks],
    "portals.slug": lambda t: [slug for _, slug in t.user.unlocks],
    "portals.reached_on": lambda t: [one.reached_on for one in t.user.unlocks.values()],
    "portals.unlocked_at": lambda t: [
        instant_of(t.scene.steps[one.coordinates].logged) for one in t.user.unlocks.values()
    ],
    "portals.asset_id": lambda t: [t.picture(one.day) for one in t.user.unlocks.values()],
    "keys.granted": lambda t: sorted(t.user.keys_granted),
    "keys.claimed": lambda t: sorted(t.user.keys_claimed),
    "field_keys_pending": lambda t: len(t.user.keys_granted - t.user.keys_claimed),
    "figure": lambda t: figure_of(_day_in_cycle(t)) if _day_in_cycle(t) else None,
    "frame": _day_in_cycle,
    "variant": lambda t: variant_of(t.user.user_id),
    "asset_id": lambda t: t.picture(_day_in_cycle(t)) if _day_in_cycle(t) else None,
    "policy_version": lambda t: t.policy.version,
    "generation": lambda t: GENERATION,
    "updated_at": lambda t: t.at,
    "tz_known": lambda t: t.user.zone is not None,
} | CAUSE
