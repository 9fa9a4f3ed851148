"""Topics read as any consumer of committed records sees them, up to an end that is really one.

Owns: a reader of all partitions of some topics, and the question whether the end that stood when it
was asked for has been reached.
Does not own: decoding, and what the records ought to be.
Invariant: `rest` returns every record of every transaction that was committed before it was called.

A committed transaction becomes visible partition by partition, as the coordinator writes its
markers: the group's offsets may be there before the outputs are. A reader that stops at the last
stable offset can therefore miss records that are committed already. The end is taken as the
read_uncommitted one, and reached when the last stable offset has come to it.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Self

from confluent_kafka import Message

from pipeline.kafka.errors import UnreadableLogError
from pipeline.kafka.reader import FROM_THE_START, REQUEST_TIMEOUT_S, Partition, Reader

RECORDS_AT_ONCE: Final = 10_000
POLL_S: Final = 0.2
LOG_LEVEL: Final = 2
"""Of librdkafka: only what is critical; waiting for a broker that has just started is not."""

_GROUP: Final = "awaway-log-reader"


class CommittedLog:
    """Some topics, each from its first record; a context manager.

    Args:
        client: librdkafka settings that reach the cluster, or its bootstrap servers alone.
        topics: full names; each must exist.

    Raises:
        UnreadableLogError: the brokers do not answer, or do not know one of them.
    """

    def __init__(self, client: Mapping[str, Any] | str, topics: Sequence[str]) -> None:
        self._settings: dict[str, Any] = {
            **({"bootstrap.servers": client} if isinstance(client, str) else client),
            "log_level": LOG_LEVEL,
            "fetch.message.max.bytes": 16 << 20,
        }
        self._reader = Reader(self._settings, _GROUP, timeout_s=REQUEST_TIMEOUT_S)
        self._partitions = self._reader.partitions(topics)
        self._reader.assign(dict.fromkeys(self._partitions, FROM_THE_START))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()

    def poll(self, timeout_s: float) -> list[Message]:
        """Return what has come by, after at most `timeout_s` seconds.

        Raises:
            UnreadableLogError: the broker refused, and will again.
        """
        return self._reader.gather(RECORDS_AT_ONCE, timeout_s).records

    def rest(self, timeout_s: float) -> Iterator[Message]:
        """Everything that is not read yet, up to the ends of now.

        Raises:
            UnreadableLogError: the ends were not reached within `timeout_s` seconds.
        """
        deadline = time.monotonic() + timeout_s
        ends = self._ends(min(deadline, time.monotonic() + REQUEST_TIMEOUT_S))
        return self._up_to(ends, deadline, "look for a transaction that nobody ended")

    def to_its_ends(self, timeout_s: float) -> Iterator[Message]:
        """Everything up to an end that each partition has had by then.

        For topics that nobody writes to in transactions.

        Raises:
            UnreadableLogError: the ends were not reached within `timeout_s` seconds.
        """
        ends = dict.fromkeys(self._partitions, 0)
        return self._up_to(ends, time.monotonic() + timeout_s, "is the broker up?")

    def _up_to(self, ends: Mapping[Partition, int], deadline: float, fix: str) -> Iterator[Message]:
        reached = self._reader.reached
        while unread := [one for one, end in ends.items() if reached.get(one, -1) < end]:
            if time.monotonic() > deadline:
                raise UnreadableLogError(
                    "the topics could not be read to their ends",
                    why=f"not finished: {unread}",
                    fix=fix,
                )
            yield from self._reader.poll(RECORDS_AT_ONCE, POLL_S).records

    def _ends(self, deadline: float) -> dict[Partition, int]:
        """Ask again for some time: just after a topic was made, or the broker started, a leader may
        be another than the broker says."""
        uncommitted = {**self._settings, "isolation.level": "read_uncommitted"}
        while True:
            try:
                with Reader(uncommitted, _GROUP, timeout_s=REQUEST_TIMEOUT_S) as asker:
                    return asker.ends(self._partitions)
            except UnreadableLogError as error:
                if time.monotonic() > deadline:
                    raise UnreadableLogError("the ends are not known", why=str(error)) from error
            time.sleep(POLL_S)
