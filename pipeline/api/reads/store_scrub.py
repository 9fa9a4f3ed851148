"""The scrub of the read store: whether it has the last record in `progress` of each user.

Owns: the thread, its pace, reading the topic, what is said of users who differ.
Does not own: the comparison (store_comparison.py), the store and who writes it (materialise.py),
whether what was published is right (`awaway scrub`).
Invariants: it changes nothing, and no read waits for it. It begins when the store is loaded, and
gives a pass up when the store is replaced meanwhile. A user counts who differs twice, each time
when the store has come to where the topic was read.
"""

import asyncio
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from pipeline.api.reads.materialise import Materialiser, State
from pipeline.api.reads.store_comparison import Comparison, Differences
from pipeline.errors import AwawayError
from pipeline.kafka.reader import Partition, Reader, record_offset
from pipeline.observability import api_metrics as m
from pipeline.observability.api_prometheus import ApiMetrics

PASS_EVERY_S: Final = 5.0
"""Seconds from the end of one pass to the next."""

RECORDS_AT_ONCE: Final = 250
SHOWN_MAX: Final = 20
"""Users whom a log line names."""

STORE_WAIT_S: Final = 60.0
"""Seconds within which the store has to come to where the topic was read."""

_POLL_S: Final = 0.2
_JOIN_S: Final = 5.0
_QUEUE_KIB: Final = 4_096
_FIX: Final = "docs/runbooks/read-store-differs.md"
_log = structlog.get_logger("awaway.api.scrub")
_client_log = logging.getLogger("awaway.api.scrub.kafka")


class _InterruptedError(Exception):
    """The pass cannot be ended: the store was replaced, does not move, or the process stops.

    Operator action: none; the next pass begins anew.
    """


class StoreScrub:
    """Compares again and again; a Service.

    Args:
        client: librdkafka settings that reach the cluster.
        source: whose store is looked at.
        per_s: how many records and users are looked at each second.
        metrics: where findings go.
        now_ms: the time of day, ms since the epoch.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        source: Materialiser,
        per_s: int,
        metrics: ApiMetrics,
        now_ms: Callable[[], int],
    ) -> None:
        self._client = {**client, "queued.max.messages.kbytes": _QUEUE_KIB}
        self._source = source
        self._per_s = per_s
        self._metrics = metrics
        self._now_ms = now_ms
        self._known: Differences = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store scrub", daemon=True)

    async def start(self) -> None:
        """Begin to compare."""
        self._thread.start()

    async def stop(self) -> None:
        """End soon; before the store is closed."""
        self._stopping.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, _JOIN_S)

    def _run(self) -> None:
        while not self._stopping.wait(PASS_EVERY_S):
            if self._source.state is not State.TAILING:
                continue
            try:
                self._tell(self._differences())
            except _InterruptedError:
                continue
            except AwawayError as error:
                _log.warning("the scrub of the store waits", reason=str(error), fix=error.fix)
            except Exception:  # noqa: BLE001 - a thread that dies unseen finds nothing
                _log.exception("the scrub of the store failed and begins anew")

    def _tell(self, found: Differences) -> None:
        for kind, count in Counter(found[one] for one in found.keys() - self._known.keys()).items():
            self._metrics.add(m.SCRUB_DIFFERENCES, count, kind)
        self._metrics.put(m.SCRUB_DIFFERING, len(found))
        self._metrics.put(m.SCRUB_PASSED, self._now_ms() / 1000)
        if found and found != self._known:
            shown = sorted(found)[:SHOWN_MAX]
            _log.error(
                "the store and progress differ",
                users={key.decode(errors="backslashreplace"): found[key] for key in shown},
                more=len(found) - len(shown),
                fix=_FIX,
            )
        elif self._known and not found:
            _log.info("the store and progress say the same again")
        self._known = found

    def _differences(self) -> Differences:
        """One pass, and a second look at whom it found.

        Raises:
            OffsetGoneError, UnreadableLogError: see there.
        """
        source, freshness = self._source, self._source.freshness
        identity = source.store.identity
        if identity is None:
            raise _InterruptedError
        comparison = Comparison(source.store, lambda value: source.decode(value).revision)
        partitions = [(identity.topic, number) for number in range(identity.partitions)]
        with Reader(self._client, "awaway-api", logger=_client_log) as reader:
            ends = self._read(reader, reader.starts(partitions), comparison)
            comparison.find_surplus({number: end for (_, number), end in ends.items()}, self._spend)
            found = comparison.differences()
            if found:
                self._read(reader, ends, comparison)
                again = comparison.differences()
                found = {key: again[key] for key in found.keys() & again.keys()}
        if source.freshness is not freshness:
            raise _InterruptedError
        return found

    def _read(
        self, reader: Reader, begins: Mapping[Partition, int], comparison: Comparison
    ) -> dict[Partition, int]:
        """Read up to the ends of now, and wait until the store has come there; return the ends."""
        ends = reader.ends([*begins])
        left = sum(ends[one] - at for one, at in begins.items())
        for partition, begin in begins.items():
            reader.assign({partition: begin})
            at = begin
            while at < ends[partition]:
                polled = reader.poll(RECORDS_AT_ONCE, _POLL_S)
                for record in polled.records:
                    key, offset = record.key(), record_offset(record)
                    if key is not None and offset < ends[partition]:
                        comparison.take(partition[1], offset, key, record.value())
                moved = max(at, polled.positions().get(partition, at))
                left, at = left - (moved - at), moved
                self._metrics.put(m.SCRUB_LEFT, max(0, left))
                self._spend(len(polled.records))
        self._wait_for_store(ends)
        return ends

    def _wait_for_store(self, ends: Mapping[Partition, int]) -> None:
        deadline_s = time.monotonic() + STORE_WAIT_S
        while True:
            positions = self._source.store.positions()
            if all(positions.get(number, 0) >= end for (_, number), end in ends.items()):
                return
            if self._stopping.wait(_POLL_S) or time.monotonic() > deadline_s:
                raise _InterruptedError

    def _spend(self, count: int) -> None:
        if self._stopping.wait(count / self._per_s):
            raise _InterruptedError
