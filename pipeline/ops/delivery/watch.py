"""Measures again and again where the downstream groups are.

Owns: the thread, the last measurement, the history that follows from all of them.
Does not own: a measurement (measure.py), the metrics that show it (api/wiring_topics.py).
Invariant: when the brokers do not answer there is no last measurement, rather than an old one; the
history is kept.

It runs in the API, and not in the workers: delivery has to be seen while no worker runs, and what
must be exact asks about nobody else's groups. Each API process measures by itself, so that its
pages can tell when a portal was read; an alert takes the maximum over them.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import structlog

from pipeline.kafka.errors import UnreadableLogError
from pipeline.ops.delivery.history import History, Passed
from pipeline.ops.delivery.measure import DeliveryReader
from pipeline.ops.delivery.position import Delivery, Wanted

INTERVAL_S: Final = 15.0
_JOIN_S: Final = 5.0
_log = structlog.get_logger("awaway.delivery")
_client_log = logging.getLogger("awaway.delivery.kafka")


class Read(NamedTuple):
    """Whether a group has read a record, and when; `passed` is None where nobody saw it."""

    group: str
    is_read: bool
    passed: Passed | None


class DeliveryWatch:
    """Measures until it is stopped; a Service.

    Args:
        reader: where it asks; it is closed at the end.
        now_ms: the time of day, ms since the epoch.

    Attributes:
        latest: the last measurement; None before the first, and while the brokers do not answer.
    """

    def __init__(self, reader: DeliveryReader, now_ms: Callable[[], int]) -> None:
        self.latest: Sequence[Delivery] | None = None
        self._reader = reader
        self._now_ms = now_ms
        self._history = History()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)

    @classmethod
    def of(
        cls, client: Mapping[str, Any], wanted: Wanted, now_ms: Callable[[], int]
    ) -> "DeliveryWatch":
        """A watch over a real cluster; nothing is connected before its first measurement."""
        return cls(DeliveryReader(client, wanted, logger=_client_log), now_ms)

    async def start(self) -> None:
        """Begin to measure."""
        self._thread.start()

    async def stop(self) -> None:
        """End after the measurement under way."""
        self._stopping.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, _JOIN_S)

    def measure(self) -> None:
        """Measure once."""
        try:
            found = self._reader.measure()
        except UnreadableLogError as error:
            self.latest = None
            _log.warning("delivery unknown", reason=str(error))
            return
        at_ms = self._now_ms()
        for one in found:
            for its in one.positions:
                if its.committed is not None and not its.is_ahead:
                    key = (one.group, one.topic, its.partition)
                    self._history.note(key, its.committed, at_ms)
        self.latest = found

    def reads(self, topic: str, partition: int, offset: int) -> list[Read]:
        """Which groups have read the record at an offset; empty while that is not known.

        Args:
            topic: its full name.
        """
        return [
            Read(
                one.group,
                its.has_read(offset),
                self._history.passed((one.group, topic, partition), offset)
                if its.has_read(offset)
                else None,
            )
            for one in self.latest or ()
            if one.topic == topic
            for its in one.positions
            if its.partition == partition
        ]

    def _run(self) -> None:
        try:
            self.measure()
            while not self._stopping.wait(INTERVAL_S):
                self.measure()
        finally:
            self.latest = None
            self._reader.close()
