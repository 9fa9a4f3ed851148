"""Producers that go on all the while, with everything among their records that clients get wrong.

Owns: what is sent, by seed: completions, repeats, twins, collisions, overlaps, wrong partitions,
garbage, late and far-future events, commands; the thread that sends it.
Does not own: what ought to follow from it, which the oracle says.
Invariant: the records are a function of the seed and of how many were asked for, but for the
instants in them.
"""

import json
import random
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from confluent_kafka import KafkaException

from chaos.ledger import Ledger
from pipeline.clock import now_ms
from pipeline.codec.partitioner import partition_of

TICK_S: Final = 0.05
MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
KEEP_MS: Final = 300_000
NOISE: Final = (b"", b"{", b"\x00\x00\x00\x7f\xff", b"noise", b"\xff" * 300, b'{"a":' * 900, None)
Sent = tuple[str, bytes | None, bytes | None]


def iso(instant_ms: int) -> str:
    """RFC 3339 with an offset."""
    return datetime.fromtimestamp(instant_ms / 1000, UTC).isoformat(timespec="milliseconds")


def completion_json(user: str, completion_id: str, end_ms: int, **fields: Any) -> bytes:
    """One completion of twenty minutes as JSON; `fields` replace some of it."""
    record = {
        "completion_id": completion_id,
        "user_id": user,
        "session_id": f"session of {completion_id}",
        "practice": "breath",
        "started_at": iso(end_ms - 20 * MINUTE_MS),
        "completed_at": iso(end_ms),
        "tz": "Europe/Berlin",
    }
    return json.dumps(record | fields).encode()


class Mixture:
    """The records, one after the other.

    Args:
        seed: of all choices.
        users: how many there are, 1 and up.
        partitions: of each input topic.
    """

    def __init__(self, seed: int, users: int, partitions: int) -> None:
        self._rng = random.Random(seed)
        self._seed = seed
        self._users = users
        self._partitions = partitions
        self._number = 0

    def next(self, at_ms: int) -> list[tuple[Sent, int]]:
        """One user's next completion and what goes with it, each with its partition (−1: free)."""
        rng, number = self._rng, self._number
        self._number += 1
        user = f"user-{rng.randrange(self._users)}"
        name = f"c{self._seed}-{number}"
        end = at_ms - rng.randrange(13) * DAY_MS - rng.randrange(1, 600) * MINUTE_MS
        found = [self._completed(user, name, end)]
        chance = rng.random()
        if chance < 0.16:
            found += self._company(user, name, end, at_ms, int(chance * 100))
        elif chance < 0.18:
            found.append(self._credited(user, name, at_ms))
        return found

    def _completed(self, user: str, name: str, end: int, **fields: Any) -> tuple[Sent, int]:
        return ("completions", user.encode(), completion_json(user, name, end, **fields)), -1

    def _credited(self, user: str, name: str, at_ms: int) -> tuple[Sent, int]:
        day = datetime.fromtimestamp(at_ms / 1000, UTC) - timedelta(days=self._rng.randrange(60))
        record = {
            "request_id": f"r-{name}",
            "user_id": user,
            "kind": self._rng.choice(("credit", "credit", "revoke")),
            "actor": "chaos",
            "local_date": day.date().isoformat(),
            "reason": "chaos",
            "ticket": "T-1",
        }
        return ("commands", user.encode(), json.dumps(record).encode()), -1

    def _company(
        self, user: str, name: str, end: int, at_ms: int, kind: int
    ) -> list[tuple[Sent, int]]:
        """What a client got wrong about a completion; `kind` is 0 to 15."""
        key, other = user.encode(), f"other device's {name}"
        session = f"session of {name}"
        if kind < 4:  # the same again
            return [self._completed(user, name, end)]
        if kind < 6:  # a twin
            return [self._completed(user, other, end, session_id=session)]
        if kind < 8:  # a collision
            return [self._completed(user, name, end, session_id="another", practice="walking")]
        if kind < 9:  # an overlap
            return [self._completed(user, other, end + 5 * MINUTE_MS)]
        if kind < 11:
            home = partition_of(key, self._partitions)
            elsewhere = (home + self._rng.randrange(1, self._partitions)) % self._partitions
            return [(self._completed(user, other, end)[0], elsewhere)]
        if kind < 13:
            topic = self._rng.choice(("completions", "completions", "commands"))
            return [((topic, key, self._rng.choice(NOISE)), -1)]
        if kind < 14:
            return [self._completed(user, other, end - 30 * DAY_MS)]
        if kind < 15:
            return [self._completed(user, other, at_ms + self._rng.randrange(1, 400) * DAY_MS)]
        return [(("completions", b"somebody else", self._completed(user, other, end)[0][2]), -1)]


class Load:
    """Sends a mixture at a rate until it is stopped, on a thread of its own.

    Args:
        ledger: whose inputs these are.
        mixture: what to send.
        events_per_s: completions a second; what accompanies them comes on top.
    """

    def __init__(self, ledger: Ledger, mixture: Mixture, events_per_s: int) -> None:
        self._producer = ledger.new_producer(
            **{"linger.ms": 5, "enable.idempotence": True, "message.timeout.ms": KEEP_MS}
        )
        self._ledger = ledger
        self._mixture = mixture
        self._rate = events_per_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self.sent = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and return when what was sent is in the log."""
        self._stop.set()
        self._thread.join()
        self._producer.flush(KEEP_MS / 1000)

    def _run(self) -> None:
        began = time.monotonic()
        asked = 0
        while not self._stop.wait(TICK_S):
            due = int((time.monotonic() - began) * self._rate)
            while asked < due:
                self._send()
                asked += 1
            self._producer.poll(0)

    def _send(self) -> None:
        for (topic, key, value), partition in self._mixture.next(now_ms()):
            try:
                self._producer.produce(self._ledger.topic(topic), value, key, partition=partition)
                self.sent += 1
            except (BufferError, KafkaException):
                self._producer.poll(TICK_S)  # the broker is away: what is left out was never sent
