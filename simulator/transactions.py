"""The transaction coordinator.

Owns: producer epochs of transactional ids, and how their transactions begin, end and time out.
Does not own: logs (log.py), group membership (group.py).
Invariants: of each transactional id only the highest producer epoch that was given out may write; a
transaction's outcome is decided once, and only then written to its partitions, one after another.

| state | meaning | leaves it by |
|---|---|---|
| empty | nothing since `init` | a first write |
| ongoing | open | `end`, `init` by another producer, the time-out's sweep |
| prepared | decided; markers are being written | the last marker |
| complete | decided, and seen everywhere | a first write |

It speaks to clients as a broker does to clients without KIP-890: the producer epoch stays the same
from transaction to transaction, so a late copy of a request to end one may end the next.

A lone broker that is killed starts again without knowing its partitions' leaders for a moment. A
transaction that it wants to end in that moment it takes for ended, though no partition gets a
control marker: the transaction hangs. Or only the group's partition gets none, if the broker was
killed between the markers of the others and the group's.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from simulator.group import Group
from simulator.log import Log, Transaction
from simulator.refusal import BAD_STATE, CONCURRENT, FENCED, RefusedError
from simulator.world import World

SWEEP_S = 1.0
MARKER_S = (0.001, 0.03)
SLOW_MARKERS = 0.08
SLOW_MARKER_S = (0.2, 2.0)


@dataclass(slots=True)
class _Id:
    """One transactional id.

    Attributes:
        offsets_of: what was appended under this producer epoch, as sequence numbers tell it: by the
            producer's transaction and partition. What comes twice is appended once.
    """

    name: str
    timeout_s: float
    producer_epoch: int = -1
    state: str = "empty"
    number: int = 0
    transaction: Transaction = field(default_factory=lambda: Transaction(""))
    began_at: float = 0.0
    logs: dict[tuple[str, int], Log] = field(default_factory=dict)
    offsets_of: dict[tuple[int, tuple[str, int]], list[int]] = field(default_factory=dict)
    is_group_in: bool = False
    markers_left: int = 0
    decided_at: float = 0.0

    @property
    def is_undelivered(self) -> bool:
        """Whether it is decided, and not one of its markers is written."""
        return self.state == "prepared" and self.markers_left == len(self.logs) + self.is_group_in


class Transactions:
    """All transactional ids of a broker.

    Attributes:
        timed_out: how many transactions the sweep has aborted.
        is_killed: whether the broker is down after a kill, so that no transaction ends.
        at_lost_commit: called with a transactional id whose commit was lost, though maybe
            acknowledged; and with the time when it was decided.
    """

    def __init__(self, world: World, group: Group) -> None:
        self._world = world
        self._group = group
        self._ids: dict[str, _Id] = {}
        self.timed_out = 0
        self.is_killed = False
        self.at_lost_commit: Callable[[str, float], None] = lambda *_: None
        world.later(SWEEP_S, self._sweep)

    @property
    def is_idle(self) -> bool:
        """Whether no transaction is open or being ended."""
        return all(known.state in {"empty", "complete"} for known in self._ids.values())

    @property
    def is_one_without_markers(self) -> bool:
        """Whether a transaction has records, and no partition has its control marker."""
        return any(
            known.logs and (known.state == "ongoing" or known.is_undelivered)
            for known in self._ids.values()
        )

    def producer_epoch(self, name: str) -> int:
        """The producer epoch of a transactional id that may write now."""
        return self._ids[name].producer_epoch

    def init(self, name: str, timeout_s: float) -> int:
        """Acquire the id; returns the producer epoch that alone may write from now on.

        Raises:
            RefusedError: the last transaction is not ended everywhere yet; ask again.
        """
        known = self._ids.get(name)
        if known is None:
            known = self._ids[name] = _Id(name, timeout_s)
        if known.state == "ongoing":
            known.producer_epoch += 1
            self._decide(known, is_committed=False)
        if known.state == "prepared":
            raise RefusedError(CONCURRENT)
        known.producer_epoch += 1
        known.state = "empty"
        known.timeout_s = timeout_s
        known.number = 0
        known.offsets_of.clear()
        return known.producer_epoch

    def add(self, name: str, producer_epoch: int, number: int) -> None:
        """Open a transaction, or continue the open one.

        Only the producer epoch is checked, so a late request may open an unwanted transaction.
        """
        known = self._ids[name]
        if producer_epoch != known.producer_epoch:
            raise RefusedError(FENCED)
        if known.state == "prepared":
            raise RefusedError(CONCURRENT)
        known.number = max(known.number, number)
        if known.state != "ongoing":
            known.state = "ongoing"
            known.transaction = Transaction(f"{name}/{producer_epoch}/{number}", name)
            known.began_at = self._world.now
            known.logs = {}
            known.is_group_in = False

    def _open(self, name: str, producer_epoch: int, number: int) -> _Id:
        """The id, with just this transaction open; records tell it by their sequence numbers."""
        known = self._ids[name]
        if producer_epoch != known.producer_epoch:
            raise RefusedError(FENCED)
        if known.state != "ongoing" or number != known.number:
            raise RefusedError(BAD_STATE)
        return known

    def write(
        self,
        producer: tuple[str, int, int],
        log: Log,
        first: int,
        contents: list[tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]] | None]],
    ) -> list[int]:
        """Append records to a partition as part of a transaction; returns their offsets.

        Args:
            producer: transactional id, producer epoch, and the transaction's number, by the client.
            log: the partition.
            first: how many records of this transaction went to this partition before.
            contents: the records; those that were appended by an earlier try are not again.
        """
        known = self._open(*producer)
        known.logs[log.topic_partition] = log
        offsets = known.offsets_of.setdefault((producer[2], log.topic_partition), [])
        at_ms = int(self._world.now * 1000)
        for content in contents[max(0, len(offsets) - first) :]:
            offsets.append(log.append(content, at_ms, known.transaction))
        return offsets[first : first + len(contents)]

    def add_offsets(
        self,
        producer: tuple[str, int, int],
        member: tuple[str, str, int],
        offsets: dict[tuple[str, int], int],
    ) -> None:
        """Make offsets of the group part of a transaction; nobody sees them before it ends."""
        self.add(*producer)
        known = self._ids[producer[0]]
        known.is_group_in = True
        self._group.check_member(*member)
        self._group.hold(known.transaction, offsets)

    def end(self, name: str, producer_epoch: int, is_commit: bool) -> None:
        """Commit or abort the transaction that is open."""
        known = self._ids[name]
        if producer_epoch != known.producer_epoch:
            raise RefusedError(FENCED)
        if known.state == "ongoing":
            self._decide(known, is_committed=is_commit)
        elif known.state == "empty" or known.transaction.is_committed != is_commit:
            raise RefusedError(BAD_STATE)

    def _decide(self, known: _Id, *, is_committed: bool) -> None:
        """Decide the outcome, and have it written to each partition a little later."""
        known.state = "prepared"
        known.decided_at = self._world.now
        transaction = known.transaction
        transaction.is_committed = is_committed
        self._world.tell("broker", f"{'commit' if is_committed else 'abort'} {transaction.name}")
        ends: list[Callable[[Transaction], None]] = [log.end for log in known.logs.values()]
        if known.is_group_in:
            ends.append(self._group.end)
        known.markers_left = len(ends)

        def write(end: Callable[[Transaction], None]) -> None:
            if self.is_killed:
                self._world.later(MARKER_S[1], partial(write, end))
                return
            if transaction.is_hanging:
                return
            end(transaction)
            known.markers_left -= 1
            if known.markers_left == 0:
                known.state = "complete"

        if not ends:
            known.state = "complete"
        for end in ends:
            is_slow = self._world.random.random() < SLOW_MARKERS
            delay_s = self._world.between(*(SLOW_MARKER_S if is_slow else MARKER_S))
            self._world.later(delay_s, partial(write, end))

    def lose_markers(self) -> int:
        """Start after a kill: take for ended what is to be ended now; returns how many hang.

        Those are decided transactions without a control marker, and those whose time ran out
        meanwhile. The markers of partitions are written together, so one that some partition
        has the others have; the group's is written by another thread, and may be the one missing.
        """
        now, hanging = self._world.now, 0
        for known in self._ids.values():
            if known.state == "ongoing" and now - known.began_at > known.timeout_s:
                known.producer_epoch += 1
                known.transaction.is_committed = False
            elif not known.is_undelivered:
                continue
            known.state = "complete"
            if (
                known.transaction.is_committed
                and known.is_group_in
                and self._world.random.random() < 0.5
            ):
                for log in known.logs.values():
                    log.end(known.transaction)
                known.transaction.is_hanging = True
                hanging += 1
                self._world.tell("broker", f"lost the group's marker of {known.transaction.name}")
                continue
            known.transaction.is_hanging = True
            hanging += bool(known.logs)
            if known.transaction.is_committed:
                self.at_lost_commit(known.name, known.decided_at)
            self._world.tell("broker", f"lost the markers of {known.transaction.name}")
        return hanging

    def _sweep(self) -> None:
        now = self._world.now
        for known in () if self.is_killed else self._ids.values():
            if known.state == "ongoing" and now - known.began_at > known.timeout_s:
                known.producer_epoch += 1
                self.timed_out += 1
                self._world.tell("broker", f"time-out of {known.transaction.name}")
                self._decide(known, is_committed=False)
        self._world.later(SWEEP_S, self._sweep)
