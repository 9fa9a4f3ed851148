"""The simulated consumers: of the group's inputs, and of changelogs.

Owns: a member's side of the group's protocol, positions.
Does not own: the coordinator's side (group.py).
Invariant: callbacks come from inside `poll`, as librdkafka's do; heartbeats do not.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pipeline.engine.errors import BrokerError, ConsumerLostError, SlotTakenError
from pipeline.engine.ports import Message, RebalanceListener, TopicPartition
from simulator.broker import Broker
from simulator.process import Process
from simulator.refusal import (
    FENCED_MEMBER,
    ILLEGAL_GENERATION,
    REBALANCING,
    UNKNOWN_MEMBER,
    RefusedError,
    UnansweredError,
)
from simulator.wire import Wire

HEARTBEAT_S: Final = 2.0
"""Seconds between two heartbeats."""

POLL_S_MAX: Final = 20.0
"""Max seconds between two polls of a member."""

REQUEST_TIMEOUT_S: Final = 15.0
"""Max seconds to wait for an answer."""

QUICK_S: Final = 0.002
"""Seconds of a poll that has records at once."""


class SimGroupConsumer:
    """`GroupConsumer` on the simulated broker."""

    IS_COMMITTED = True

    def __init__(self, process: Process, broker: Broker, client_id: str) -> None:
        self._process = process
        self._broker = broker
        self._client_id = client_id
        self._wire = Wire(process, broker)
        self._topics: tuple[str, ...] = ()
        self._listener: RebalanceListener | None = None
        self._member_id = ""
        self._group_generation = -1
        self._assigned: list[TopicPartition] | None = None
        self._heard: str | None = None
        self._has_asked = False
        self._is_closed = False
        self._polled_at = process.world.now
        self._positions: dict[TopicPartition, int] = {}
        self._turn = 0

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener) -> None:
        """Join the group."""
        self._topics, self._listener = tuple(topics), listener
        self._process.world.later(HEARTBEAT_S, self._beat)

    # --- membership ------------------------------------------------------------------------------

    def _beat(self) -> None:
        """Send a heartbeat, as the client's background thread does."""
        process = self._process
        if self._is_closed or process.is_dead:
            return
        if process.world.now < process.cut_off_until:
            process.world.effects["worker cut off"] += 1
        overdue = process.world.now - self._polled_at > POLL_S_MAX
        if overdue and self._assigned is not None and not process.is_silent:
            if self._heard != "polled too late":
                process.world.effects["agent slower than polls may be"] += 1
            self._heard = "polled too late"
        elif self._member_id and self._broker.is_up and not process.is_silent:
            said = self._broker.group.heartbeat(
                self._process.slot, self._member_id, self._group_generation
            )
            if said is not None and self._heard != "polled too late":
                self._heard = said
        process.world.later(HEARTBEAT_S, self._beat)

    def _serve(self) -> None:
        """Do what the group's protocol demands, as far as that is possible now."""
        heard, self._heard = self._heard, None
        if heard == FENCED_MEMBER:
            self._heard = heard
            self._fail(heard)
        if heard == REBALANCING:
            self._has_asked = False
            if self._assigned is not None:
                self._leave_assignment(lost=False)
        elif heard in {UNKNOWN_MEMBER, ILLEGAL_GENERATION, "polled too late"}:
            if heard == UNKNOWN_MEMBER:
                self._member_id = ""
            if self._assigned is not None:
                self._leave_assignment(lost=True)
            self._has_asked = False
        if self._assigned is None and self._broker.is_up and not self._process.is_silent:
            self._join()

    def _leave_assignment(self, *, lost: bool) -> None:
        assigned, self._assigned = self._assigned or [], None
        self._has_asked = False
        if self._listener is not None:
            if lost:
                self._listener.on_lost(assigned)
            else:
                self._listener.on_revoked(assigned)
        self._positions.clear()

    def _join(self) -> None:
        group, slot = self._broker.group, self._process.slot
        if not self._has_asked:
            try:
                self._member_id = group.join(slot, self._member_id, self._client_id)
            except RefusedError as error:
                self._heard = error.code
                return
            self._has_asked = True
        found = group.assignment(slot, self._member_id)
        if found is None or self._listener is None:
            return
        self._group_generation, numbers = found
        self._assigned = [TopicPartition(topic, n) for topic in self._topics for n in numbers]
        self._positions.clear()
        self._listener.on_assigned(self._assigned)

    def _fail(self, reason: str) -> None:
        holder = self._broker.group.holder(self._process.slot)
        if holder not in (None, self._client_id):
            raise SlotTakenError("another worker joined the group under this slot", why=reason)
        raise ConsumerLostError("the consumer failed for good", why=reason)

    def check_slot(self) -> None:
        """Check that the group's member under this slot is this consumer, or that there is none."""
        group, slot = self._broker.group, self._process.slot
        try:
            holder = self._wire.call("check_slot", lambda: group.holder(slot), REQUEST_TIMEOUT_S)
        except UnansweredError as error:
            raise BrokerError("listing the group's members", why=str(error)) from error
        if holder not in (None, self._client_id):
            raise SlotTakenError("another worker joined the group under this slot", why=str(holder))

    # --- records ---------------------------------------------------------------------------------

    def poll(self, records_max: int, wait_s: float) -> list[Message]:
        """Records that are there now; waits once when there are none."""
        process = self._process
        process.at("consumer.poll")
        self._polled_at = process.world.now
        self._serve()
        process.rest(QUICK_S)
        found = self._read(records_max)
        if not found and wait_s > 0:
            process.rest(wait_s)
            self._polled_at = process.world.now
            self._serve()
            found = self._read(records_max)
        return found

    def _read(self, records_max: int) -> list[Message]:
        if not self._broker.is_up or self._process.is_silent or self._assigned is None:
            return []
        found: list[Message] = []
        partitions = list(self._positions)
        self._turn += 1
        for index in range(len(partitions)):
            tp = partitions[(index + self._turn) % len(partitions)]
            log = self._broker.log(*tp)
            position = self._positions[tp]
            if position == log.next_offset:
                continue
            records, self._positions[tp] = log.read(
                position, records_max - len(found), is_committed=self.IS_COMMITTED
            )
            found += records
            if len(found) >= records_max:
                break
        return found

    def fetch(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Fetch exactly these partitions, from exactly these offsets."""
        self._positions = dict(offsets)

    def committed(
        self, partitions: Sequence[TopicPartition], wait_s: float = REQUEST_TIMEOUT_S
    ) -> dict[TopicPartition, int | None]:
        """The group's stable offsets; None where there is none."""
        group = self._broker.group
        try:
            found = self._wire.call("committed", lambda: group.stable_offsets(partitions), wait_s)
        except UnansweredError as error:
            raise BrokerError("reading the group's offsets", why=str(error)) from error
        return {TopicPartition(*tp): offset for tp, offset in found.items()}

    def group_metadata(self) -> Any:
        """A snapshot of the group membership."""
        return self._process.slot, self._member_id, self._group_generation

    def close(self) -> None:
        """Stop; a static member keeps its partitions until the session times out."""
        self._is_closed = True


class SimChangelogReader:
    """`ChangelogReader` on the simulated broker."""

    IS_COMMITTED = True

    def __init__(self, process: Process, broker: Broker) -> None:
        self._process = process
        self._broker = broker
        self._positions: dict[TopicPartition, int] = {}
        self._reported: dict[TopicPartition, int] = {}
        self._highs: dict[TopicPartition, int] = {}

    def assign(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Read these partitions from these offsets."""
        self._positions = dict(offsets)
        self._reported.clear()

    def poll(
        self, records_max: int, wait_s: float
    ) -> tuple[list[Message], dict[TopicPartition, int]]:
        """Records, and the last stable offset of each partition that was read up to it."""
        process = self._process
        process.at("changelog poll")
        process.rest(QUICK_S)
        found: list[Message] = []
        ends: dict[TopicPartition, int] = {}
        if self._broker.is_up and not process.is_silent:
            most = min(records_max, process.world.random.choice((3, 10, 40)))
            for tp, position in self._positions.items():
                log = self._broker.log(*tp)
                start = position if log.low <= position <= log.next_offset else log.low
                records, after = log.read(start, most, is_committed=self.IS_COMMITTED)
                found += records
                self._positions[tp] = after
                self._highs[tp] = log.next_offset
                end = log.last_stable_offset if self.IS_COMMITTED else log.next_offset
                if after == end and self._reported.get(tp) != after:
                    self._reported[tp] = ends[tp] = after
        if not found and not ends:
            process.rest(wait_s)
        return found, ends

    def high(self, partition: TopicPartition) -> int | None:
        """The high watermark that came with the partition's last fetch; None before the first."""
        return self._highs.get(partition)

    def close(self) -> None:
        """Stop reading."""
        self._positions.clear()
