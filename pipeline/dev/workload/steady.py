"""A fixed number of completions, evenly spread over ten days: the benchmark's input.

Owns: whose turn it is, the completions (about 250 bytes of JSON), the exact duplicates among them.
Does not own: what a correct pipeline makes of them (bench/truth.py).
Invariants: the same `Steady` gives the same bytes in the same order; a user's own completions come
in chronological order, never touch and are never late, so that each one counts unless it is an
exact duplicate.

Users are interleaved at random. Chronological order spares other programs the rules for completions
out of order, which only the pipeline has: it favours them. The sessions lie in the last `SPAN_DAYS`
while all are appended now, so that at most a user's last streak is current: about a third of the
completions change the drawn frame, fewer than on a live day.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final

import msgspec

from pipeline.core.records import PracticeCompleted
from pipeline.dev.workload.ground_truth import InputRecord
from pipeline.dev.workload.people import DAY_MS
from pipeline.dev.workload.wire import json_completion

SPAN_DAYS: Final = 10
"""All sessions start within this many days before `Steady.now_ms`, so that none is late."""

EVENTS_PER_USER_MAX: Final = 100
"""Greatest mean of completions per user; with more, sessions are shorter than the policy allows."""

DUPLICATE_LOOKBACK: Final = 5_000
"""A duplicate repeats one of this many latest completions, as a client does that sends again."""

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


class Steady(msgspec.Struct, frozen=True):
    """How much to make, and of what.

    Attributes:
        events: records, duplicates included; 1 and up.
        users: drawn from uniformly; 1 and up.
        now_ms: milliseconds since 1970; sessions end before it.
        duplicate_share: of `events`, 0 to below 1.
    """

    events: int
    users: int
    now_ms: int
    duplicate_share: float = 0.02
    seed: int = 108

    def first(self, events: int) -> "Steady":
        """Return the same kind of input, at most `events` of it, with the same events per user."""
        kept = min(events, self.events)
        users = max(1, self.users * kept // self.events)
        return msgspec.structs.replace(self, events=kept, users=users)


def users_at_random(steady: Steady) -> list[int]:
    """Return a user's number for each completion that is no duplicate, uniformly drawn."""
    rng = random.Random(steady.seed)
    distinct = steady.events - int(steady.events * steady.duplicate_share)
    return [rng.randrange(steady.users) for _ in range(distinct)]


def users_once(steady: Steady) -> list[int]:
    """Return every user once, shuffled."""
    order = list(range(steady.users))
    random.Random(steady.seed).shuffle(order)
    return order


def completions_of(steady: Steady, order: list[int]) -> list[PracticeCompleted]:
    """Return one completion for each user number in `order`."""
    rng = random.Random(steady.seed + 2)
    counts = Counter(order)
    start_ms = steady.now_ms - SPAN_DAYS * DAY_MS
    nth: dict[int, int] = defaultdict(int)
    made = []
    for user in order:
        slot_ms = (SPAN_DAYS * DAY_MS - 3_600_000) // counts[user]
        started_ms = start_ms + int((nth[user] + rng.random() / 2) * slot_ms)
        nth[user] += 1
        duration_ms = min(rng.randrange(300_000, 2_400_000), slot_ms * 2 // 5)
        made.append(
            PracticeCompleted(
                completion_id=f"{rng.getrandbits(80):020x}",
                user_id=f"u{user:07d}",
                session_id=f"{rng.getrandbits(64):016x}",
                practice=rng.choice(PRACTICES),
                started_at=started_ms,
                completed_at=started_ms + duration_ms,
                tz=ZONES[user % len(ZONES)],
                device_id=f"d{user:07d}",
                app_version="5.2.0",
            )
        )
    return made


def records_of(steady: Steady, completions: list[PracticeCompleted]) -> Iterator[InputRecord]:
    """Yield every completion once, in order, with exact duplicates strewn in behind them."""
    rng = random.Random(steady.seed + 1)
    after: dict[int, int] = defaultdict(int)
    for _ in range(steady.events - len(completions)):
        after[rng.randrange(len(completions))] += 1
    recent: list[InputRecord] = []
    for index, completion in enumerate(completions):
        record = _record(completion, steady.now_ms)
        if len(recent) < DUPLICATE_LOOKBACK:
            recent.append(record)
        else:
            recent[index % DUPLICATE_LOOKBACK] = record
        yield record
        for _ in range(after.get(index, 0)):
            yield msgspec.structs.replace(rng.choice(recent), verdict="exact")


def _record(completion: PracticeCompleted, now_ms: int) -> InputRecord:
    return InputRecord(
        kind="completions",
        partition=None,
        key=completion.user_id.encode(),
        value=json_completion(completion),
        append_time_ms=now_ms,
        headers=(),
        verdict="accepted",
    )
