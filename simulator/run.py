"""One seed, from nothing to a verdict.

Owns: the course of a run: storm, healing, checks; what counts as hung.
Does not own: the parts (storm.py, fleet.py, checks.py).
Invariant: the seed decides everything; the same seed has the same trace.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from random import Random
from typing import Final

from pipeline.engine.errors import (
    BatchFailedError,
    SlotTakenError,
    StoreKeepsBreakingError,
    StoreLockedError,
    StoreUnwritableError,
)
from simulator.agent import AUDIT, INPUTS, TOPICS
from simulator.broker import Broker
from simulator.checks import wrong_partition
from simulator.faults import CATALOGUE, OPERATED, Dice
from simulator.fleet import Fleet, Sample
from simulator.process import SESSION_S
from simulator.reader import Reader
from simulator.storm import Storm
from simulator.world import Trace, World

STORM_S: Final = (25.0, 1_800.0)
"""Shortest and longest seconds of a storm."""

HEAL_S_MAX: Final = 120.0
"""Max seconds from the last fault until everything is committed; a longer run counts as hung."""

CHOSEN_MAX: Final = 4
"""Max faults of a run."""

OPERATED_SHARE: Final = 0.2
"""Share of the runs with an operator at work, besides those that drew it as they draw a fault."""

LOOK_S: Final = 0.25
"""Seconds between two looks whether the run has healed."""

MUST_BE_EXPLAINED: Final[dict[type[BaseException], set[str]]] = {
    BatchFailedError: {"agent fails", "agent forgets to say done"},
    StoreUnwritableError: {"write failed"},
    StoreLockedError: {"two workers on one folder"},
    StoreKeepsBreakingError: {"store breaks in use"},
    SlotTakenError: {
        "slot taken twice",
        "frozen briefly",
        "frozen past the session",
        "worker cut off",
        "broker restarted",
        "broker killed",
        "done too late",
        "no answer",
        "late copy of a request",
        "agent slower than polls may be",
        "killed",
    },
}
"""Errors that may end a worker, by the faults that may lead to them."""

APART: Final = (
    {"changelog recreated", "disk lost"},
    {"changelog recreated", "old snapshot put back"},
    {"changelog recreated", "store corrupt"},
    {"changelog recreated", "store breaks in use"},
    {"changelog recreated", "two workers on one folder"},
    {"changelog recreated", "slot taken twice"},
    {"changelog recreated", "write failed"},
    {"changelog recreated", "killed during a write"},
    {"changelog recreated", "group's offsets went back"},
)
"""Pairs of faults that may lose state for good, so that a worker rightly refuses the partition."""

IN_USE: Final = "changelog recreated in use"
BESIDE_IN_USE: Final = {
    IN_USE,
    "asked again later",
    "batch postponed",
    "changelog compacted",
    "input aborted",
    "late copy of a request",
    "queue does not drain",
    "request lost",
    "slow agent",
}
"""Faults that may occur together with `IN_USE`. Until a worker notices it, its disk alone has the
state: a fault that takes the partition away from it may lose the state for good."""

NOT_REBUILT: Final = {"changelog recreated", IN_USE}
"""Faults beside which nobody should rebuild: until such a changelog is written anew, a rebuild may
take what is in it for everything, as it compares no ids, and call people wrong who are right."""


@dataclass(slots=True)
class Verdict:
    """What became of a seed.

    Attributes:
        seed: of the run.
        slots, partitions: of the run.
        chosen: faults of the run.
        effects: seen of faults, by name.
        inputs: how many there were.
        complaints: what is wrong; empty when nothing is.
        trace: when it was kept.
    """

    seed: int
    slots: int
    partitions: int
    chosen: tuple[str, ...]
    effects: Counter[str]
    inputs: int = 0
    ended_at_s: float = 0.0
    complaints: list[str] = field(default_factory=list)
    trace: Trace | None = None


def choose(random: Random) -> tuple[str, ...]:
    """The faults of a run: none to four, none of which excuses what another does; in some of the
    runs there is an operator at work, too."""
    count = random.randint(0, CHOSEN_MAX + 2)
    chosen = random.sample(CATALOGUE, min(count, CHOSEN_MAX))
    for pair in APART:
        if pair <= set(chosen):
            chosen.remove(next(name for name in chosen if name in pair))
    if IN_USE in chosen:
        chosen = [name for name in chosen if name in BESIDE_IN_USE]
    if OPERATED not in chosen and ("rebuild killed" in chosen or random.random() < OPERATED_SHARE):
        chosen.append(OPERATED)
    if NOT_REBUILT & set(chosen):
        chosen = [name for name in chosen if name not in (OPERATED, "rebuild killed")]
    return tuple(chosen)


class Run:
    """A run of one seed."""

    def __init__(
        self,
        seed: int,
        *,
        keep_trace: bool = False,
        chosen: tuple[str, ...] | None = None,
        storm_s: tuple[float, float] = STORM_S,
    ) -> None:
        """Set it up.

        Args:
            seed: decides everything.
            keep_trace: keep what happened, step by step.
            chosen: faults; the seed's own when not given.
            storm_s: the storm's shortest and longest time; it ends between them as soon as each
                fault had its effect.
        """
        self._storm_s_max = storm_s[1]
        self.world = world = World(seed, keep_trace=keep_trace)
        if chosen is None:
            chosen = choose(world.random)
        slots = world.random.randint(1, 5)
        if "rebalance storm" in chosen or "two workers on one folder" in chosen:
            slots = max(slots, 2)
        self.dice = Dice(world.random, chosen)
        self.broker = Broker(world, world.random.randint(max(2, slots - 1), 5), SESSION_S)
        for topic in TOPICS:
            self.broker.make_topic(topic)
        self.fleet = Fleet(world, self.broker, self.dice, slots)
        self.storm = Storm(world, self.broker, self.fleet, self.dice)
        self.readers = [Reader(world, log) for log in self.broker.logs(AUDIT)]
        self._has_stormed = False
        self._look_at = 0.0
        world.later(storm_s[0], self._look)
        self.verdict = Verdict(
            seed, slots, self.broker.partitions, chosen, world.effects, trace=world.trace
        )

    def go(self) -> Verdict:
        """Run the seed and judge it."""
        world, verdict = self.world, self.verdict
        if not world.run(lambda: self._has_stormed, self._storm_s_max):
            missing = [name for name in verdict.chosen if not world.effects[name]]
            verdict.complaints.append(f"G: had no effect: {', '.join(missing)}")
        self._heal()
        committed = -1
        while committed < (committed := sum(self.broker.group.offsets.values())):
            if world.run(self._seems_healed, world.now + HEAL_S_MAX):
                break
        if not self._has_healed():
            verdict.complaints += self._hung()
        else:
            self._judge()
        verdict.complaints += self._unexplained()
        self.storm.operator.close()
        verdict.inputs = self.storm.fed
        verdict.ended_at_s = round(world.now, 3)
        return verdict

    def _look(self) -> None:
        """Once a second: whether every fault had its effect."""
        effects = self.world.effects
        self._has_stormed = all(effects[name] for name in self.dice.chosen) or bool(
            self._unexplained()
        )
        if not self._has_stormed:
            self.world.later(1.0, self._look)

    def _heal(self) -> None:
        """No more faults and no more inputs; whatever was broken is repaired."""
        world = self.world
        world.tell("run", "healing")
        self.dice.is_thrown = False
        self.storm.end()
        self.fleet.end_extra()
        for worker in self.fleet.running.values():
            worker.process.cut_off_until = 0.0
        for slot in self.fleet.slots:
            self.fleet.resume(slot)

    def _seems_healed(self) -> bool:
        """`_has_healed`, looked at a few times a second."""
        if self.world.now < self._look_at:
            return False
        self._look_at = self.world.now + LOOK_S
        return self._has_healed()

    def _has_healed(self) -> bool:
        """Whether every slot's worker is there, and every input is committed and visible."""
        fleet, broker = self.fleet, self.broker
        if not self.storm.is_idle or len(fleet.running) < len(fleet.slots):
            return False
        owned = [
            number for worker in fleet.running.values() for number in worker.engine.partitions.open
        ]
        if sorted(owned) != list(range(broker.partitions)) or not broker.transactions.is_idle:
            return False
        if any(
            worker.engine.partitions.topic_ids
            != broker.topic_ids(worker.engine.partitions.topic_ids)
            for worker in fleet.running.values()
        ):
            return False  # a changelog was recreated, and not noticed yet
        offsets = broker.group.offsets
        for topic in INPUTS:
            for log in broker.logs(topic):
                records = log.committed()
                if records and offsets.get(log.topic_partition, 0) <= records[-1].offset():
                    return False
        return all(log.last_stable_offset == log.next_offset for log in broker.every_log())

    def _hung(self) -> list[str]:
        """The complaint about a run that has not healed, with what is open."""
        said = []
        for slot, worker in sorted(self.fleet.running.items()):
            partitions = worker.engine.partitions
            said.append(
                f"{slot}: open {sorted(partitions.open)}, restoring {sorted(partitions.restoring)},"
                f" refused {sorted(partitions.refused)}"
            )
        for log in self.broker.every_log():
            if log.last_stable_offset != log.next_offset:
                said.append(
                    f"{log.topic_partition}: stable {log.last_stable_offset} of {log.next_offset}"
                )
        for topic in INPUTS:
            for log in self.broker.logs(topic):
                offset = self.broker.group.offsets.get(log.topic_partition)
                said.append(f"{log.topic_partition}: committed {offset} of {log.next_offset}")
        return [f"D: hangs: {'; '.join(said)}"]

    def _judge(self) -> None:
        verdict, fleet = self.verdict, self.fleet
        fleet.sample_all()
        by_partition: defaultdict[int, list[Sample]] = defaultdict(list)
        for sample in fleet.samples:
            by_partition[sample.partition].append(sample)
        for number in range(self.broker.partitions):
            samples = by_partition.get(number, [])
            notes = self.storm.operator.notes[number]
            verdict.complaints += wrong_partition(self.broker, number, samples, notes)
        for reader in self.readers:
            verdict.complaints += reader.complaints()

    def _unexplained(self) -> list[str]:
        said = list(self.storm.operator.failures)
        chosen = set(self.dice.chosen)
        for name, error in self.fleet.ended_by:
            if not MUST_BE_EXPLAINED.get(type(error), set()) & chosen:
                said.append(f"{name} ended by {error!r}")
        if not {"changelog recreated", IN_USE} & chosen:
            said += [f"{name} refused {p}: {why}" for name, p, why in self.fleet.refusals]
        return said
