"""Where the downstream groups are now, asked of the brokers.

Owns: the questions and their clients, which topics and groups are asked about.
Does not own: what an answer means (position.py), how often it is asked (watch.py).
Invariants: it joins no group, commits nothing, and changes nothing. A group's offsets are asked for
as its transactional members' are, without waiting for one under way; records and ends are those of
a reader of committed records.
"""

import logging
import time
from collections.abc import Collection, Mapping
from typing import Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from pipeline.kafka.admin import ANSWER_GRACE_S, OFFSETS_TOPIC
from pipeline.kafka.committed_log import LOG_LEVEL
from pipeline.kafka.errors import UnreadableLogError, unreadable
from pipeline.kafka.reader import Partition, Reader, record_offset, record_partition
from pipeline.ops.delivery.position import Delivery, Position, Unread, Wanted
from pipeline.ops.topics.file import Target, TopicsFile

REQUEST_TIMEOUT_S: Final = 5.0
"""Seconds that one question may take."""

_READ_S_MAX: Final = 10.0
_POLL_S: Final = 0.1
_RECORDS_AT_ONCE: Final = 500
_READING: Final[Mapping[str, Any]] = {
    "log_level": LOG_LEVEL,
    "fetch.wait.max.ms": 50,
    # One record of each partition is enough; a larger batch of its producer still comes whole.
    "fetch.message.max.bytes": 65_536,
    "queued.max.messages.kbytes": 1_024,
}


def wanted_of(file: TopicsFile, target: Target) -> Wanted:
    """The groups that must keep up, by the topic's full name, as topics.yaml has them."""
    return {
        one.name: one.topic.downstream_ms for one in file.wanted(target) if one.topic.downstream
    }


class DeliveryReader:
    """Asks where groups are; for one thread. A context manager.

    Args:
        client: librdkafka settings that reach the cluster.
        wanted: which groups of which topics.
        timeout_s: of one question.
        logger: of the clients; without one they write to stderr what is critical.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        wanted: Wanted,
        timeout_s: float = REQUEST_TIMEOUT_S,
        logger: logging.Logger | None = None,
    ) -> None:
        self._client = client
        self._wanted = {topic: groups for topic, groups in wanted.items() if groups}
        self._timeout_s = timeout_s
        self._logger = logger
        self._readers: dict[tuple[str, str], Reader] = {}

    def __enter__(self) -> "DeliveryReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the clients; a further question makes new ones."""
        while self._readers:
            self._readers.popitem()[1].close()

    def measure(self) -> list[Delivery]:
        """Where each group is in each of its topics, in the order that they are wanted.

        Raises:
            UnreadableLogError: the brokers do not answer, or refuse; new clients ask next time.
        """
        if not self._wanted:
            return []
        try:
            return self._measure()
        except UnreadableLogError:
            self.close()
            raise
        finally:
            for reader in self._readers.values():
                reader.serve()

    def _measure(self) -> list[Delivery]:
        groups = dict.fromkeys(group for groups in self._wanted.values() for group in groups)
        # It is named after one of the groups, as who observes may ask about those by name.
        log = self._reader(next(iter(groups)), "read_committed")
        partitions = log.partitions(list(self._wanted))
        starts, ends = log.starts(partitions), log.ends(partitions)
        found: dict[tuple[str, str], Delivery] = {}
        for group in groups:
            own = [one for one in partitions if group in self._wanted[one[0]]]
            positions = self._positions(log, group, {one: (starts[one], ends[one]) for one in own})
            for topic, wanted in self._wanted.items():
                if group in wanted:
                    its = tuple(p for one, p in positions.items() if one[0] == topic)
                    found[topic, group] = Delivery(group, topic, wanted[group], its)
        return [found[topic, group] for topic, own in self._wanted.items() for group in own]

    def _positions(
        self, log: Reader, group: str, ranges: Mapping[Partition, tuple[int, int]]
    ) -> dict[Partition, Position]:
        asker = self._reader(group, "read_uncommitted")
        committed = asker.committed(list(ranges))
        beyond = [one for one, at in committed.items() if at is not None and at > ranges[one][1]]
        highs = asker.ends(beyond)  # a reader of uncommitted records may be behind the stable end
        reads_on_at = {
            one: max(first, committed[one] or 0)
            for one, (first, end) in ranges.items()
            if max(first, committed[one] or 0) < end
        }
        unread = _first_records(log, reads_on_at)
        return {
            one: Position(
                one[1],
                committed[one],
                first,
                end,
                unread.get(one),
                one in highs and (committed[one] or 0) > highs[one],
            )
            for one, (first, end) in ranges.items()
        }

    def _reader(self, group: str, isolation: str) -> Reader:
        if (group, isolation) not in self._readers:
            settings = {**_READING, **self._client, "isolation.level": isolation}
            self._readers[group, isolation] = Reader(
                settings, group, timeout_s=self._timeout_s, logger=self._logger
            )
        return self._readers[group, isolation]


def _first_records(log: Reader, positions: Mapping[Partition, int]) -> dict[Partition, Unread]:
    """The first committed record of each partition at or after an offset, where there is one.

    Raises:
        UnreadableLogError: neither a record nor an end came in time.
    """
    found: dict[Partition, Unread] = {}
    left = set(positions)
    if not left:
        return found
    log.assign(positions)
    deadline_s = time.monotonic() + _READ_S_MAX
    while left:
        polled = log.poll(_RECORDS_AT_ONCE, _POLL_S)
        for record in polled.records:
            one = record_partition(record)
            if one in left:
                found[one] = Unread(record_offset(record), record.timestamp()[1])
                left.discard(one)
        left -= polled.ends.keys()
        if time.monotonic() > deadline_s:
            topic, number = min(left)
            raise UnreadableLogError(
                f"{topic} {number} is not delivered", why=f"{len(left)} partitions are like that"
            )
    log.assign({})
    return found


def with_states(
    client: Mapping[str, Any], deliveries: list[Delivery], timeout_s: float = REQUEST_TIMEOUT_S
) -> list[Delivery]:
    """Deliveries with the state of their groups, for a process that may end with its question.

    Raises:
        UnreadableLogError: the brokers do not say.
    """
    states = group_states(client, {one.group for one in deliveries}, timeout_s)
    return [
        Delivery(one.group, one.topic, one.bound_ms, one.positions, states[one.group])
        for one in deliveries
    ]


def group_states(
    client: Mapping[str, Any], groups: Collection[str], timeout_s: float = REQUEST_TIMEOUT_S
) -> dict[str, str]:
    """The state of each group in lower case; `absent` where the brokers do not list it.

    An admin client asks, which can end the process together with its broker (the room's docstring
    of pipeline/kafka says how): this is for commands, not for services.

    Raises:
        UnreadableLogError: the brokers do not say.
    """
    admin = AdminClient({"log_level": 0, **client})
    try:
        admin.list_topics(OFFSETS_TOPIC, timeout=timeout_s)
        asked = admin.list_consumer_groups(request_timeout=timeout_s)
        listed = asked.result(timeout_s + ANSWER_GRACE_S)
    except (KafkaException, TimeoutError) as error:
        raise unreadable("the groups cannot be listed", error) from error
    states = {one.group_id: one.state.name.lower() for one in listed.valid}
    if listed.errors and not set(groups) <= states.keys():
        raise unreadable("the groups cannot be listed", listed.errors[0])
    return {group: states.get(group, "absent") for group in groups}
