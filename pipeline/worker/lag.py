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
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol, Self

import structlog
from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from pipeline.observability.prometheus import WorkerMetrics
from pipeline.worker.telemetry import Telemetry

INTERVAL_S: Final = 5.0
_REQUEST_TIMEOUT_S: Final = 5.0
_EARLIEST: Final = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: Final = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_log = structlog.get_logger("awaway.lag")
_client_log = logging.getLogger("awaway.lag")


class Place(NamedTuple):
    """An input partition."""

    topic: str
    partition: int


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

    def offsets(self, places: Sequence[Place]) -> dict[Place, Offsets]:
        """Raises LagUnknownError when they cannot be had."""
        ...


class LagUnknownError(Exception):
    """The broker did not say.

    Operator action: none by itself; it mends with the connection, and other alerts tell about that.
    """


class BrokerOffsets:
    """Asks a real broker, with clients of its own.

    The group's offsets come from a consumer that never subscribes: the admin client's own request
    for them crashes the process while the coordinator is loading (confluent-kafka 2.16). An admin
    client that lived through a broker's restart may go on asking with the leader epoch of before,
    so a refusal is followed by a new one.

    Args:
        client: librdkafka settings of any client. group_id: whose offsets.
    """

    def __init__(self, client: dict[str, str | int | float | bool], group_id: str) -> None:
        self._client = client
        self._admin = self._new_admin()
        self._group = Consumer(
            {
                **client,
                "group.id": group_id,
                "enable.auto.commit": False,
                # Without waiting for a transaction that is under way.
                "isolation.level": "read_uncommitted",
            },
            logger=_client_log,
        )

    def _new_admin(self) -> AdminClient:
        return AdminClient(self._client, logger=_client_log)

    def offsets(self, places: Sequence[Place]) -> dict[Place, Offsets]:
        """Three requests, each bounded in time."""
        self._admin.poll(0)  # their log lines
        self._group.poll(0)
        asked = [TopicPartition(*place) for place in places]
        if not asked:
            return {}
        try:
            first_later = self._admin.list_offsets(
                dict.fromkeys(asked, _EARLIEST),
                request_timeout=_REQUEST_TIMEOUT_S,
            )
            stable_later = self._admin.list_offsets(
                dict.fromkeys(asked, _LATEST),
                isolation_level=IsolationLevel.READ_COMMITTED,
                request_timeout=_REQUEST_TIMEOUT_S,
            )
            first = {_place(p): later.result().offset for p, later in first_later.items()}
            stable = {_place(p): later.result().offset for p, later in stable_later.items()}
            committed = {
                _place(p): p.offset if p.offset >= 0 else None
                for p in self._group.committed(asked, _REQUEST_TIMEOUT_S)
            }
        except KafkaException as error:
            self._admin = self._new_admin()
            raise LagUnknownError(str(error)) from error
        return {
            place: Offsets(committed.get(place), first[place], stable[place]) for place in places
        }


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
        self._idle_at_ms: dict[Place, int] = {}
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
        places = [Place(topic, number) for topic in self._topics for number in sorted(owned)]
        asked_ms = self._now_ms()
        try:
            found = self._source.offsets(places)
        except LagUnknownError as error:
            self._metrics.lag_unknown()
            _log.warning("lag unknown", reason=str(error))
            return
        if found:
            self._metrics.lag_known()
        for place, offsets in found.items():
            reads_on_at = max(offsets.first, offsets.committed or 0)
            lag = max(0, offsets.stable - reads_on_at)
            if lag == 0:
                self._idle_at_ms[place] = asked_ms
            known = (self._telemetry.last_append_ms(*place), self._idle_at_ms.get(place))
            since_ms = max((at_ms for at_ms in known if at_ms is not None), default=None)
            self._metrics.lag_measured(*place, lag, since_ms)

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL_S):
            self.measure()
            self._telemetry.measure_stores()


def _place(partition: TopicPartition) -> Place:
    return Place(partition.topic, partition.partition)
