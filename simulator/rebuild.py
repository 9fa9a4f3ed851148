"""A rebuild's process against the simulated broker: what of it is the product's, what stands in.

Owns: the readers of the log, the sender of repairs and its wait for their effects, a process that
may be killed at each of its steps, the undo file that such a process leaves.
Does not own: the order of the steps (operating.py), what they have to come to (truth.py).
Invariant: whatever a killed process left is what the next one finds: the derived store as a disk
leaves it, the undo file with half a line perhaps, and what was sent.

Real, that is the product's own code: the replay and its position (rebuild/replay.py), the live
state and its cut (rebuild/live.py), catching up (rebuild/partition.py), the comparison
(rebuild/compare.py), repairs, undo and rollback (rebuild/repairs.py). A model: clients and topics,
the bytes of audit entries and portals, and that a step is in the log before it is done
(rebuild/operations.py). A rebuild is of one partition, of its people alone.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from pipeline.core.records import AuditEntry, Command, RecordCoordinates
from pipeline.engine.batch import Batch
from pipeline.engine.state.store import PartitionStore
from pipeline.kafka.errors import OffsetGoneError
from pipeline.ops.adjust.send import Effect, Pending
from pipeline.rebuild.compare import UserDifference
from pipeline.rebuild.live import Cut, LiveState
from pipeline.rebuild.partition import PartitionRebuild
from pipeline.rebuild.repairs import Undo
from pipeline.rebuild.replay import Folds, Replay, Sources, position_of
from simulator.agent import AUDIT, INPUTS, POISON, SEEN, TABLES, UNLOCKS, USERS
from simulator.broker import Broker
from simulator.disk import Folder, SimDisk
from simulator.faults import Dice
from simulator.log import Log, Record
from simulator.people import COMMAND, encode, entry_in, is_person, portal_in, take, world
from simulator.process import Killed, Process
from simulator.truth import Note
from simulator.world import World

PATIENCE_S: Final = 90.0
"""Seconds after which an operator ends a process that does not come to its end, and begins anew."""

ANSWER_S_MAX: Final = 20.0
"""Seconds to wait for a repair's effect."""

PORTION: Final = 25
"""Audit entries that are replayed with one write."""

POLL_S: Final = 0.2
COMMANDS: Final = INPUTS[1]
STEP: Final = b"step"
"""Key of the input that says that a step begins; to a worker it is poison."""


class Tool(Process):
    """A process of the operator's; it may be killed at each of its steps."""

    def __init__(self, world: World, dice: Dice, name: str) -> None:
        super().__init__(world, Dice(world.random, ()), name, "operator")
        self._its_dice = dice
        self._deadline_s = world.now + PATIENCE_S

    def at(self, step: str, danger: int = 1) -> None:
        """Take a step, at which it may be killed.

        Args:
            danger: how many times as probable as elsewhere that is.

        Raises:
            Killed: it was.
        """
        if self.is_dead:
            raise Killed
        self.world.tell(self.name, step)
        is_struck = any(self._its_dice.at_rebuild() for _ in range(danger))
        if is_struck:
            self.world.effects["rebuild killed"] += 1
            self.world.effects[f"killed at {step}, in a rebuild"] += 1
        if is_struck or self.world.now > self._deadline_s:
            self.world.tell(self.name, "killed")
            self.end()
            raise Killed


@dataclass
class Left:
    """What a rebuild leaves for whoever goes on with it.

    Attributes:
        name: its id.
        undo: the file of what was replaced.
        derived: the disk of its replay.
    """

    name: str
    undo: Path
    derived: Folder = field(default_factory=Folder)


@dataclass(frozen=True, slots=True)
class Place:
    """A process of the operator's, and the partition that it works on."""

    tool: Tool
    broker: Broker
    partition: int

    def log(self, topic: str) -> Log:
        """The partition of a topic, as it is now."""
        return self.broker.log(topic, self.partition)


class SimSource:
    """`pipeline.rebuild.source.Source` on a simulated topic."""

    def __init__(self, place: Place, topic: str, at: int | None = None) -> None:
        self._place = place
        self._topic = topic
        self._log = place.log(topic)
        self._next = self._log.low if at is None else at
        self._fetched: deque[Record] = deque()
        self.position = at
        self.reached = 0

    def close(self) -> None:
        """Nothing is left open."""

    def peek(self, wait_s: float = 0.0) -> Record | None:
        """The next record without taking it."""
        if not self._fetched:
            self._fetch()
            if not self._fetched and wait_s:
                self._place.tool.rest(wait_s)
                self._fetch()
        return self._fetched[0] if self._fetched else None

    def _fetch(self) -> None:
        if not self._place.broker.is_up:
            return
        log = self._place.log(self._topic)
        if log is not self._log or self._next < log.low:
            raise OffsetGoneError(f"{self._topic} has no offset {self._next}")
        if self._next == log.next_offset == self.reached:
            return
        self._place.tool.at(f"reading {self._topic}")
        records, self._next = log.read(self._next, 5_000)
        self.reached = self._next
        self._fetched.extend(records)

    def take(self) -> Record:
        """Take the record that `peek` showed."""
        record = self._fetched.popleft()
        self.position = record.offset() + 1
        return record

    def high_watermark(self) -> int:
        """The end as of now, what is not committed yet included."""
        return self._log.next_offset

    def is_at_end(self) -> bool:
        """Whether everything was taken up to an end."""
        return not self._fetched and self.reached >= (self.position or 0)


class SimReplay(Replay):
    """The product's replay, of audit entries that are not Avro."""

    def _entries(self, until: int, wait_s: float) -> list[AuditEntry]:
        entries: list[AuditEntry] = []
        source = self._sources.audit
        while len(entries) < PORTION and self.sequence < until:
            record = source.peek(wait_s if not entries else 0.0)
            if record is None:
                break
            source.take()
            self.sequence += 1
            if self._is_wanted(record.key()):
                entries.append(entry_in(record.value() or b""))
        return entries

    def is_beyond(self, cut: Cut) -> bool:
        """Whether there are audit entries after a cut."""
        return self.sequence > cut.sequence or self._sources.audit.peek() is not None


class _Processor:
    """The worker's processing of people, with the folds of a replay."""

    def __init__(self, folds: Folds) -> None:
        self._folds = folds

    def completions(self, batch: Batch) -> None:
        """Fold a batch."""
        for record in batch.records:
            take(batch.table(USERS), batch.table(SEEN), record, self._folds)

    commands = completions


class _Portals:
    """Decodes portals."""

    read = staticmethod(portal_in)


@dataclass(frozen=True, slots=True)
class _Readers:
    portals: _Portals


@dataclass(frozen=True, slots=True)
class _Setup:
    """What of `pipeline.rebuild.setup.Setup` a partition asks for."""

    world: Any
    tables: Any = TABLES
    readers: Any = _Readers(_Portals())


class SimRebuild(PartitionRebuild):
    """The product's rebuild of a partition, of its people, with simulated clients and disks."""

    def __init__(self, place: Place, left: Left, note: Callable[[Note], None]) -> None:
        tool, partition = place.tool, place.partition
        self._name = left.name
        self._note = note
        self._setup = cast(Any, _Setup(world()))
        self._partition = partition
        self._user_key = self._published = None
        self._wanted = is_person
        store = PartitionStore(partition, SimDisk(tool, left.derived).open(partition), "blue")
        position = position_of(store)
        sources: Any = Sources(
            cast(Any, SimSource(place, AUDIT, position.audit)),
            {name: cast(Any, SimSource(place, name, position.inputs.get(name))) for name in INPUTS},
            cast(Any, SimSource(place, UNLOCKS, position.portals)),
        )
        folds = Folds(lambda _: True)
        processor: Any = _Processor(folds)
        readers: Any = self._setup.readers
        self._sources = sources
        self._replay = SimReplay(store, processor, folds, sources, readers, wanted=is_person)
        tables: Any = [(table, SimSource(place, table.changelog)) for table in TABLES]
        unhurt = Process(tool.world, Dice(tool.world.random, ()), f"{tool.name}: live", tool.slot)
        self._live = LiveState(SimDisk(unhurt, Folder()).open(partition), tables, "blue")

    def differences(self) -> list[UserDifference]:
        """The people who differ; noted, for the model to judge."""
        found = super().differences()
        names = frozenset(one.user_id.encode() for one in found)
        self._note(Note("compared", self._name, self._replay.sequence, names))
        return found


class SimCorrections:
    """`pipeline.ops.adjust.send.Corrections` on the simulated broker.

    What it sends is appended once or not at all: the product's producer is idempotent.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._audit = SimSource(place, AUDIT, place.log(AUDIT).last_stable_offset)
        self.pending: dict[str, Pending] = {}

    def _append(self, key: bytes, value: bytes) -> int:
        place, tool = self._place, self._place.tool
        tool.at("before sending")
        while not place.broker.is_up:
            tool.rest(0.1)
        now_ms = int(tool.world.now * 1000)
        offset = place.log(COMMANDS).append((key, value, None), now_ms)
        tool.at("after sending", danger=5)
        return offset

    def send(self, command: Command, create_time_ms: int = 0, partition: int = -1) -> None:
        """Have a command in the log."""
        offset = self._append(command.user_id.encode(), COMMAND + encode(command))
        at = RecordCoordinates(COMMANDS, self._place.partition, offset)
        self.pending[command.request_id] = Pending(command, self._place.tool.world.now, at)

    def forget(self, one: Pending) -> None:
        """Wait no more for a command."""
        del self.pending[one.command.request_id]

    def poll(self, wait_s: float = POLL_S) -> list[Effect]:
        """Read on, and return the effects that are known by now."""
        tool, effects = self._place.tool, []
        self._place.tool.rest(wait_s)
        waiting = {one.place: one for one in self.pending.values()}
        while (record := self._audit.peek()) is not None:
            self._audit.take()
            if not is_person(record.key() or b""):
                continue
            entry = entry_in(record.value() or b"")
            one = waiting.get(entry.cause.coordinates)
            if one is not None and one.place is not None:
                self.forget(one)
                effects.append(_effect(one, one.place, entry))
        for one in self.pending.values():
            if tool.world.now > one.sent_s + ANSWER_S_MAX:
                one.error = "no worker answered"
        return effects

    def begin_step(self) -> None:
        """Have a step in the log, and wait until it was audited: whatever an earlier process of the
        rebuild had sent has had its effect by then (rebuild/operations.py)."""
        offset = self._append(STEP, POISON)
        wanted = f"{COMMANDS}|{offset}|".encode()
        while True:
            record = self._audit.peek(POLL_S)
            if record is not None and (self._audit.take().value() or b"").startswith(wanted):
                return


def _effect(one: Pending, place: RecordCoordinates, entry: AuditEntry) -> Effect:
    return Effect(
        one.command.request_id,
        one.command.user_id,
        place,
        entry.verdict,
        entry.rejection,
        entry.revision,
        entry.unlock_ids,
        0.0,
        0.0,
    )


class SimUndo(Undo):
    """The product's undo file, of a process that may be killed while it writes a line."""

    def __init__(self, path: Path, tool: Tool) -> None:
        super().__init__(path)
        self._tool = tool

    def add(self, differences: Iterable[UserDifference]) -> None:
        """Note what repairs will replace."""
        self._tool.at("before the undo")
        super().add(differences)
        try:
            self._tool.at("after the undo", danger=5)
        except Killed:
            self._tear()
            raise

    def _tear(self) -> None:
        """Leave half of the last line, as a crash may."""
        content = self._path.read_bytes()
        start = content.rfind(b"\n", 0, -1) + 1
        self._path.write_bytes(content[: self._tool.world.random.randint(start, len(content))])
