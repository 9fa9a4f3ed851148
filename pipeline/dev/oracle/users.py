"""One user, from everything that was ever accepted of them.

Owns: the sets and what follows from them: covered dates, streak, portals, keys, zone.
Does not own: which events count (duplicates.py, model.py).
Invariant: only `UserModel.unlock_due` and `UserModel.count` depend on the order of events. All they
add is portals, unlocked when first reached and never taken back, and bridges, made by the rule then
in force and never taken down.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID, uuid5

from pipeline.dev.oracle.dates import ONE_DAY, Ending, bridged_beside, local_date, runs_of
from pipeline.dev.oracle.events import Coordinates, SupportCommand
from pipeline.dev.oracle.rules import Policy
from pipeline.dev.oracle.zones import LAST_ON_EARTH, named

NAMESPACE = UUID("8f0c5a9e-2f4b-5d57-9a0e-6b1d4c7e3a21")
LAPS_MAX = 100
"""Laps for which keys can be claimed; thirty years of practice."""

PortalId = tuple[int, str]
"""(lap, slug)."""


@dataclass(frozen=True, slots=True)
class Counted:
    """A completion that counts: with its clock put right, its zone and its date decided.

    Attributes:
        tz: the zone's canonical name. assumed: it is but an offset.
    """

    coordinates: Coordinates
    completion_id: str
    session_id: str
    content: tuple[str, str, int, int, str]
    tz: str
    start_ms: int
    end_ms: int
    append_time_ms: int
    local_date: date
    assumed: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """What is shown of a user at an instant; None and 0 where there is nothing to show.

    Attributes:
        next_portal: slug of the portal ahead of the current streak that is still to be unlocked,
            and how many days (1 and up) away it is.
    """

    streak_days: int
    longest_days: int
    lifetime_days: int
    lap: int
    cycle_day: int
    last_local_date: date | None
    streak_safe_until: date | None
    next_portal: tuple[str, int]


@dataclass(frozen=True, slots=True)
class Unlock:
    """A portal, unlocked.

    Attributes:
        day: the portal's day in the cycle.
        keys: ids granted with it. keys_pending: of all portals, after the event.
        reached_on: the date on which the run reached it.
        unlocked_at_ms: append time of the event that did it, and `coordinates`, where that lies.
        shown: the user's progress after the event, and `tz`, their zone.
    """

    lap: int
    slug: str
    day: int
    keys: tuple[str, ...]
    keys_pending: int
    reached_on: date
    unlocked_at_ms: int
    coordinates: Coordinates
    shown: Progress
    tz: str


@dataclass(slots=True)
class UserModel:
    """Everything that counted, in the order in which it came."""

    user_id: str
    counted: list[Counted] = field(default_factory=list)
    commands: list[SupportCommand] = field(default_factory=list)
    unlocks: dict[PortalId, Unlock] = field(default_factory=dict)
    bridges: set[date] = field(default_factory=set)
    last_change: Coordinates | None = None
    last_change_ms: int = 0

    @property
    def revision(self) -> int:
        """How often anything changed."""
        return len(self.counted) + len(self.commands)

    @property
    def practised(self) -> set[date]:
        """Dates with a completion that counts."""
        return {one.local_date for one in self.counted}

    @property
    def bridged(self) -> set[date]:
        """Dates that travel skipped."""
        return self.bridges - self.practised

    def count(self, completion: Counted, policy: Policy) -> None:
        """Take in a completion that counts, and make the bridges that it leads to."""
        self.counted.append(completion)
        day = completion.local_date
        first, last = day - 2 * ONE_DAY, day + 2 * ONE_DAY
        ends: defaultdict[date, list[Ending]] = defaultdict(list)
        for one in self.counted:
            if first <= one.local_date <= last:
                ends[one.local_date].append(Ending(one.end_ms, one.tz))
        self.bridges |= bridged_beside(day, ends, with_shift=policy.bridge_shift)

    @property
    def _withdrawn(self) -> set[str]:
        return {c.withdraws for c in self.commands if c.kind == "withdraw" and c.withdraws}

    def _live(self, kind: str) -> list[SupportCommand]:
        withdrawn = self._withdrawn
        return [c for c in self.commands if c.kind == kind and c.request_id not in withdrawn]

    @property
    def credited(self) -> set[date]:
        """Dates that support credited, and did not withdraw."""
        return {c.local_date for c in self._live("credit") if c.local_date}

    @property
    def revoked(self) -> set[date]:
        """Dates that support revoked, and did not withdraw."""
        return {c.local_date for c in self._live("revoke") if c.local_date}

    def revokes(self, day: date | None) -> set[str]:
        """Ids of the requests that keep `day` from counting."""
        return {c.request_id for c in self._live("revoke") if c.local_date == day}

    @property
    def covered(self) -> set[date]:
        """Dates that count."""
        return (self.practised | self.bridged | self.credited) - self.revoked

    @property
    def keys_granted(self) -> set[str]:
        """Ids of the keys that came with the portals."""
        return {key for unlock in self.unlocks.values() for key in unlock.keys}

    @property
    def keys_claimed(self) -> set[str]:
        """Ids of the keys that were claimed, granted yet or not."""
        return {c.key_id for c in self._live("claim_key") if c.key_id}

    @property
    def keys_pending(self) -> set[str]:
        """Ids of the keys that wait to be claimed."""
        return self.keys_granted - self.keys_claimed

    @property
    def zone(self) -> str | None:
        """The zone of the completion that ended last; the greater id decides a tie.

        Until there is one, that of the last adjustment that named one; None without any.
        """
        if self.counted:
            return max(self.counted, key=lambda one: (one.end_ms, one.completion_id)).tz
        adjustments = [c for c in self.commands if c.kind in ("credit", "revoke")]
        written = [c.written_zone for c in adjustments if c.written_zone is not None]
        return named(written[-1]) if written else None

    @property
    def tz(self) -> str:
        """The zone as it is shown; UTC while nothing said one."""
        return self.zone or "UTC"

    def unlock_due(self, policy: Policy, append_time_ms: int, coordinates: Coordinates) -> None:
        """Unlock each portal that the longest run has reached by now."""
        self.last_change, self.last_change_ms = coordinates, append_time_ms
        runs = runs_of(self.covered)
        longest = max((days for _, days in runs), default=0)
        due = [
            (lap, portal)
            for lap in range(longest // policy.cycle_days + 1)
            for portal in policy.portals
            if lap * policy.cycle_days + portal.day <= longest
            and (lap, portal.slug) not in self.unlocks
        ]
        if not due:
            return
        keys = {
            (lap, portal.slug): tuple(
                key_id(self.user_id, lap, portal.slug, i) for i in range(portal.keys)
            )
            for lap, portal in due
        }
        granted = self.keys_granted.union(*keys.values())
        shown = self._progress(append_time_ms, policy, {*self.unlocks, *keys})
        for lap, portal in due:
            days = lap * policy.cycle_days + portal.day
            start = next(first for first, length in runs if length >= days)
            self.unlocks[(lap, portal.slug)] = Unlock(
                lap=lap,
                slug=portal.slug,
                day=portal.day,
                keys=keys[(lap, portal.slug)],
                keys_pending=len(granted - self.keys_claimed),
                reached_on=start + (days - 1) * ONE_DAY,
                unlocked_at_ms=append_time_ms,
                coordinates=coordinates,
                shown=shown,
                tz=self.tz,
            )

    def progress(self, now_ms: int, policy: Policy) -> Progress:
        """Return what is shown at `now_ms`."""
        return self._progress(now_ms, policy, set(self.unlocks))

    def _progress(self, now_ms: int, policy: Policy, unlocked: set[PortalId]) -> Progress:
        runs = runs_of(self.covered)
        today = local_date(now_ms, self.zone or LAST_ON_EARTH, policy.day_start)
        current = [run for run in runs if run[0] + (run[1] - 1) * ONE_DAY >= today - ONE_DAY]
        # A credit for tomorrow may stand apart from the run that today can still carry on.
        start, streak = current[0] if current else (today, 0)
        last = runs[-1][0] + (runs[-1][1] - 1) * ONE_DAY if runs else None
        return Progress(
            streak_days=streak,
            longest_days=max((days for _, days in runs), default=0),
            lifetime_days=sum(days for _, days in runs),
            lap=(streak - 1) // policy.cycle_days if streak else 0,
            cycle_day=(streak - 1) % policy.cycle_days + 1 if streak else 0,
            last_local_date=last,
            streak_safe_until=start + streak * ONE_DAY if streak else None,
            next_portal=next_portal(streak, policy, unlocked),
        )


def next_portal(streak_days: int, policy: Policy, unlocked: set[PortalId]) -> tuple[str, int]:
    """Return the first portal beyond a streak that is not `unlocked`: its slug, and days away."""
    lap = streak_days // policy.cycle_days
    while True:
        for portal in policy.portals:
            days_away = lap * policy.cycle_days + portal.day - streak_days
            if days_away > 0 and (lap, portal.slug) not in unlocked:
                return portal.slug, days_away
        lap += 1


def unlock_id(user_id: str, lap: int, slug: str) -> str:
    """Return the id that the unlock of this portal has, everywhere and for ever."""
    return str(uuid5(NAMESPACE, f"{user_id}/{lap}/{slug}"))


def key_id(user_id: str, lap: int, slug: str, i: int) -> str:
    """Return the id of the portal's `i`-th key, 0 and up."""
    return str(uuid5(NAMESPACE, f"{user_id}/{lap}/{slug}/{i}"))
