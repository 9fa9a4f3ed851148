"""The transition that follows when a user's sets have grown.

Owns: the new state, and the portals and frames to publish with it.
Does not own: what made the sets grow (fold.py, commands.py), which portals are due (portals.py).
Invariant: each trigger is one revision; a portal is published by the trigger that puts it into the
sets.
"""

import msgspec
from msgspec.structs import replace

from pipeline.core.assets import AssetCatalogue
from pipeline.core.dateline import DatelineWindow
from pipeline.core.enumerations import Origin
from pipeline.core.geometry.cycle import FRAMES
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
from pipeline.core.seen_filter import SeenFilter
from pipeline.core.sets import Sets, claimed_keys, covered, digest_of, with_unlocked
from pipeline.core.state import Unlocked, UserState, shown_zone
from pipeline.core.streak import Standing, standing_of


class Trigger(msgspec.Struct, frozen=True, gc=False):
    """The input that made the sets grow.

    Attributes:
        practice: of the completion; None for a command.
        policy: the version in force at `append_time`.
    """

    user_id: str
    practice: str | None
    origin: Origin
    cause: Cause
    append_time: Instant
    policy: Policy


class StateDelta(msgspec.Struct, frozen=True, gc=False):
    """The fields of `UserState` that an input sets by itself, with their new values."""

    sets: Sets
    tz: str
    tz_at: Instant
    tz_id: str
    dateline: DatelineWindow
    seen_filter: SeenFilter


class Transition(msgspec.Struct, frozen=True, gc=False):
    """The new state, where the user stands with it, and the records to publish."""

    state: UserState
    standing: Standing
    unlocks: tuple[PortalUnlocked, ...]
    geometry: tuple[GeometryUpdated, ...]


class _Grant(msgspec.Struct, frozen=True, gc=False):
    """A due portal with what it grants: its keys, and its asset in the user's variant."""

    due: Due
    asset_id: str
    keys: tuple[str, ...]


def transition(before: UserState, delta: StateDelta, trigger: Trigger, world: World) -> Transition:
    """Derive everything that follows from an input that counts.

    Args:
        before: the state before the input.
        delta: what the input sets by itself.
    """
    policy = trigger.policy
    sets = delta.sets
    dates = covered(sets)
    standing = standing_of(dates, delta.tz, trigger.append_time, policy)
    checked_days = before.checked_days if before.checked_policy == policy.version else 0
    portals, granted = before.portals, before.granted
    grants: tuple[_Grant, ...] = ()
    # equivalent (>=): no portal is due between equal lengths
    if standing.longest_days > checked_days:
        due = due_portals(sets, dates, policy, checked_days, standing.longest_days)
        checked_days = standing.longest_days
        # equivalent (True): a short cut; nothing due adds nothing
        if due:
            grants = tuple([_grant(each, trigger.user_id, world) for each in due])
            # guard (assignment): a portal that is published is in the sets
            sets = _with_all(sets, due)
            portals = (*portals, *[_row(each, trigger.append_time) for each in grants])
            granted = tuple(sorted([*granted, *[key for each in grants for key in each.keys]]))
    state = replace(
        before,
        # guard (-): every change is a revision
        revision=before.revision + 1,
        # equivalent (False): a short cut; equal sets have equal digests
        digest=before.digest if sets is before.sets else digest_of(sets),
        sets=sets,
        portals=portals,
        granted=granted,
        tz=delta.tz,
        tz_at=delta.tz_at,
        tz_id=delta.tz_id,
        dateline=delta.dateline,
        frame_published=standing.cycle_day or before.frame_published,
        checked_days=checked_days,
        checked_policy=policy.version,
        seen_filter=delta.seen_filter,
    )
    return Transition(
        state,
        standing,
        # equivalent (True): a short cut; no portal makes no record
        _unlocks(grants, state, standing, trigger, world) if grants else (),
        _geometry(grants, before.frame_published, standing, trigger, world.assets),
    )


def pending_keys(granted: tuple[str, ...], claimed: tuple[str, ...]) -> int:
    """Return how many of the granted keys are not claimed."""
    # equivalent (True): a short cut; no claim takes no key away
    return len(granted) - len(set(claimed).intersection(granted)) if claimed else len(granted)


def _grant(due: Due, user_id: str, world: World) -> _Grant:
    variant = world.assets.variant_of(user_id)
    return _Grant(
        due,
        world.assets.asset_id(due.portal.day, variant),
        key_ids(user_id, due.lap, due.portal.slug, due.portal.keys),
    )


def _row(grant: _Grant, append_time: Instant) -> Unlocked:
    due = grant.due
    return Unlocked(due.lap, due.portal.slug, due.reached_on, append_time, grant.asset_id)


def _with_all(sets: Sets, due: tuple[Due, ...]) -> Sets:
    unlocked = sets.unlocked
    for each in due:
        unlocked = with_unlocked(unlocked, each.lap, each.portal.slug)
    return replace(sets, unlocked=unlocked)


def _unlocks(
    grants: tuple[_Grant, ...],
    state: UserState,
    standing: Standing,
    trigger: Trigger,
    world: World,
) -> tuple[PortalUnlocked, ...]:
    ahead = next_portal(state.sets, trigger.policy, standing.streak_days)
    pending = pending_keys(state.granted, claimed_keys(state.sets))
    return tuple(
        PortalUnlocked(
            unlock_id=uuid_of(f"{trigger.user_id}/{due.lap}/{due.portal.slug}"),
            user_id=trigger.user_id,
            lap=due.lap,
            portal=due.portal.slug,
            title=due.portal.title,
            cycle_day=due.portal.day,
            streak_days=standing.streak_days,
            longest_days=standing.longest_days,
            lifetime_days=standing.lifetime_days,
            reached_on=due.reached_on,
            tz=shown_zone(state.tz),
            practice=trigger.practice,
            figure=due.portal.figure,
            frame=due.portal.day,
            asset_id=grant.asset_id,
            asset_url=world.assets.url(grant.asset_id),
            field_keys=grant.keys,
            field_keys_pending=pending,
            next_portal=ahead,
            policy_version=trigger.policy.version,
            origin=trigger.origin,
            unlocked_at=trigger.append_time,
            cause=trigger.cause,
        )
        for grant in grants
        for due in (grant.due,)
    )


def _geometry(
    grants: tuple[_Grant, ...],
    frame_published: int,
    standing: Standing,
    trigger: Trigger,
    assets: AssetCatalogue,
) -> tuple[GeometryUpdated, ...]:
    """Return the frames to publish: those that complete a figure by a portal, then the current one.

    The current frame is published when it is not the one that was published last, and no frame of a
    date is published twice. Two laps that one trigger completes have the same frame, of two dates.
    """
    current, current_end = standing.cycle_day, standing.current_end
    # equivalent (False): a short cut; without a portal the code below publishes the current frame
    # on the same condition
    if not grants:
        if current_end is None or current == frame_published:
            return ()
        # equivalent (removed): a short cut; without a portal the code below publishes the current
        # frame on the same condition
        return (_frame(current, current_end, assets.variant_of(trigger.user_id), trigger, assets),)
    frames = [
        (each.due.portal.day, each.due.reached_on)
        for each in grants
        if _completes(each.due.portal.day, assets)
    ]
    if current_end is not None:
        now = (current, current_end)
        if now in frames:
            frames.remove(now)
            frames.append(now)
        elif current != frame_published:
            frames.append(now)
    variant = assets.variant_of(trigger.user_id)
    return tuple([_frame(frame, date, variant, trigger, assets) for frame, date in frames])


def _frame(
    frame: int, date: LocalDate, variant: int, trigger: Trigger, assets: AssetCatalogue
) -> GeometryUpdated:
    asset_id = assets.asset_id(frame, variant)
    return GeometryUpdated(
        user_id=trigger.user_id,
        local_date=date,
        figure=assets.figure_of(frame),
        frame=frame,
        variant=variant,
        figure_completed=_completes(frame, assets),
        asset_id=asset_id,
        asset_url=assets.url(asset_id),
        generator_version=assets.generator_version,
        cause=trigger.cause,
    )


def _completes(frame: int, assets: AssetCatalogue) -> bool:
    return frame == FRAMES or assets.figure_of(frame + 1) != assets.figure_of(frame)
