"""Topics read as any consumer of committed records sees them, up to an end that is really one.

Owns: a consumer without a group over all partitions of some topics, and the question whether the
end that stood when it was asked for has been reached.
Does not own: decoding, and what the records ought to be.
Invariant: `rest` returns every record of every transaction that was committed before it was called.

A committed transaction becomes visible partition by partition, as the coordinator writes its
markers: the group's offsets may be there before the outputs are. A reader that stops at the last
stable offset can therefore miss records that are committed already. The end is taken as the
read_uncommitted one, and reached when the last stable offset has come to it.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Self, cast

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from pipeline.errors import AwawayError

MESSAGES_AT_ONCE: Final = 10_000
REQUEST_TIMEOUT_S: Final = 15.0
POLL_S: Final = 0.2
LOG_LEVEL: Final = 2
"""Of librdkafka: only what is critical; waiting for a broker that has just started is not."""

_LATEST: Final = OffsetSpec.latest()  # type: ignore[no-untyped-call]

Place = tuple[str, int]


class UnreadableLogError(AwawayError):
    """A topic cannot be read to its end.

    Operator action: is the broker up, and is there a transaction that nobody ended
    (`kafka-transactions.sh find-hanging`)?
    """


class CommittedLog:
    """Some topics, each from its first record; a context manager.

    Args:
        client: librdkafka settings that reach the cluster, or its bootstrap servers alone.
        topics: full names; each must exist.

    Raises:
        UnreadableLogError: the broker does not know one of them.
    """

    def __init__(self, client: Mapping[str, Any] | str, topics: Sequence[str]) -> None:
        self._client: dict[str, Any] = {
            **({"bootstrap.servers": client} if isinstance(client, str) else client),
            "log_level": LOG_LEVEL,
        }
        self._consumer = ck.Consumer(
            {
                **self._client,
                "group.id": "awaway-log-reader",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "fetch.message.max.bytes": 16 << 20,
            }
        )
        known = self._consumer.list_topics(timeout=REQUEST_TIMEOUT_S).topics
        if missing := [topic for topic in topics if topic not in known]:
            raise UnreadableLogError(
                f"topics that are not there: {', '.join(missing)}", fix="awaway topics apply"
            )
        self._places = [(topic, number) for topic in topics for number in known[topic].partitions]
        self._stable_ends: dict[Place, int] = {}
        self._consumer.assign(
            [ck.TopicPartition(*place, ck.OFFSET_BEGINNING) for place in self._places]
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def poll(self, timeout_s: float) -> list[Message]:
        """Return what has come by, after at most `timeout_s` seconds.

        Raises:
            UnreadableLogError: the broker refused, and will again.
        """
        found = []
        for message in self._consumer.consume(MESSAGES_AT_ONCE, timeout_s):
            error = message.error()
            if error is None:
                found.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                place = (str(message.topic()), int(message.partition() or 0))
                self._stable_ends[place] = int(message.offset() or 0)
            elif not error.retriable():
                raise UnreadableLogError("a topic cannot be read", why=error.str())
        return found

    def rest(self, timeout_s: float) -> Iterator[Message]:
        """Everything that is not read yet, up to the ends of now.

        Raises:
            UnreadableLogError: the ends were not reached within `timeout_s` seconds.
        """
        deadline = time.monotonic() + timeout_s
        ends = self._ends(min(deadline, time.monotonic() + REQUEST_TIMEOUT_S))
        while unread := [
            place for place, end in ends.items() if self._stable_ends.get(place, -1) < end
        ]:
            if time.monotonic() > deadline:
                raise UnreadableLogError(
                    "the topics could not be read to their ends",
                    why=f"not finished: {unread}",
                    fix="look for a transaction that nobody ended",
                )
            yield from self.poll(POLL_S)

    def to_its_ends(self, timeout_s: float) -> Iterator[Message]:
        """Everything up to an end that each partition has had by then.

        For topics that nobody writes to in transactions: it asks no admin client, which in a worker
        may end the process as a broker goes.

        Raises:
            UnreadableLogError: the ends were not reached within `timeout_s` seconds.
        """
        deadline = time.monotonic() + timeout_s
        while unread := [place for place in self._places if place not in self._stable_ends]:
            if time.monotonic() > deadline:
                raise UnreadableLogError(
                    "the topics could not be read to their ends",
                    why=f"not finished: {unread}",
                    fix="is the broker up?",
                )
            yield from self.poll(POLL_S)

    def _ends(self, deadline: float) -> dict[Place, int]:
        """Ask again for some time: just after a topic was made, or the broker started, a leader may
        be another than the broker says."""
        while True:
            try:
                return self._asked_ends()
            except KafkaException as error:
                if time.monotonic() > deadline:
                    raise UnreadableLogError("the ends are not known", why=str(error)) from error
            time.sleep(POLL_S)

    def _asked_ends(self) -> dict[Place, int]:
        admin = AdminClient(self._client)  # its answers are lost with it: keep it for as long
        asked = admin.list_offsets(
            {ck.TopicPartition(*place): _LATEST for place in self._places},
            isolation_level=ck.IsolationLevel.READ_UNCOMMITTED,
            request_timeout=REQUEST_TIMEOUT_S,
        )
        return {
            (place.topic, place.partition): cast(int, future.result().offset)
            for place, future in asked.items()
        }
