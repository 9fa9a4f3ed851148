"""A user's records of the streamed topics, read again.

Owns: one short-lived consumer for one client that resumes, and its bounds.
Does not own: the memory of the last records (stream_hub.py), what is sent (live.py).
Invariants: it reads committed records only, up to where the hub was when the client began to
listen, so that nothing is left out and nothing comes twice. It runs on a thread; the time it takes,
the records that it looks at and those that it keeps are bounded, and a bound that is met is told,
never hidden.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException

from pipeline.api.stream_events import Streamed
from pipeline.errors import AwawayError

EVENTS_MAX: Final = 20_000
REPLAY_S_MAX: Final = 20.0
_AT_ONCE: Final = 5_000
_POLL_S: Final = 0.2
_REQUEST_TIMEOUT_S: Final = 5.0


class NotReplayedError(AwawayError):
    """What a client missed cannot be read again, so it gets a snapshot.

    Args: `what` is the snapshot's reason.

    **Operator action**: none; raise `api_stream_replay_max` when clients are often told `too-far`.
    """


class Stretch(NamedTuple):
    """Records of a topic from `since` to before `until`. `topic` is a place in TOPICS."""

    topic: int
    name: str
    since: int
    until: int


@dataclass(frozen=True, slots=True)
class Replay:
    """How to read again.

    Attributes:
        client: librdkafka settings that reach the cluster.
        records_max: records looked at for one client.
    """

    client: Mapping[str, Any]
    records_max: int

    def read(self, user: bytes, partition: int, stretches: Sequence[Stretch]) -> list[Streamed]:
        """A user's records of some stretches of a partition, by their time.

        Raises:
            NotReplayedError: `gone`, the topic no longer has all of them; `too-far`, there are
                too many; `unavailable`, the brokers do not answer.
        """
        if sum(one.until - one.since for one in stretches) > self.records_max:
            raise NotReplayedError("too-far")
        consumer = ck.Consumer(
            {
                "fetch.wait.max.ms": 50,
                **self.client,
                "client.id": "awaway-api-replay",
                "group.id": "awaway-api",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
            }
        )
        try:
            return self._read(consumer, user, partition, stretches)
        except KafkaException as error:
            raise NotReplayedError("unavailable", why=str(error)) from error
        finally:
            consumer.close()

    def _read(
        self, consumer: Any, user: bytes, partition: int, stretches: Sequence[Stretch]
    ) -> list[Streamed]:
        for one in stretches:
            place = ck.TopicPartition(one.name, partition)
            low, high = consumer.get_watermark_offsets(place, _REQUEST_TIMEOUT_S)
            if not low <= one.since <= high:
                raise NotReplayedError("gone")
        consumer.assign([ck.TopicPartition(one.name, partition, one.since) for one in stretches])
        open_by_name = {one.name: one for one in stretches}
        found: list[Streamed] = []
        deadline_s = time.monotonic() + REPLAY_S_MAX
        while open_by_name:
            if time.monotonic() > deadline_s:
                raise NotReplayedError("too-far")
            polled = consumer.consume(1, _POLL_S)
            if polled:
                polled += consumer.consume(_AT_ONCE, 0)
            for record in polled:
                _take(record, user, open_by_name, found)
            if len(found) > EVENTS_MAX:
                raise NotReplayedError("too-far")
        found.sort(key=lambda one: (one.time_ms, one.topic, one.offset))
        return _in_order(found)


def _take(
    record: Any, user: bytes, open_by_name: dict[str, Stretch], found: list[Streamed]
) -> None:
    stretch = open_by_name.get(record.topic())
    error = record.error()
    if error is not None and error.code() != KafkaError._PARTITION_EOF:
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise NotReplayedError("gone")
        raise KafkaException(error)
    if stretch is None:
        return
    if error is None and record.offset() < stretch.until and record.key() == user:
        value, time_ms = record.value(), record.timestamp()[1]
        found.append(Streamed(stretch.topic, record.offset(), time_ms, value))
    if error is not None or record.offset() >= stretch.until - 1:
        del open_by_name[stretch.name]


def _in_order(found: list[Streamed]) -> list[Streamed]:
    """The same, each topic's records by offset although their times may step back."""
    by_topic: dict[int, list[Streamed]] = {}
    for one in found:
        by_topic.setdefault(one.topic, []).append(one)
    queues = {topic: iter(sorted(many, key=_offset)) for topic, many in by_topic.items()}
    return [next(queues[one.topic]) for one in found]


def _offset(one: Streamed) -> int:
    return one.offset
