"""The topic of progress, as the store reads it.

Owns: the clients, their settings, what their errors mean.
Does not own: what is done with the records (materialise.py).
Invariants: it joins no group and commits nothing, so any number of API processes read side by side;
only committed records are seen; there is no offset reset: an offset that is gone is an error.
"""

import logging
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, cast

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from pipeline.api.reads.store import Identity
from pipeline.errors import AwawayError

REQUEST_TIMEOUT_S: Final = 5.0
RECORDS_AT_ONCE: Final = 2_000
_LATEST: Final = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_logger = logging.getLogger("awaway.api.kafka")


class TopicUnreadableError(AwawayError):
    """The topic of progress cannot be read now; it is tried again.

    **Operator action**: is the broker up, does the topic exist (`awaway topics plan`), may this
    client describe and read it? Reads are answered from the store meanwhile.
    """


class OffsetsGoneError(AwawayError):
    """The topic no longer has, or does not have yet, the offset to read on from.

    **Operator action**: none; the store is built anew. If it happens again, find out who deletes
    records of the topic.
    """


class Polled(NamedTuple):
    """Records, and for each partition whose end was seen the offset of that end."""

    records: list[Any]
    ends: dict[int, int]


class ProgressTopic:
    """One reader; for one thread.

    Args:
        client: librdkafka settings of any client.
        topic: full name.
    """

    def __init__(self, client: Mapping[str, Any], topic: str) -> None:
        self._client = dict(client)
        self._topic = topic
        self._admin = AdminClient(self._client, logger=_logger)
        self._consumer = ck.Consumer(
            {
                "fetch.wait.max.ms": 50,
                "queued.min.messages": 20_000,
                "queued.max.messages.kbytes": 32_768,
                **self._client,
                # librdkafka wants a name; no group is ever joined.
                "group.id": f"{topic}-readers",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
            },
            logger=_logger,
        )
        self._ends: dict[Any, Any] | None = None

    def identity(self) -> Identity:
        """What the topic is now; waits for the answer.

        Raises:
            TopicUnreadableError: nobody says.
        """
        asked = self._admin.describe_topics(
            ck.TopicCollection([self._topic]), request_timeout=REQUEST_TIMEOUT_S
        )
        try:
            found = asked[self._topic].result()
        except KafkaException as error:
            raise _unreadable(f"{self._topic} cannot be described", error.args[0]) from error
        return Identity(self._topic, str(found.topic_id), len(found.partitions))

    def read_from(self, positions: Mapping[int, int], partitions: int) -> None:
        """Read every partition from its offset on; from its first one where there is none."""
        self._consumer.assign(
            [
                ck.TopicPartition(self._topic, n, positions.get(n, ck.OFFSET_BEGINNING))
                for n in range(partitions)
            ]
        )

    def poll(self, wait_s: float) -> Polled:
        """What is there now; waits up to `wait_s` for the first record only.

        Raises:
            OffsetsGoneError, TopicUnreadableError: see there.
        """
        try:
            polled = self._consumer.consume(1, wait_s)
            if polled:
                polled += self._consumer.consume(RECORDS_AT_ONCE - 1, 0)
        except KafkaException as error:
            raise _unreadable(f"{self._topic} cannot be read", error.args[0]) from error
        records, ends = [], {}
        for record in cast(list[Any], polled):
            event = record.error()
            if event is None:
                records.append(record)
            elif event.code() == KafkaError._PARTITION_EOF:
                ends[record.partition()] = record.offset()
            elif event.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
                raise OffsetsGoneError(
                    f"{self._topic} lacks the offset to read on from", why=event.str()
                )
            elif event.fatal() or not event.retriable():
                raise _unreadable(f"{self._topic} cannot be read", event)
            else:
                _logger.warning("reading %s: %s", self._topic, event.str())
        return Polled(records, ends)

    def ask_ends(self, partitions: int) -> None:
        """Ask for the last stable offsets; `ends` has them in a moment."""
        places = {ck.TopicPartition(self._topic, n): _LATEST for n in range(partitions)}
        self._ends = self._admin.list_offsets(
            places,
            isolation_level=ck.IsolationLevel.READ_COMMITTED,
            request_timeout=REQUEST_TIMEOUT_S,
        )

    def ends(self) -> dict[int, int] | None:
        """The last stable offsets that were asked for; None while there is no answer.

        Raises:
            TopicUnreadableError: the broker did not say.
        """
        if self._ends is None or not all(later.done() for later in self._ends.values()):
            return None
        asked, self._ends = self._ends, None
        try:
            return {place.partition: later.result().offset for place, later in asked.items()}
        except KafkaException as error:
            # After a broker's restart an admin client may go on asking with the epoch of before.
            self._admin = AdminClient(self._client, logger=_logger)
            raise _unreadable(f"the ends of {self._topic} are not known", error.args[0]) from error

    def close(self) -> None:
        """Stop reading."""
        self._consumer.close()


def _unreadable(what: str, error: Any) -> TopicUnreadableError:
    return TopicUnreadableError(what, why=error.str())
