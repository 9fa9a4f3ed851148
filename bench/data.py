"""The benchmark's input: seeded completions, and what a correct pipeline makes of them.

Owns: the events (JSON, about 250 bytes, RFC 3339 instants), their order, the planted duplicates,
and the truth that every peer is checked against.
Does not own: topics and their loading (loading.py), how fast anybody is (measure.py).
Invariant: the same `Shape` gives the same bytes in the same order, and the truth is derived from
the generated instants by sets of dates, not by any code that is measured.

Each user's own sessions come in chronological order, while users are interleaved at random. That
spares the peers the out-of-order rules that only the pipeline has; it favours the peers. Sessions
lie in the last `SPAN_DAYS` while all are appended now, so of a user's streaks only the last may be
current: about a third of the events change the drawn frame, fewer than on a live day.
"""

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

SPAN_DAYS: Final = 10
"""All sessions start within this many days before `Shape.now_ms`, so that none is late."""

EVENTS_PER_USER_MAX: Final = 100
"""On the average; with more, a user's sessions would be shorter than the policy takes."""

DUPLICATE_LOOKBACK: Final = 5_000
"""A duplicate repeats one of this many latest completions, as a client that retries does."""

DAY_START_HOUR: Final = 3
PORTAL_DAYS: Final = (1, 3, 7, 13, 21, 30, 40, 51, 62, 73, 84, 96, 108)
DAY_MS: Final = 86_400_000

ZONES: Final = (
    "Europe/Berlin",
    "Europe/London",
    "America/New_York",
    "America/Sao_Paulo",
    "Asia/Kolkata",
    "Asia/Tokyo",
    "Australia/Sydney",
    "UTC",
)
PRACTICES: Final = ("breath", "body-scan", "loving-kindness", "open-awareness", "walking")


@dataclass(frozen=True)
class Shape:
    """How much data, and which.

    Attributes:
        events: records in the topic, duplicates included; 1 and up.
        users: drawn from uniformly; 1 and up.
        duplicate_share: of `events`, 0 to below 1.
        seed: of every random choice.
        now_ms: milliseconds since 1970; sessions end before it.
    """

    events: int
    users: int
    now_ms: int
    duplicate_share: float = 0.02
    seed: int = 108

    def first(self, events: int) -> "Shape":
        """The same kind of data, at most `events` of it, with the same events per user."""
        kept = min(events, self.events)
        return replace(self, events=kept, users=max(1, self.users * kept // self.events))


@dataclass(frozen=True, slots=True)
class Event:
    """One input record: the message's key and value, in bytes, and the id within."""

    key: bytes
    value: bytes
    completion_id: str


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


@dataclass(frozen=True, slots=True)
class Session:
    """A practice session before it is written down; instants in milliseconds since 1970."""

    user: int
    completion_id: str
    session_id: str
    practice: str
    started_ms: int
    completed_ms: int
    tz: str


def users_at_random(shape: Shape) -> list[int]:
    """Whose turn it is: a user's number for each distinct session, uniformly drawn."""
    rng = random.Random(shape.seed)
    distinct = shape.events - int(shape.events * shape.duplicate_share)
    return [rng.randrange(shape.users) for _ in range(distinct)]


def users_once(shape: Shape) -> list[int]:
    """Every user once, shuffled."""
    order = list(range(shape.users))
    random.Random(shape.seed).shuffle(order)
    return order


def sessions_of(shape: Shape, order: list[int]) -> list[Session]:
    """One session for each entry of `order`, a user's own in chronological order."""
    rng = random.Random(shape.seed + 2)
    counts: dict[int, int] = defaultdict(int)
    for user in order:
        counts[user] += 1
    start_ms = shape.now_ms - SPAN_DAYS * DAY_MS
    nth: dict[int, int] = defaultdict(int)
    sessions = []
    for user in order:
        slot_ms = (SPAN_DAYS * DAY_MS - 3_600_000) // counts[user]
        started_ms = start_ms + int((nth[user] + rng.random() / 2) * slot_ms)
        nth[user] += 1
        duration_ms = min(rng.randrange(300_000, 2_400_000), slot_ms * 2 // 5)
        sessions.append(
            Session(
                user=user,
                completion_id=f"{rng.getrandbits(80):020x}",
                session_id=f"{rng.getrandbits(64):016x}",
                practice=rng.choice(PRACTICES),
                started_ms=started_ms,
                completed_ms=started_ms + duration_ms,
                tz=ZONES[user % len(ZONES)],
            )
        )
    return sessions


def events_of(shape: Shape, sessions: list[Session]) -> Iterator[Event]:
    """The input in order: every session once, with exact duplicates strewn in behind them."""
    rng = random.Random(shape.seed + 1)
    duplicates = shape.events - len(sessions)
    after: dict[int, int] = defaultdict(int)
    for _ in range(duplicates):
        after[rng.randrange(len(sessions))] += 1
    recent: list[Event] = []
    for index, session in enumerate(sessions):
        event = _event(session)
        if len(recent) < DUPLICATE_LOOKBACK:
            recent.append(event)
        else:
            recent[index % DUPLICATE_LOOKBACK] = event
        yield event
        for _ in range(after.get(index, 0)):
            yield rng.choice(recent)


def truth_of(shape: Shape, sessions: list[Session]) -> Truth:
    """What the input comes to, from the sets of local dates alone."""
    dates: dict[int, set[int]] = defaultdict(set)
    accepted: dict[int, int] = defaultdict(int)
    for session in sessions:
        dates[session.user].add(_local_date(session.completed_ms, session.tz))
        accepted[session.user] += 1
    by_user = {}
    for user, days in dates.items():
        longest = _longest(days)
        laps, rest = divmod(longest, PORTAL_DAYS[-1])
        reached = laps * len(PORTAL_DAYS) + sum(1 for day in PORTAL_DAYS if day <= rest)
        by_user[user_id(user)] = UserTruth(accepted[user], longest, len(days), reached)
    return Truth(
        events=shape.events,
        accepted=len(sessions),
        duplicates=shape.events - len(sessions),
        portals=sum(user.portals for user in by_user.values()),
        by_user=by_user,
    )


def user_id(user: int) -> str:
    """The id of user number `user`."""
    return f"u{user:07d}"


def _event(session: Session) -> Event:
    user = user_id(session.user)
    value = (
        f'{{"completion_id":"{session.completion_id}","user_id":"{user}",'
        f'"session_id":"{session.session_id}","practice":"{session.practice}",'
        f'"started_at":"{_rfc3339(session.started_ms)}",'
        f'"completed_at":"{_rfc3339(session.completed_ms)}","tz":"{session.tz}",'
        f'"device_id":"d{session.user:07d}","app_version":"5.2.0"}}'
    )
    return Event(user.encode(), value.encode(), session.completion_id)


def _rfc3339(instant_ms: int) -> str:
    at = datetime.fromtimestamp(instant_ms // 1000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{instant_ms % 1000:03d}Z"


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
