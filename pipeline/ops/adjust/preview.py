"""What a correction would change, before it is sent.

Owns: the figures before and after, the dates, portals and keys, what to say beside them.
Does not own: the fold (core/fold.py), where a user's state comes from (user_state.py), showing it.
Invariants: it is pure; the verdict is the fold's own over the given state, so it is what the worker
will decide, unless another input of the user comes first.
"""

from datetime import date

import msgspec
from msgspec.structs import replace

from pipeline.codec import json_inputs
from pipeline.codec.errors import DecodeError
from pipeline.core.calendar import day_of, maybe_day_of
from pipeline.core.enumerations import DATED, CommandVerdict
from pipeline.core.fold import fold_command
from pipeline.core.outcome import Outcome, World
from pipeline.core.records import Cause, Command, Instant, PortalUnlocked
from pipeline.core.rejection import Rejection
from pipeline.core.runs import Runs, contains, difference
from pipeline.core.sets import claimed_keys, covered, request_of
from pipeline.core.state import NO_SETS, UserState
from pipeline.core.streak import standing_of
from pipeline.core.transition import pending_keys
from pipeline.ops.adjust.request import encoded


class Figures(msgspec.Struct, frozen=True):
    """Where a user stands at the instant of the preview.

    Attributes:
        cycle_day: also the frame that is shown, 1 and up; 0 without a current run.
        figure: of that frame; None without one.
        last_date: the latest date that counts.
        keys_pending: keys that were granted and are not claimed.
    """

    streak_days: int
    longest_days: int
    lifetime_days: int
    lap: int
    cycle_day: int
    figure: str | None
    last_date: date | None
    keys_granted: int
    keys_pending: int


class PortalToUnlock(msgspec.Struct, frozen=True):
    """A portal that the correction unlocks, for ever.

    Attributes:
        lap: 0 and up. keys: ids of the Field Keys that come with it.
    """

    lap: int
    slug: str
    title: str
    reached_on: date
    keys: tuple[str, ...]


class RejectionShown(msgspec.Struct, frozen=True):
    """Why the request would be rejected: a stable code, and a sentence for a person."""

    reason: str
    detail: str


class AdjustmentPreview(msgspec.Struct, frozen=True):
    """Exactly what a correction would change.

    Attributes:
        verdict: dead_letter when it would be rejected.
        revision: of the user, before.
        after: equal to `before` unless the verdict is applied.
        dates_added, dates_removed: that start or cease to count.
        keys_claimed, keys_returned: that start or cease to be claimed.
        notes: what somebody who expects another effect should know.
    """

    user_id: str
    request_id: str
    kind: str
    actor: str
    verdict: CommandVerdict
    rejection: RejectionShown | None
    revision: int
    before: Figures
    after: Figures
    dates_added: tuple[date, ...]
    dates_removed: tuple[date, ...]
    portals: tuple[PortalToUnlock, ...]
    keys_claimed: tuple[str, ...]
    keys_returned: tuple[str, ...]
    notes: tuple[str, ...]
    policy_version: str

    @property
    def changes_something(self) -> bool:
        """Whether anything that a reader sees would change."""
        return bool(
            self.dates_added
            or self.dates_removed
            or self.portals
            or self.keys_claimed
            or self.keys_returned
        )


def preview(
    state: UserState, command: Command, world: World, append_time: Instant
) -> AdjustmentPreview:
    """Fold a command over a state, and say what that changes; nothing is sent.

    Args:
        state: of the command's user; `EMPTY` when there is none.
        command: of the right types, otherwise anything at all.
        append_time: when it would be appended: now.
    """
    return previewed(state, command, world, append_time)[1]


def previewed(
    state: UserState, command: Command, world: World, append_time: Instant
) -> tuple[UserState, AdjustmentPreview]:
    """Return also the state after the command, for a preview of the next one of its user."""
    cause = Cause("", 0, 0, command.request_id)
    outcome = fold_command(state, command, cause, append_time, world)
    if outcome.rejection is None and (refused := _undecodable(command)):
        outcome = replace(outcome, rejection=refused, state=None, unlocks=())
    after = outcome.state or state
    old, new = covered(state.sets), covered(after.sets)
    claims, claims_after = set(claimed_keys(state.sets)), set(claimed_keys(after.sets))
    rejection = outcome.rejection
    found = AdjustmentPreview(
        user_id=command.user_id,
        request_id=command.request_id,
        kind=command.kind,
        actor=command.actor,
        verdict=_verdict(outcome),
        rejection=RejectionShown(rejection.reason, rejection.detail) if rejection else None,
        revision=state.revision,
        before=_figures(state, old, append_time, world),
        after=_figures(after, new, append_time, world),
        dates_added=_dates(difference(new, old)),
        dates_removed=_dates(difference(old, new)),
        portals=tuple([_portal(unlock) for unlock in outcome.unlocks]),
        keys_claimed=tuple(sorted(claims_after - claims)),
        keys_returned=tuple(sorted(claims - claims_after)),
        notes=_notes(state, command, outcome, old, new),
        policy_version=outcome.policy_version,
    )
    return after, found


def _undecodable(command: Command) -> Rejection | None:
    """Why the worker would not even read it, such as a text that is longer than it takes."""
    try:
        json_inputs.command(encoded(command))
    except DecodeError as error:
        return Rejection(error.stage, error.reason, error.detail)
    return None


def _verdict(outcome: Outcome) -> CommandVerdict:
    if outcome.rejection is not None:
        return "dead_letter"
    return "repeated" if outcome.state is None else "applied"


def _figures(state: UserState, dates: Runs, instant: Instant, world: World) -> Figures:
    standing = standing_of(dates, state.tz, instant, world.policies.at(instant))
    frame = standing.cycle_day
    return Figures(
        standing.streak_days,
        standing.longest_days,
        standing.lifetime_days,
        standing.lap,
        frame,
        world.assets.figure_of(frame) if frame else None,
        maybe_day_of(standing.last_date),
        len(state.granted),
        pending_keys(state.granted, claimed_keys(state.sets)),
    )


def _portal(unlock: PortalUnlocked) -> PortalToUnlock:
    return PortalToUnlock(
        unlock.lap, unlock.portal, unlock.title, day_of(unlock.reached_on), unlock.field_keys
    )


def _notes(
    state: UserState, command: Command, outcome: Outcome, old: Runs, new: Runs
) -> tuple[str, ...]:
    """What is not an error, but seldom what was meant."""
    if outcome.state is None:
        return ()
    notes = []
    if state.revision == 0 and state.sets == NO_SETS:
        notes.append("nothing is known of this user yet; is the id right? ids are case-sensitive")
    dated = command.local_date
    if command.kind in DATED and dated is not None and old == new:
        if outcome.revoked_by and command.kind == "credit":
            others = ", ".join(outcome.revoked_by)
            notes.append(f"a revocation wins over a credit: the date is revoked by {others}")
        else:
            counts = "counts" if contains(old, dated) else "does not count"
            notes.append(f"{day_of(dated)} {counts} already, so nothing changes for now")
    if command.kind == "withdraw" and command.withdraws:
        earlier = request_of(state.sets, command.withdraws)
        if earlier is None:
            notes.append(
                f"no request {command.withdraws} of this user is known; if it ever comes, it will "
                "have no effect"
            )
        elif earlier[0] == "withdraw":
            notes.append("a withdrawal stays, whether it is withdrawn or not: ask anew instead")
    if command.kind == "claim_key" and command.key_id not in state.granted:
        notes.append("the key is not granted yet; it is claimed as soon as its portal unlocks")
    if command.kind == "revoke" and outcome.state.portals:
        notes.append("portals and keys that were unlocked stay unlocked")
    return tuple(notes)


def _dates(runs: Runs) -> tuple[date, ...]:
    return tuple([day_of(start + n) for start, length in runs for n in range(length)])
