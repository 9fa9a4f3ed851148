"""Progress records of many users, made without a pipeline.

Owns: the records' content, and producing them.
Does not own: measuring.
Invariant: user `n` has the same record in every run, but for the day on which it is made; streaks,
gaps, portals and keys are those of ordinary people: one in three has a streak that goes on.
"""

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import confluent_kafka as ck
import msgspec

from pipeline.codec.avro import AvroEncoder
from pipeline.codec.schemas import load_schemas
from pipeline.core.calendar import DAY_MS
from pipeline.core.geometry.catalogue import GoldenCatalogue
from pipeline.core.keys import key_ids
from pipeline.core.policy import load_policy
from pipeline.core.reading import covered_by
from pipeline.core.records import (
    Cause,
    Dates,
    Keys,
    PortalReached,
    ProgressUpdated,
    Run,
)
from pipeline.core.rulebook import Policy, PolicyBook
from pipeline.core.streak import standing_of

SEED: Final = 108
DIFFERENT: Final = 5_000
"""Number of different records; further users get copies of them under their own ids."""

_ZONES: Final = ("Europe/Berlin", "America/New_York", "Asia/Tokyo", "Australia/Sydney", "UTC")
_FLUSH_S: Final = 120.0


class People:
    """Makes the records.

    Args:
        policy_file: the policy, whose portals the users have reached.
        now_ms: the instant of their last update, in ms since the epoch.
    """

    def __init__(self, policy_file: Path, now_ms: int) -> None:
        self._book: PolicyBook = load_policy(policy_file.read_text(encoding="utf-8"))
        self._policy: Policy = self._book.at(now_ms)
        self._catalogue = GoldenCatalogue()
        self._now_ms = now_ms

    def records(self, users: int) -> Iterator[ProgressUpdated]:
        """Yield the progress of users 0 to `users` - 1; beyond `DIFFERENT` the records repeat."""
        different = [self.record(number) for number in range(min(users, DIFFERENT))]
        for number in range(users):
            record = different[number % DIFFERENT]
            yield msgspec.structs.replace(record, user_id=user_of(number))

    def record(self, number: int, revision: int = 1) -> ProgressUpdated:
        """The progress of user `number`."""
        user_id = user_of(number)
        dice = random.Random(SEED * 1_000_003 + number)
        today = self._now_ms // DAY_MS
        runs, end = [], today - (0 if dice.random() < 0.33 else dice.randrange(2, 60))
        for _ in range(dice.randrange(1, 6)):
            length = min(400, 1 + int(dice.expovariate(1 / 14)))
            runs.append(Run(end - length + 1, length))
            end -= length + 1 + dice.randrange(1, 20)
        dates = Dates(tuple(reversed(runs)))
        tz = dice.choice(_ZONES)
        covered = covered_by(dates)
        standing = standing_of(covered, tz, self._now_ms, self._policy)
        variant = self._catalogue.variant_of(user_id)
        portals: list[PortalReached] = []
        granted: list[str] = []
        for day in range(1, standing.longest_days + 1):
            portal = self._policy.by_day[(day - 1) % self._policy.cycle_days + 1]
            if portal is None:
                continue
            lap = (day - 1) // self._policy.cycle_days
            asset_id = self._catalogue.asset_id(portal.day, variant)
            start = next(start for start, length in covered if length >= day)
            reached = PortalReached(lap, portal.slug, start + day - 1, self._now_ms, asset_id)
            portals.append(reached)
            granted += key_ids(user_id, lap, portal.slug, portal.keys)
        frame, end_now = standing.cycle_day, standing.current_end
        return ProgressUpdated(
            user_id,
            revision,
            standing.streak_days,
            standing.longest_days,
            standing.lifetime_days,
            standing.lap,
            frame,
            standing.last_date,
            None if end_now is None else end_now + 1,
            tz,
            dates,
            tuple(portals),
            Keys(tuple(sorted(granted))),
            len(granted),
            self._catalogue.figure_of(frame) if frame else None,
            frame,
            variant,
            self._catalogue.asset_id(frame, variant) if frame else None,
            self._policy.version,
            "blue",
            self._now_ms,
            Cause("awaway.completions", 0, number, f"completion-{number}"),
        )


def user_of(number: int) -> str:
    """The id of user `number`."""
    return f"user-{number:07d}"


def produce(
    bootstrap: str, topic: str, schema_id: int, records: Iterator[ProgressUpdated], schemas: Path
) -> float:
    """Produce records as a worker does, but in no transaction; return the seconds that it took."""
    encode = AvroEncoder(load_schemas(schemas)["ProgressUpdated"], schema_id).encode
    producer = ck.Producer(
        {
            "bootstrap.servers": bootstrap,
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "linger.ms": 50,
            "batch.size": 1_000_000,
            "queue.buffering.max.messages": 200_000,
        }
    )
    began_s = time.monotonic()
    for record in records:
        while True:
            try:
                producer.produce(topic, encode(record), record.user_id.encode())
                break
            except BufferError:
                producer.poll(0.1)
        producer.poll(0)
    if producer.flush(_FLUSH_S):
        raise TimeoutError(f"{topic} was not written within {_FLUSH_S:g} s")
    return time.monotonic() - began_s
