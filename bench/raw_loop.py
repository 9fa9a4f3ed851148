"""Peer: a bare confluent-kafka loop, exactly-once, without a framework and without a store.

Owns: one consume, transform, produce loop after confluent-kafka's own transactional example:
consume a batch, begin, produce, `send_offsets_to_transaction`, commit.
Does not own: recovery. It starts empty, and stops at the first error: what a framework adds is just
what it lacks, and what it measures is the floor that any exactly-once loop in Python stands on.
Invariant: per accepted completion one progress record and two changelog records (streak and seen),
and a portal where one is reached; all of a batch in one transaction with its offsets.

How it was tuned, as its documentation and librdkafka's advise for throughput: batches of 10,000 by
`consume`, a transaction each; larger producer queues and requests, and a linger, so that requests
fill; no delivery callbacks, as a commit fails if any delivery did. State is dicts in memory. JSON
goes to and from plain dicts by msgspec, which is the quickest there is and what the pipeline itself
uses, so that the comparison is not one of JSON libraries; `BENCH_JSON=stdlib` takes the standard
library's, as the examples of confluent-kafka do.
"""

import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
from confluent_kafka import Consumer, KafkaException, Producer

BATCH_RECORDS: Final = 10_000
WINDOW_MS: Final = 14 * 86_400_000
DAY_START_HOUR: Final = 3
CYCLE_DAYS: Final = 108
PORTALS: Final = {
    1: "threshold",
    3: "trine",
    7: "seed",
    13: "fruit",
    21: "lotus",
    30: "moon",
    40: "desert",
    51: "bridge",
    62: "mountain",
    73: "river",
    84: "ocean",
    96: "sky",
    108: "return",
}


@dataclass(frozen=True)
class Json:
    """A JSON library: bytes to plain dicts and back."""

    decode: Callable[[bytes], Any]
    encode: Callable[[Any], bytes]


MSGSPEC: Final = Json(msgspec.json.decode, msgspec.json.encode)
STDLIB: Final = Json(json.loads, lambda record: json.dumps(record).encode())


@cache
def zone(name: str) -> ZoneInfo:
    """An IANA zone, read once."""
    return ZoneInfo(name)


class Loop:
    """The state in memory and the loop's body. `prefix` names the output topics."""

    def __init__(self, producer: Producer, prefix: str, library: Json = MSGSPEC) -> None:
        self.produce = producer.produce
        self.decode = library.decode
        self.encode = library.encode
        self.progress = f"{prefix}progress"
        self.portals = f"{prefix}portals"
        self.streak_changelog = f"{prefix}streak-changelog"
        self.seen_changelog = f"{prefix}seen-changelog"
        self.users: dict[str, dict[str, Any]] = {}
        self.seen: dict[str, int] = {}

    def handle(self, message: Any) -> None:
        """Fold one completion (a `confluent_kafka.Message`) and produce what follows from it."""
        completion = self.decode(message.value())
        completion_id = completion["completion_id"]
        seen = self.seen
        if completion_id in seen:
            return
        append_ms = message.timestamp()[1]
        seen[completion_id] = append_ms
        user_id = completion["user_id"]
        user = self.users.get(user_id)
        if user is None:
            user = self.users[user_id] = {
                "revision": 0,
                "streak_days": 0,
                "longest_days": 0,
                "lifetime_days": 0,
                "last_local_date": 0,
                "portals": [],
            }
        user["revision"] += 1
        key = message.key()
        partition = message.partition()
        cause = {
            "topic": message.topic(),
            "partition": partition,
            "offset": message.offset(),
            "id": completion_id,
        }
        local = datetime.fromisoformat(completion["completed_at"]).astimezone(
            zone(completion["tz"])
        )
        date = local.toordinal() if local.hour >= DAY_START_HOUR else local.toordinal() - 1
        if date > user["last_local_date"]:
            self.practise(user_id, user, date, append_ms, cause, key)
        produce, encode = self.produce, self.encode
        produce(
            self.progress,
            encode(
                {
                    "user_id": user_id,
                    **user,
                    "lap": (user["streak_days"] - 1) // CYCLE_DAYS,
                    "cycle_day": (user["streak_days"] - 1) % CYCLE_DAYS + 1,
                    "tz": completion["tz"],
                    "updated_at": append_ms,
                    "cause": cause,
                }
            ),
            key,
        )
        produce(self.streak_changelog, encode(user), key)
        produce(self.seen_changelog, b"%d" % append_ms, completion_id, partition)

    def practise(
        self,
        user_id: str,
        user: dict[str, Any],
        date: int,
        append_ms: int,
        cause: dict[str, Any],
        key: bytes,
    ) -> None:
        """Count a new local date; tell of a portal when the longest streak reaches one."""
        streak = user["streak_days"] + 1 if date == user["last_local_date"] + 1 else 1
        user["last_local_date"] = date
        user["streak_days"] = streak
        user["lifetime_days"] += 1
        if streak <= user["longest_days"]:
            return
        user["longest_days"] = streak
        lap, day = divmod(streak - 1, CYCLE_DAYS)
        portal = PORTALS.get(day + 1)
        if portal is None:
            return
        user["portals"].append({"lap": lap, "slug": portal, "unlocked_at": append_ms})
        unlocked = {
            "user_id": user_id,
            "lap": lap,
            "portal": portal,
            "cycle_day": day + 1,
            "streak_days": streak,
            "longest_days": user["longest_days"],
            "lifetime_days": user["lifetime_days"],
            "reached_on": date,
            "unlocked_at": append_ms,
            "cause": cause,
        }
        self.produce(self.portals, self.encode(unlocked), key)

    def forget_before(self, append_ms: int) -> None:
        """Drop the ids that left the window. They stand in the order of their append time."""
        seen = self.seen
        while seen:
            oldest = next(iter(seen))
            if seen[oldest] >= append_ms - WINDOW_MS:
                return
            del seen[oldest]


def main() -> None:
    """Loop until SIGTERM. The environment names broker, input, output prefix and group."""
    bootstrap = os.environ["BENCH_BOOTSTRAP"]
    group = os.environ["BENCH_GROUP"]
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "queued.min.messages": 200_000,
            "fetch.message.max.bytes": 4_194_304,
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "transactional.id": f"{group}-0",
            "partitioner": "murmur2_random",
            "linger.ms": 20,
            "batch.size": 1_000_000,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    producer.init_transactions(30)
    consumer.subscribe([os.environ["BENCH_INPUT"]])
    library = STDLIB if os.environ.get("BENCH_JSON") == "stdlib" else MSGSPEC
    loop = Loop(producer, os.environ["BENCH_OUTPUT_PREFIX"], library)
    running = True

    def stop(*_: object) -> None:
        nonlocal running
        running = False

    signal.signal(signal.SIGTERM, stop)
    while running:
        messages: list[Any] = consumer.consume(BATCH_RECORDS, 0.1)
        if not messages:
            continue
        producer.begin_transaction()
        for message in messages:
            if message.error():
                raise KafkaException(message.error())
            loop.handle(message)
        loop.forget_before(messages[-1].timestamp()[1])
        producer.send_offsets_to_transaction(
            consumer.position(consumer.assignment()), consumer.consumer_group_metadata(), 30
        )
        producer.commit_transaction(30)
    consumer.close()


if __name__ == "__main__":
    main()
