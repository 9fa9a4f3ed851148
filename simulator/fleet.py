"""The workers of a run: started, restarted with or without their disk, stopped.

Owns: slots, folders, what a supervisor such as Kubernetes does, what workers report.
Does not own: when faults happen (storm.py), whether what they report is right (checks.py).
Invariant: while the fleet is not stopped, each slot has a worker, or gets one soon.
"""

from dataclasses import dataclass
from typing import Final

from pipeline.engine.errors import SlotTakenError
from simulator.broker import Broker
from simulator.disk import Entries, Folder
from simulator.faults import Dice
from simulator.group import range_assignment
from simulator.process import Process
from simulator.worker import Worker
from simulator.world import World

RESTART_S: Final = (0.1, 3.0)
"""Shortest and longest seconds until an ended worker is started again."""

DISK_FAULTS: Final = ("disk lost", "old snapshot put back", "store corrupt")
LONG_RESTART_S: Final = (11.0, 16.0)
"""The same for one restart in four: longer than a session."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A partition's local state, at a moment when it must equal a committed one."""

    slot: str
    at: str
    at_s: float
    partition: int
    entries: Entries


class Fleet:
    """All workers.

    Attributes:
        slots: that a worker is kept running for.
        folders: their data folders.
        running: workers by slot.
        extra: workers that should not be there.
        samples: of local state.
        ended_by: (worker, error) of those that ended by an error.
        refusals: (worker, partition, reason).
    """

    def __init__(self, world: World, broker: Broker, dice: Dice, slots: int) -> None:
        self._world = world
        self._broker = broker
        self._dice = dice
        self._started = 0
        self._wanted: dict[str, bool] = {}
        self._snapshots: dict[str, dict[int, Entries]] = {}
        self.slots = [f"blue-{number}" for number in range(slots)]
        self.folders = {slot: Folder() for slot in self.slots}
        self.running: dict[str, Worker] = {}
        self.extra: list[Worker] = []
        self.samples: list[Sample] = []
        self.ended_by: list[tuple[str, BaseException]] = []
        self.refusals: list[tuple[str, int, str]] = []
        broker.group.at_expiry = self._session_expired
        broker.transactions.at_lost_commit = self._forget_samples
        for slot in self.slots:
            self._wanted[slot] = True
            world.later(world.between(0.0, 2.0), lambda slot=slot: self._start(slot))  # type: ignore[misc]

    # --- starting and stopping -------------------------------------------------------------------

    def _new_worker(self, slot: str, folder: Folder) -> Worker:
        self._started += 1
        name = f"{slot}#{self._started}"
        process = Process(self._world, self._dice, name, slot)
        worker = Worker(process, folder, self._broker, self)
        self._world.tell(name, "started")
        self._world.spawn(worker.run)
        return worker

    def _start(self, slot: str) -> None:
        if self._wanted[slot] and slot not in self.running:
            self._change_disk(slot)
            self.running[slot] = self._new_worker(slot, self.folders[slot])

    def start_extra(self, slot: str, folder: Folder) -> Worker:
        """Start a worker that should not be there."""
        worker = self._new_worker(slot, folder)
        self.extra.append(worker)
        return worker

    def ended(self, worker: Worker) -> None:
        """A worker's process is over."""
        slot = worker.process.slot
        if worker.error is not None:
            self.ended_by.append((worker.process.name, worker.error))
            if isinstance(worker.error, SlotTakenError) and self._has_twin(worker):
                self._world.effects["slot taken twice"] += 1
        if worker in self.extra:
            self.extra.remove(worker)
        if self.running.get(slot) is worker:
            del self.running[slot]
            again_s = LONG_RESTART_S if self._world.random.random() < 0.25 else RESTART_S
            self._world.later(self._world.between(*again_s), lambda: self._start(slot))

    def _has_twin(self, worker: Worker) -> bool:
        others = [*self.extra, *self.running.values()]
        return any(w.process.slot == worker.process.slot for w in others if w is not worker)

    def stop(self, slot: str) -> None:
        """Stop a slot's worker gracefully, and keep it stopped."""
        self._wanted[slot] = False
        if slot in self.running:
            self.running[slot].stop()

    def resume(self, slot: str) -> None:
        """Have a worker run in the slot again."""
        self._wanted[slot] = True
        self._world.later(self._world.between(0.0, 1.0), lambda: self._start(slot))

    def is_stopped(self, slot: str) -> bool:
        """Whether nothing runs in the slot."""
        return slot not in self.running

    def end_extra(self) -> None:
        """End the workers that should not be there."""
        for worker in list(self.extra):
            worker.process.end()

    # --- disks -----------------------------------------------------------------------------------

    def _change_disk(self, slot: str) -> None:
        """Apply a fault of disks, while nothing runs on this one."""
        folder, dice, random = self.folders[slot], self._dice, self._world.random
        if any(database.holder is not None for database in folder.databases.values()):
            return
        if not dice.is_thrown:
            return
        possible = [name for name in DISK_FAULTS if name in dice.chosen]
        fault = random.choice([*possible, "none"])
        if "old snapshot put back" in possible and slot not in self._snapshots:
            self._snapshots[slot] = folder.snapshot()
            return
        if fault == "disk lost" and folder.databases:
            self.folders[slot] = Folder()
            self._world.effects[fault] += 1
        elif fault == "old snapshot put back":
            old = self._snapshots.pop(slot)
            self._world.effects[fault] += old != folder.snapshot()
            folder.put_back(old)
        elif fault == "store corrupt" and folder.databases:
            folder.databases[random.choice(sorted(folder.databases))].is_corrupt = True

    # --- what workers report ---------------------------------------------------------------------

    def sample(self, worker: Worker, partition: int) -> None:
        """Keep a copy of a partition's committed state."""
        database = worker.folder.databases.get(partition)
        if database is not None and self._owns(worker, partition):
            at = f"{worker.process.name} at {self._world.now:.3f}"
            entries = dict(database.entries)
            now = self._world.now
            self.samples.append(Sample(worker.process.slot, at, now, partition, entries))

    def _forget_samples(self, slot: str, since_s: float) -> None:
        """Drop the samples of a slot since then: they contain a commit that was lost."""
        self.samples = [s for s in self.samples if s.slot != slot or s.at_s < since_s]

    def _owns(self, worker: Worker, partition: int) -> bool:
        """Whether the group agrees that a partition is this worker's."""
        group, slot = self._broker.group, worker.process.slot
        holder = group.holder(slot) or ""
        return holder.startswith(f"{worker.process.name}/") and partition in group.partitions_of(
            slot
        )

    def refused(self, worker: Worker, partition: int, reason: str) -> None:
        """A worker will not process a partition.

        One that lost it already, and does not know it yet, may see the offsets of whoever has it
        now move under its eyes.
        """
        self._world.tell(worker.process.name, f"refused {partition}: {reason}")
        if self._owns(worker, partition):
            self.refusals.append((worker.process.name, partition, reason))

    def _session_expired(self, slot: str) -> None:
        worker = self.running.get(slot)
        if worker is None or worker.process.is_dead:
            return
        if self._world.now < worker.process.frozen_until:
            self._world.effects["frozen past the session"] += 1

    def sample_all(self) -> set[int]:
        """Sample every open partition; returns their numbers."""
        found = set()
        for worker in self.running.values():
            for number in worker.engine.partitions.open:
                self.sample(worker, number)
                found.add(number)
        return found

    def has_all_open(self) -> bool:
        """Whether each partition is open at the worker that the group gave it to."""
        dealt = range_assignment(self.slots, self._broker.partitions)
        return all(
            slot in self.running and set(numbers) == set(self.running[slot].engine.partitions.open)
            for slot, numbers in dealt.items()
        )

    def holds_committed_state(self) -> bool:
        """Whether each partition's state, as of the group's offsets, is on the disk of the very
        slot that gets the partition when all slots are there."""
        offsets = self._broker.group.offsets
        dealt = range_assignment(self.slots, self._broker.partitions)
        for slot, numbers in dealt.items():
            for number in numbers:
                wanted = {tp[0]: at for tp, at in offsets.items() if tp[1] == number}
                if not wanted or self.folders[slot].state_positions(number) != wanted:
                    return False  # without offsets there is nothing to compare the state with
        return True
