"""Made-up people, and when they really practised.

Owns: habits, lapses, journeys, and the sessions that follow from them, in true time.
Does not own: what their devices report of the sessions (reports.py).
Invariants: everything comes from the person's own `random.Random`, so that the same seed and number
give the same person whatever the size of the crowd; no two sessions of a person touch.
"""

from datetime import date, datetime, timedelta
from functools import lru_cache
from random import Random
from typing import Final, Literal
from zoneinfo import ZoneInfo

import msgspec

MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
APART_MS: Final = 10 * MINUTE_MS
"""Least time between two sessions of one person."""

PRACTICES: Final = (
    *("breath", "body-scan", "loving-kindness", "silence", "mantra", "walking"),
    *("نفس\u200cگیری", "朝\u3000瞑想", "🧘🏽\u200d♀️"),
)
HOMES: Final = (
    ("Europe/Berlin", 18), ("Europe/London", 14), ("America/New_York", 16), ("Asia/Kolkata", 10),
    ("America/Los_Angeles", 12), ("America/Sao_Paulo", 8), ("Asia/Tokyo", 8), ("Africa/Cairo", 3),
    ("Australia/Sydney", 6), ("Pacific/Auckland", 3), ("Asia/Kathmandu", 2), ("Pacific/Apia", 1),
    ("Pacific/Honolulu", 2), ("America/St_Johns", 1), ("Pacific/Kiritimati", 1),
)  # fmt: skip
PACIFIC: Final = (
    ("America/Los_Angeles", "Pacific/Auckland"),
    ("Pacific/Honolulu", "Pacific/Apia"),
    ("America/Los_Angeles", "Asia/Tokyo"),
    ("Pacific/Honolulu", "Pacific/Kiritimati"),
)
EASTWARD: Final = (
    ("America/Los_Angeles", "Pacific/Auckland"),
    ("Pacific/Honolulu", "Asia/Tokyo"),
    ("America/Sao_Paulo", "Australia/Sydney"),
)

Role = Literal[
    "", "eastward", "stays_home", "retreat", "counts_sessions", "credits", "credits_nowhere",
    "revoked",
]  # fmt: skip
"""What a person does for certain, so that each crowd has it: nothing special; fly eastwards over a
date, with a practice each morning; stay at home and miss a date; be offline for weeks; have a
client that counts its sessions from 1; get credits and never practise, with and without a zone;
have a date revoked and credited."""

ROLES: Final[dict[int, Role]] = {
    3: "eastward",
    4: "stays_home",
    5: "retreat",
    6: "counts_sessions",
    7: "credits",
    8: "credits_nowhere",
    9: "revoked",
}
ROLES_EVERY: Final = 100
"""Number of people among whom each role is given once."""

MORNING: Final = 420
"""Minute of the day at which an early riser begins."""


class Session(msgspec.Struct, frozen=True):
    """One session as it really was: true instants, and the zone that the person was in."""

    start_ms: int
    end_ms: int
    tz: str
    practice: str


class Habit(msgspec.Struct, frozen=True):
    """How someone practises.

    Attributes:
        chance: of practising on a day, 0 to 1.
        first_day: day of the month (0 and up) on which it begins.
        lapse: days (from, before) without practice; empty range for none.
        minute: of the local day; above 1440 it is after midnight, and counts for the day before.
        second_chance: of a second session on the same day, 0 to 1.
    """

    chance: float
    first_day: int
    lapse: tuple[int, int]
    minute: int
    second_chance: float


class Journey(msgspec.Struct, frozen=True):
    """Days (from, before) spent in another zone.

    Attributes:
        skips: the flight there skips a date, the first of the days.
        evening: it leaves after a practice in the evening; else every practice is in the morning.
    """

    days: tuple[int, int]
    tz: str
    skips: bool
    evening: bool = False


class Person(msgspec.Struct, frozen=True):
    """One user."""

    user_id: str
    home: str
    habit: Habit
    journey: Journey | None
    role: Role = ""


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def make_person(number: int, days: int, rng: Random) -> Person:
    """Return user `number` (0 and up) of a month of `days` (1 and up) days."""
    home = rng.choices([name for name, _ in HOMES], [weight for _, weight in HOMES])[0]
    journey = None
    luck = rng.random()
    if luck < 0.012 and days >= 12:
        home, away = rng.choice(PACIFIC)
        left = rng.randrange(3, days - 8)
        journey = Journey((left + 1, left + rng.randrange(4, 7)), away, skips=True, evening=True)
    elif luck < 0.07 and days >= 6:
        left = rng.randrange(1, days - 4)
        away = rng.choice(HOMES)[0]
        journey = Journey((left, left + rng.randrange(2, 9)), away, skips=False)
    person = Person(f"seeker-{number:05d}", home, _habit(days, rng), journey)
    return _in_role(person, ROLES.get(number % ROLES_EVERY, ""), days, rng)


def _in_role(person: Person, role: Role, days: int, rng: Random) -> Person:
    person = msgspec.structs.replace(person, role=role)
    each_morning = Habit(1.0, 0, (days, days), MORNING, 0.0)
    if role == "eastward" and days >= 8:
        home, away = rng.choice(EASTWARD)
        left = rng.randrange(2, days - 5)
        journey = Journey((left + 1, left + 4), away, skips=True)
        return msgspec.structs.replace(person, home=home, habit=each_morning, journey=journey)
    if role == "stays_home" and days >= 8:
        missed = rng.randrange(2, days - 2)
        habit = msgspec.structs.replace(each_morning, lapse=(missed, missed + 1))
        return msgspec.structs.replace(person, home="Pacific/Auckland", habit=habit, journey=None)
    if role in ("retreat", "counts_sessions"):
        habit = msgspec.structs.replace(each_morning, second_chance=0.3)
        return msgspec.structs.replace(person, habit=habit, journey=None)
    return person


def _habit(days: int, rng: Random) -> Habit:
    minute = int(rng.choice((rng.gauss(410, 50), rng.gauss(760, 60), rng.gauss(1250, 70))))
    minute = min(max(minute, 200), 1420)
    if rng.random() < 0.04:
        minute = rng.randrange(1445, 1590)
    kind = rng.random()
    lapse = (days, days)
    chance, first_day = 0.97, 0
    if kind < 0.30:
        chance = 1.0
    elif kind < 0.55:
        chance = 0.9
    elif kind < 0.65:
        chance = 0.4
    elif kind < 0.85:
        start = rng.randrange(1, max(days - 3, 2))
        lapse = (start, start + rng.randrange(2, 10))
    else:
        first_day = rng.randrange(0, days)
    return Habit(chance, first_day, lapse, minute, rng.choice((0.0, 0.0, 0.05, 0.2)))


def sessions(person: Person, first: date, days: int, rng: Random) -> list[Session]:
    """Return the sessions of `person` in the `days` days from `first`, in order of time."""
    found: list[Session] = []
    if person.role in ("credits", "credits_nowhere"):
        return found
    habit, journey = person.habit, person.journey
    for day in range(days):
        tz, minute, sure = person.home, habit.minute, False
        if journey and journey.days[0] <= day < journey.days[1]:
            tz = journey.tz
        if journey and journey.skips and day == journey.days[0]:
            continue  # the date that the flight skips
        if journey and journey.evening:
            if day == journey.days[0] - 1:
                minute, sure = 1170, True
            elif day == journey.days[0] + 1:
                minute, sure = 435, True
            elif day == journey.days[1]:
                # The flight back: the same date again, in the evening.
                _add_session(found, first, day, 450, journey.tz, rng)
                minute, sure = 1200, True
        practises = day >= habit.first_day and not habit.lapse[0] <= day < habit.lapse[1]
        if not sure and not (practises and rng.random() < habit.chance):
            continue
        jitter = 0 if sure else int(rng.gauss(0, 14))
        _add_session(found, first, day, minute + jitter, tz, rng)
        if rng.random() < habit.second_chance:
            _add_session(found, first, day, minute + rng.randrange(150, 320), tz, rng)
    return sorted(found, key=lambda session: session.start_ms)


def _add_session(
    found: list[Session], first: date, day: int, minute: int, tz: str, rng: Random
) -> None:
    on = first + timedelta(days=day + minute // 1440)
    hour, past = divmod(minute % 1440, 60)
    wall = datetime(on.year, on.month, on.day, hour, past, rng.randrange(60), tzinfo=_zone(tz))
    start = int(wall.timestamp()) * 1000 + rng.randrange(1000)
    end = (
        start + rng.choice((5, 10, 10, 12, 15, 20, 20, 30, 45)) * MINUTE_MS + rng.randrange(40_000)
    )
    session = Session(start, end, tz, rng.choice(PRACTICES))
    if is_free(found, start, end):
        found.append(session)


def is_free(taken: list[Session], start_ms: int, end_ms: int) -> bool:
    """Tell whether the time is at least `APART_MS` from every session in `taken`."""
    return all(
        end_ms + APART_MS < one.start_ms or one.end_ms + APART_MS < start_ms for one in taken
    )


def wall_date(session: Session) -> date:
    """Return the date on the wall when a session began."""
    return datetime.fromtimestamp(session.start_ms / 1_000, _zone(session.tz)).date()
