"""What follows when a user's sets have grown.

Owns: the new state, the portals that are told, and the frames that are told.
Does not own: what made the sets grow (fold.py, commands.py), which portals are due (portals.py).
Invariant: each change is one revision; a portal is told in the change that puts it into the sets.
"""

from typing import Final

import msgspec

from pipeline.core.assets import AssetCatalogue
from pipeline.core.dateline import Crossing
from pipeline.core.identity import uuid_of
from pipeline.core.keys import key_ids
from pipeline.core.outcome import World
from pipeline.core.portals import Due, due_portals, next_portal
from pipeline.core.records import (
    Cause,
    GeometryUpdated,
    Instant,
    LocalDate,
    PortalUnlocked,
)
from pipeline.core.rulebook import Policy
from pipeline.core.seen_filter import Traces
from pipeline.core.sets import Sets, claimed_keys, covered, digest_of, with_unlocked
from pipeline.core.state import Unlocked, UserState, shown_zone
from pipeline.core.streak import Standing, standing_of

FRAMES: Final = 108
"""Frames that the catalogue draws."""


class Change(msgspec.Struct, frozen=True, gc=False):
    """What made the sets grow.

    Attributes:
        practice: of the completion; None for a command.
        origin: live, rebuild or adjustment.
    """

    user_id: str
    practice: str | None
    origin: str
    cause: Cause
    append_time: Instant
    policy: Policy


class Grown(msgspec.Struct, frozen=True, gc=False):
    """What of a user's state an input changes by itself, after it; as in `UserState`."""

    sets: Sets
    tz: str
    tz_at: Instant
    tz_id: str
    crossing: Crossing
    traces: Traces


class Settled(msgspec.Struct, frozen=True, gc=False):
    """The new state, where the user stands with it, and what to tell."""

    state: UserState
    standing: Standing
    unlocks: tuple[PortalUnlocked, ...]
    geometry: tuple[GeometryUpdated, ...]


class _Opening(msgspec.Struct, frozen=True, gc=False):
    """A due portal with what it grants: its keys, and its asset in the user's variant."""

    due: Due
    asset_id: str
    keys: tuple[str, ...]


def settle(before: UserState, grown: Grown, change: Change, world: World) -> Settled:
    """Derive everything that follows from a change."""
    policy = change.policy
    sets = grown.sets
    dates = covered(sets)
    standing = standing_of(dates, grown.tz, change.append_time, policy)
    checked_days = before.checked_days if before.checked_policy == policy.version else 0
    portals, granted = before.portals, before.granted
    openings: tuple[_Opening, ...] = ()
    # equivalent (>=): no portal is due between equal lengths
    if standing.longest_days > checked_days:
        due = due_portals(sets, dates, policy, checked_days, standing.longest_days)
        checked_days = standing.longest_days
        # equivalent (True): a short cut; nothing due adds nothing
        if due:
            openings = tuple([_opening(each, change.user_id, world) for each in due])
            # guard (assignment): a portal that is told is in the sets
            sets = _with_all(sets, due)
            portals = (*portals, *[_row(each, change.append_time) for each in openings])
            granted = tuple(sorted([*granted, *[key for each in openings for key in each.keys]]))
    state = UserState(
        # guard (-): every change is a revision
        before.revision + 1,
        # equivalent (False): a short cut; equal sets have equal digests
        before.digest if sets is before.sets else digest_of(sets),
        sets,
        portals,
        granted,
        grown.tz,
        grown.tz_at,
        grown.tz_id,
        grown.crossing,
        standing.cycle_day or before.frame_told,
        checked_days,
        policy.version,
        grown.traces,
    )
    return Settled(
        state,
        standing,
        # equivalent (True): a short cut; nothing is told of no openings
        _told(openings, state, standing, change, world) if openings else (),
        _frames(openings, before.frame_told, standing, change, world.assets),
    )


def pending_keys(granted: tuple[str, ...], claimed: tuple[str, ...]) -> int:
    """Return how many of the granted keys are not claimed."""
    # equivalent (True): a short cut; no claim takes no key away
    return len(granted) - len(set(claimed).intersection(granted)) if claimed else len(granted)


def _opening(due: Due, user_id: str, world: World) -> _Opening:
    variant = world.assets.variant_of(user_id)
    return _Opening(
        due,
        world.assets.asset_id(due.portal.day, variant),
        key_ids(user_id, due.lap, due.portal.slug, due.portal.keys),
    )


def _row(opening: _Opening, append_time: Instant) -> Unlocked:
    due = opening.due
    return Unlocked(due.lap, due.portal.slug, due.reached_on, append_time, opening.asset_id)


def _with_all(sets: Sets, due: tuple[Due, ...]) -> Sets:
    unlocked = sets.unlocked
    for each in due:
        unlocked = with_unlocked(unlocked, each.lap, each.portal.slug)
    return Sets(
        sets.practised,
        sets.bridged,
        sets.credits,
        sets.revocations,
        sets.withdrawals,
        sets.claims,
        unlocked,
    )


def _told(
    openings: tuple[_Opening, ...],
    state: UserState,
    standing: Standing,
    change: Change,
    world: World,
) -> tuple[PortalUnlocked, ...]:
    ahead = next_portal(state.sets, change.policy, standing.streak_days)
    pending = pending_keys(state.granted, claimed_keys(state.sets))
    return tuple(
        PortalUnlocked(
            unlock_id=uuid_of(f"{change.user_id}/{due.lap}/{due.portal.slug}"),
            user_id=change.user_id,
            lap=due.lap,
            portal=due.portal.slug,
            title=due.portal.title,
            cycle_day=due.portal.day,
            streak_days=standing.streak_days,
            longest_days=standing.longest_days,
            lifetime_days=standing.lifetime_days,
            reached_on=due.reached_on,
            tz=shown_zone(state.tz),
            practice=change.practice,
            figure=due.portal.figure,
            frame=due.portal.day,
            asset_id=opening.asset_id,
            asset_url=world.assets.url(opening.asset_id),
            field_keys=opening.keys,
            field_keys_pending=pending,
            next_portal=ahead,
            policy_version=change.policy.version,
            origin=change.origin,
            unlocked_at=change.append_time,
            cause=change.cause,
        )
        for opening in openings
        for due in (opening.due,)
    )


def _frames(
    openings: tuple[_Opening, ...],
    frame_told: int,
    standing: Standing,
    change: Change,
    assets: AssetCatalogue,
) -> tuple[GeometryUpdated, ...]:
    """Return the frames to tell: those that complete a figure by a portal, then the current one.

    The current frame is told when it is another than was told before, and no frame of a date is
    told twice. Two laps that one change completes have the same frame, of two dates.
    """
    current, current_end = standing.cycle_day, standing.current_end
    # equivalent (False): a short cut; without an opening the code below tells the current frame on
    # the same condition
    if not openings:
        if current_end is None or current == frame_told:
            return ()
        # equivalent (removed): a short cut; without an opening the code below tells the current
        # frame on the same condition
        return (_frame(current, current_end, assets.variant_of(change.user_id), change, assets),)
    frames = [
        (each.due.portal.day, each.due.reached_on)
        for each in openings
        if _completes(each.due.portal.day, assets)
    ]
    if current_end is not None:
        now = (current, current_end)
        if now in frames:
            frames.remove(now)
            frames.append(now)
        elif current != frame_told:
            frames.append(now)
    variant = assets.variant_of(change.user_id)
    return tuple([_frame(frame, date, variant, change, assets) for frame, date in frames])


def _frame(
    frame: int, date: LocalDate, variant: int, change: Change, assets: AssetCatalogue
) -> GeometryUpdated:
    asset_id = assets.asset_id(frame, variant)
    return GeometryUpdated(
        user_id=change.user_id,
        local_date=date,
        figure=assets.figure_of(frame),
        frame=frame,
        variant=variant,
        figure_completed=_completes(frame, assets),
        asset_id=asset_id,
        asset_url=assets.url(asset_id),
        generator_version=assets.generator_version,
        cause=change.cause,
    )


def _completes(frame: int, assets: AssetCatalogue) -> bool:
    return frame == FRAMES or assets.figure_of(frame + 1) != assets.figure_of(frame)
