"""Memory, rate and delays of one worker that gets more than it can take, for docs/BOUNDS.md.

Owns: the scenes, and the figures measured from outside: resident memory, events a second, delays.
Does not own: the limits, which are settings of the worker.
Invariant: every scene goes on until all of its input is committed, so that the figures are of all
of it.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from bench.measure import ProcessWatch
from chaos.fleet import Worker
from chaos.ground import Ground, prepared
from chaos.ledger import Ledger
from chaos.load import Load
from pipeline.clock import now_ms
from pipeline.codec.partitioner import partition_of
from pipeline.dev.workload.people import DAY_MS, MINUTE_MS
from pipeline.dev.workload.steady import Steady, completions_of, records_of, users_at_random
from pipeline.dev.workload.wire import plain_completion

ROOT: Final = Path(".local")
DRAIN_S: Final = 3_600.0
WINDOW_MS: Final = 12 * DAY_MS
SLOW_S: Final = 0.1
LIVE_PER_S: Final = 50
SHORT_QUEUE_MIB: Final = 2
POISON_EVERY: Final = 50
NOISE: Final = b"\xff" * 200
MIB: Final = 1 << 20
Record = tuple[bytes, bytes]


@dataclass(frozen=True)
class Row:
    """One scene's figures.

    Attributes:
        delay_s: the median and the greatest delay from an input's append to its effects, of the
            inputs that came in beside the flood; None where there were none.
    """

    scene: str
    events: int
    events_per_s: int
    peak_mib: int
    delay_s: tuple[float, float] | None = None


class Scenes:
    """The scenes, each on a ledger of its own.

    Args:
        ground: the servers.
        events: in each scene. hot_events: of the one user.
    """

    def __init__(self, ground: Ground, events: int, hot_events: int) -> None:
        self._ground = ground
        self._events = events
        self._hot_events = hot_events
        self._ledgers = 0

    def all(self) -> dict[str, Callable[[], Row]]:
        """By name, in the order of the table."""
        return {
            "idle": self.idle,
            "flood": self.flood,
            "poison": self.poison,
            "hot_user": self.hot_user,
            "slow_broker": self.slow_broker,
            "one_partition_behind": self.one_partition_behind,
            "behind_short_queue": self.behind_short_queue,
        }

    def idle(self) -> Row:
        """The worker has nothing to do."""
        ledger = self._ledger()
        with _worker(ledger) as (watch, _):
            time.sleep(3)
            return Row("idle", 0, 0, watch.close() // MIB)

    def flood(self) -> Row:
        """The whole input is there when the worker starts; users have ten completions each."""
        return self._drained("flood", self._many_users(self._events))

    def poison(self) -> Row:
        """The same, and every fiftieth record is noise."""

        def records() -> Iterator[Record]:
            for n, record in enumerate(self._many_users(self._events)):
                yield (record[0], NOISE) if n % POISON_EVERY == 0 else record

        return self._drained("poison", records())

    def hot_user(self) -> Row:
        """One user has all completions, one a second, so that nearly all overlap."""
        now = now_ms()
        step = max(1, WINDOW_MS // self._hot_events)
        records = (
            (b"hot", plain_completion("hot", f"h{n}", now - MINUTE_MS - n * step))
            for n in range(self._hot_events)
        )
        return self._drained("hot_user", records)

    def slow_broker(self) -> Row:
        """Every request of the worker takes a tenth of a second longer."""
        self._ground.proxy.slow_s = SLOW_S
        try:
            return self._drained(
                "slow_broker",
                self._many_users(self._events),
                BOOTSTRAP_SERVERS=self._ground.proxy.address,
            )
        finally:
            self._ground.proxy.slow_s = 0.0

    def one_partition_behind(self) -> Row:
        """One partition has the flood; beside it, every partition gets a few events a second."""
        return self._behind("one_partition_behind")

    def behind_short_queue(self) -> Row:
        """The same, and the worker fetches less ahead."""
        return self._behind("behind_short_queue", FETCH_QUEUE_MIB_MAX=str(SHORT_QUEUE_MIB))

    def _behind(self, name: str, **settings: Any) -> Row:
        ledger = self._ledger()
        flooded = [
            record
            for record in self._many_users(self._events * ledger.partitions)
            if partition_of(record[0], ledger.partitions) == 0
        ]
        _preload(ledger, flooded)
        load = Load(ledger, 1, 1_000, LIVE_PER_S)
        with _worker(ledger, **settings) as (watch, started_at):
            load.start()
            seconds = _drain(ledger, started_at, len(flooded), ledger.topic("completions"), 0)
            load.stop()
            peak = watch.close()
        delays = _delays(ledger, lambda partition: partition != 0)
        shown = (round(delays[len(delays) // 2], 2), round(delays[-1], 2))
        rate = int(len(flooded) / seconds)
        return Row(name, len(flooded), rate, peak // MIB, shown)

    def _drained(self, name: str, records: Iterator[Record], **settings: Any) -> Row:
        ledger = self._ledger()
        events = _preload(ledger, records)
        with _worker(ledger, **settings) as (watch, started_at):
            seconds = _drain(ledger, started_at, events)
            return Row(name, events, int(events / seconds), watch.close() // MIB)

    def _ledger(self) -> Ledger:
        self._ledgers += 1
        return self._ground.ledger(f"bounds{self._ledgers}.")

    def _many_users(self, events: int) -> Iterator[Record]:
        steady = Steady(events, max(1, events // 10), now_ms(), duplicate_share=0.0)
        for record in records_of(steady, completions_of(steady, users_at_random(steady))):
            yield record.key or b"", record.value or b""


def _preload(ledger: Ledger, records: Sequence[Record] | Iterator[Record]) -> int:
    """Put records into the topic; return how many."""
    producer = ledger.new_producer(**{"linger.ms": 50, "queue.buffering.max.messages": 200_000})
    topic = ledger.topic("completions")
    count = 0
    for key, value in records:
        while True:
            try:
                producer.produce(topic, value, key)
                break
            except BufferError:
                producer.poll(0.1)
        count += 1
    producer.flush(120)
    return count


@contextmanager
def _worker(ledger: Ledger, **settings: Any) -> Iterator[tuple[ProcessWatch, float]]:
    """Run the product's own worker with its default settings; give its memory and its start."""
    worker = Worker(0, ledger.start_worker(**settings), ledger.log_file(0), 0)
    started_at = time.monotonic()
    watch = ProcessWatch([worker.process.pid])
    try:
        ledger.wait_for(worker.has_partitions)
        yield watch, started_at
    finally:
        ledger.stop_worker(worker.process)


def _drain(
    ledger: Ledger, started_at: float, events: int, topic: str = "", partition: int = -1
) -> float:
    """Wait until `events` are committed; return the seconds since the first were."""
    first_at = started_at

    def done() -> bool:
        nonlocal first_at
        committed = sum(
            offset
            for of, offset in ledger.committed().items()
            if not topic or of == (topic, partition)
        )
        if not committed:
            first_at = time.monotonic()
        return committed >= events

    ledger.wait_for(done, DRAIN_S)
    return max(0.1, time.monotonic() - first_at)


def _delays(ledger: Ledger, wanted: Callable[[int], bool]) -> list[float]:
    """Return the seconds from each input's append to its audit entry, sorted."""
    found = []
    for entry, record in zip(
        ledger.read("audit"),
        sorted(ledger.raw("audit"), key=lambda one: (one.partition(), one.offset())),
        strict=True,
    ):
        if wanted(entry.partition):
            append_ms = entry.value["append_time"].timestamp() * 1000
            found.append((record.timestamp()[1] - append_ms) / 1000)
    return sorted(found)


def main(argv: list[str]) -> int:
    """Measure, and print a table; the last line is JSON."""
    parser = argparse.ArgumentParser(prog="python -m chaos.bounds", description=__doc__)
    parser.add_argument("--events", type=int, default=200_000, help="in each scene (200000)")
    parser.add_argument("--hot-events", type=int, default=1_000_000, help="of one user (1000000)")
    parser.add_argument("--only", default="", help="some scenes, with commas")
    arguments = parser.parse_args(argv)
    ROOT.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bounds-", dir=ROOT)).resolve()
    rows = []
    try:
        with prepared(folder) as ground:
            for name, scene in Scenes(ground, arguments.events, arguments.hot_events).all().items():
                if arguments.only and name not in arguments.only.split(","):
                    continue
                print(f"  {name}", file=sys.stderr, flush=True)
                row = scene()
                rows.append(row)
                print(
                    f"| {row.scene} | {row.events} | {row.events_per_s} | {row.peak_mib} |"
                    f" {row.delay_s or ''} |",
                    flush=True,
                )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps([asdict(row) for row in rows]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
