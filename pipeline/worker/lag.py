"""How far the worker is behind, measured at the broker.

Owns: the thread that asks, what lag means for a transactional group.
Does not own: the metric (metrics.py).
Invariant: it never touches the engine's clients, so it tells the truth while the engine is stuck;
when the broker does not answer, no lag is shown rather than an old one.

Offset lag = the input's last stable offset − the group's committed offset. Time lag is an upper
bound of the oldest waiting input's age: that was appended neither before the last committed one,
nor before the last moment at which nothing was waiting. So it can be too high by one interval, and
is never too low by more than the clocks of broker and worker differ.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, Self

import structlog

from pipeline.kafka.errors import UnreadableLogError
from pipeline.kafka.reader import Partition, Reader
from pipeline.observability.prometheus import WorkerMetrics
from pipeline.worker.telemetry import Telemetry

INTERVAL_S: Final = 5.0
_REQUEST_TIMEOUT_S: Final = 5.0
_log = structlog.get_logger("awaway.lag")
_client_log = logging.getLogger("awaway.lag")


class Offsets(NamedTuple):
    """Of one input partition.

    Attributes:
        committed: where the group reads on; None when it never committed.
        first: the first offset there is. stable: the last stable offset.
    """

    committed: int | None
    first: int
    stable: int


class OffsetSource(Protocol):
    """Where offsets are asked for."""

    def offsets(self, partitions: Sequence[Partition]) -> dict[Partition, Offsets]:
        """Raises LagUnknownError when they cannot be had."""
        ...


class LagUnknownError(Exception):
    """The broker did not say.

    Operator action: none by itself; it mends with the connection, and other alerts tell about that.
    """


class BrokerOffsets:
    """Asks a real broker, with readers of its own that read nothing.

    Args:
        client: librdkafka settings of any client. group_id: whose offsets.
    """

    def __init__(self, client: Mapping[str, Any], group_id: str) -> None:
        self._client = client
        self._group_id = group_id
        self._readers: tuple[Reader, Reader] | None = None

    def offsets(self, partitions: Sequence[Partition]) -> dict[Partition, Offsets]:
        """Three requests, each bounded in time."""
        if not partitions:
            return {}
        # The second is told the group's offsets without waiting for a transaction under way.
        committed, uncommitted = self._readers = self._readers or (
            self._reader("read_committed"),
            self._reader("read_uncommitted"),
        )
        try:
            first, stable = committed.starts(partitions), committed.ends(partitions)
            reads_on_at = uncommitted.committed(partitions)
        except UnreadableLogError as error:
            self._readers = None
            raise LagUnknownError(str(error)) from error
        finally:
            committed.serve()
            uncommitted.serve()
        return {one: Offsets(reads_on_at[one], first[one], stable[one]) for one in partitions}

    def _reader(self, isolation: str) -> Reader:
        settings = {**self._client, "isolation.level": isolation}
        return Reader(settings, self._group_id, timeout_s=_REQUEST_TIMEOUT_S, logger=_client_log)


class LagProbe:
    """Measures every `INTERVAL_S` on a thread of its own: a context manager.

    Args:
        source: where offsets come from. topics: the inputs.
        telemetry: which partitions are owned, and what was committed from them last.
        metrics: where the lag goes.
        now_ms: the time of day, ms since the epoch.
    """

    def __init__(
        self,
        source: OffsetSource,
        topics: Sequence[str],
        telemetry: Telemetry,
        metrics: WorkerMetrics,
        now_ms: Callable[[], int],
    ) -> None:
        self._source = source
        self._topics = tuple(topics)
        self._telemetry = telemetry
        self._metrics = metrics
        self._now_ms = now_ms
        self._idle_at_ms: dict[Partition, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lag", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop; the thread is a daemon, so a request under way keeps nobody waiting."""
        self._stop.set()
        self._thread.join(timeout=1.0)

    def measure(self) -> None:
        """Ask once and set the metrics."""
        owned = self._telemetry.owned
        inputs = [(topic, number) for topic in self._topics for number in sorted(owned)]
        asked_ms = self._now_ms()
        try:
            found = self._source.offsets(inputs)
        except LagUnknownError as error:
            self._metrics.lag_unknown()
            _log.warning("lag unknown", reason=str(error))
            return
        if found:
            self._metrics.lag_known()
        for one, offsets in found.items():
            reads_on_at = max(offsets.first, offsets.committed or 0)
            lag = max(0, offsets.stable - reads_on_at)
            if lag == 0:
                self._idle_at_ms[one] = asked_ms
            known = (self._telemetry.last_append_ms(*one), self._idle_at_ms.get(one))
            since_ms = max((at_ms for at_ms in known if at_ms is not None), default=None)
            self._metrics.lag_measured(*one, lag, since_ms)

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL_S):
            self.measure()
            self._telemetry.measure_stores()
