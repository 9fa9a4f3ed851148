"""Several workers of one ledger, a load that goes on meanwhile, and a reader that keeps the time.

Owns: starting the product's own workers, each slot on a disk of its own; what their logs say.
Does not own: the faults and what has to follow from them, which the tests have.
"""

import contextlib
import itertools
import json
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import confluent_kafka as ck

from pipeline.kafka.errors import UnreadableLogError
from tests.integration.ledger import Ledger
from tests.integration.load import send_load

SESSION_S = 6.0


class Fleet:
    """The workers of a ledger by slot."""

    def __init__(self, ledger: Ledger, **settings: Any) -> None:
        self.ledger = ledger
        self.settings = {"LOG_FORMAT": "json", "BATCH_RECORDS_MAX": "200"} | settings
        self.workers: dict[int, subprocess.Popen[bytes]] = {}
        self.log_at: dict[int, int] = {}

    def start(self, *slots: int, **settings: Any) -> None:
        """Start workers; a slot that ran before comes back with its disk."""
        for slot in slots:
            disk = str(self.ledger.folder / f"disk-{slot}")
            given = self.settings | {"DATA_DIR": disk} | settings
            self.log_at[slot] = len(self.ledger.log(slot))
            self.workers[slot] = self.ledger.start_worker(slot, None, **given)

    def stop(self, *slots: int) -> None:
        """Stop workers gracefully, one after the other."""
        for slot in slots:
            assert self.ledger.stop_worker(self.workers[slot]) == 0, self.ledger.log(slot)

    def told(self, slot: int, what: str) -> list[dict[str, Any]]:
        """Log entries of a slot whose event is `what`."""
        entries = []
        for line in self.ledger.log(slot).splitlines():
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if entry.get("event") == what:
                    entries.append(entry)
        return entries

    def owned(self, slot: int) -> set[int]:
        """Partitions that are ready at a slot, as its log says."""
        ready: set[int] = set()
        for line in self.ledger.log(slot).splitlines():
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if entry["event"] == "partition ready":
                    ready.add(entry["partition"])
                elif entry["event"] in ("partitions revoked", "partitions lost"):
                    ready -= set(entry["partitions"])
                elif entry["event"] == "starting":
                    ready.clear()
        return ready

    def await_shared(self, *slots: int, deadline_s: float = 90.0) -> None:
        """Wait until these workers have all partitions among them, ready, and each has some."""
        everything = list(range(self.ledger.partitions))

        def shared() -> bool:
            for slot in slots:
                code = self.workers[slot].poll()
                assert code is None, f"slot {slot} ended with {code}\n{self.ledger.log(slot)}"
            owned = [self.owned(slot) for slot in slots]
            return all(owned) and sorted(p for some in owned for p in some) == everything

        self.ledger.wait_for(shared, deadline_s)

    def await_joined(self, slot: int) -> None:
        """Wait until a worker was given its part by the group since its start, maybe none."""

        def joined() -> bool:
            return '"partitions assigned"' in self.ledger.log(slot)[self.log_at[slot] :]

        self.ledger.wait_for(joined)

    def await_copies(self, slot: int, partitions: set[int]) -> None:
        """Wait until a worker says that it keeps copies of just these partitions."""

        def copies() -> bool:
            told = self.told(slot, "standbys kept")
            return bool(told) and set(told[-1]["partitions"]) == partitions

        self.ledger.wait_for(copies)

    def drain(self) -> None:
        """Wait until everything that was sent is committed."""
        self.ledger.flush()

        def drained() -> bool:
            try:
                return self.ledger.lag() == 0
            except UnreadableLogError:
                return False

        self.ledger.wait_for(drained)


@contextlib.contextmanager
def load(ledger: Ledger, seed: int, events_per_s: int = 200) -> Iterator[None]:
    """Send inputs for as long as the block runs.

    More of them have more users: the oracle compares all that one user has.
    """
    users = max(60, 3 * events_per_s)
    stop = threading.Event()

    def produce() -> None:
        number = 0
        while not stop.wait(0.1):
            number += 1
            seed_now = seed * 10_000 + number
            send_load(ledger, seed=seed_now, events=events_per_s // 10, users=users)

    producer = threading.Thread(target=produce)
    producer.start()
    try:
        yield
    finally:
        stop.set()
        producer.join()


class Stopwatch:
    """Reads the audit as a consumer does, and measures how long each partition was silent.

    A context manager. Meant for a load of which each partition has its part all the time.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._stop = threading.Event()
        self._consumer = ck.Consumer(
            {
                "bootstrap.servers": ledger.bootstrap,
                "group.id": f"{ledger.prefix}stopwatch",
                "isolation.level": "read_committed",
                "auto.offset.reset": "latest",
                "fetch.wait.max.ms": 20,
            }
        )
        self._partitions = ledger.partitions
        self._topic = ledger.topic("audit")
        self._thread = threading.Thread(target=self._run)
        self._lock = threading.Lock()
        self._arrivals: dict[int, list[float]] = defaultdict(list)

    def __enter__(self) -> "Stopwatch":
        self._consumer.assign(
            [ck.TopicPartition(self._topic, p, ck.OFFSET_END) for p in range(self._partitions)]
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            for record in self._consumer.consume(1_000, 0.05):
                if record.error() is None:
                    with self._lock:
                        self._arrivals[record.partition() or 0].append(time.monotonic())

    def pauses(self, since: float = 0.0) -> dict[int, float]:
        """By partition, the longest time without an audit entry, in seconds.

        Args:
            since: monotonic seconds; silences that ended before do not count.
        """
        longest = {}
        with self._lock:
            for partition, arrivals in self._arrivals.items():
                pairs = itertools.pairwise(arrivals)
                longest[partition] = max(
                    (after - before for before, after in pairs if after > since), default=0.0
                )
        return longest
