"""Reads the topic of progress for the store.

Owns: the reader and the admin client, their settings, the thread on which the ends are asked for.
Does not own: what is done with the records (materialise.py), what an error means (kafka/errors.py).
Invariants: it joins no group and commits nothing, so any number of API processes read side by side;
only committed records are seen; there is no offset reset: an offset that is gone is an error.
"""

import logging
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, NamedTuple

from pipeline.api.reads.store import Identity
from pipeline.kafka.admin import Admin
from pipeline.kafka.reader import FROM_THE_START, Partition, Reader

REQUEST_TIMEOUT_S: Final = 5.0
"""Max seconds that a broker may take to answer."""

RECORDS_AT_ONCE: Final = 2_000
"""Max records of one poll."""

_logger = logging.getLogger("awaway.api.kafka")


class ProgressPoll(NamedTuple):
    """Records, and the end offset of each partition whose end was reached."""

    records: list[Any]
    ends: dict[int, int]


class ProgressTopic:
    """A reader of the topic, for one thread.

    Args:
        client: librdkafka settings of any client.
        topic: full name of the topic.
    """

    def __init__(self, client: Mapping[str, Any], topic: str) -> None:
        self._topic = topic
        self._admin = Admin(client, REQUEST_TIMEOUT_S, _logger)
        settings = {
            "fetch.wait.max.ms": 50,
            "queued.min.messages": 20_000,
            "queued.max.messages.kbytes": 32_768,
            **client,
        }
        self._reader = Reader(
            settings, f"{topic}-readers", timeout_s=REQUEST_TIMEOUT_S, logger=_logger
        )
        self._asking = ThreadPoolExecutor(1, "ends of progress")
        self._ends: Future[dict[Partition, int]] | None = None

    def identity(self) -> Identity:
        """Return the identity of the topic; waits for the answer.

        Raises:
            UnreadableLogError: no broker answers.
        """
        found = self._admin.topics([self._topic])[self._topic]
        return Identity(self._topic, found.topic_id, found.partitions)

    def read_from(self, positions: Mapping[int, int], partitions: int) -> None:
        """Read every partition from its position on, and from its first record without one."""
        self._reader.assign(
            {(self._topic, n): positions.get(n, FROM_THE_START) for n in range(partitions)}
        )

    def poll(self, wait_s: float) -> ProgressPoll:
        """Return the records that are there; waits up to `wait_s` for the first one.

        Raises:
            OffsetGoneError: a position is no longer in the topic.
            UnreadableLogError: no broker answers.
        """
        polled = self._reader.poll(RECORDS_AT_ONCE, wait_s)
        return ProgressPoll(
            polled.records, {number: end for (_, number), end in polled.ends.items()}
        )

    def ask_ends(self, partitions: int) -> None:
        """Ask for the last stable offsets; `ends` returns them later."""
        asked = [(self._topic, n) for n in range(partitions)]
        self._ends = self._asking.submit(self._reader.ends, asked)

    def ends(self) -> dict[int, int] | None:
        """Return the last stable offsets that were asked for; None while there is no answer.

        Raises:
            UnreadableLogError: the broker did not answer.
        """
        if self._ends is None or not self._ends.done():
            return None
        asked, self._ends = self._ends, None
        return {number: end for (_, number), end in asked.result().items()}

    def close(self) -> None:
        """Stop reading, once a question that is under way has its answer."""
        self._asking.shutdown()
        self._reader.close()
