"""The storm: inputs that keep coming, and the faults that are not thrown by dice.

Owns: what is produced, when each event of the catalogue happens, and that what it stopped resumes.
Does not own: faults at single calls (faults.py), the workers' lives (fleet.py), people and their
rebuilds (operating.py).
Invariant: everything here is a task of its own; it never touches an engine.
"""

from collections.abc import Callable
from typing import Final

from simulator.agent import INPUTS, POISON, SEEN, USERS
from simulator.broker import Broker
from simulator.disk import Folder
from simulator.faults import OPERATED, Dice
from simulator.fleet import Fleet
from simulator.group import COMMITS_KEPT
from simulator.log import Transaction
from simulator.operating import Operator
from simulator.world import World

FEED_S: Final = (0.1, 0.9)
"""Shortest and longest seconds between two productions of inputs."""

PAUSE_S: Final = (1.0, 6.0)
"""Shortest and longest seconds between two events."""

CALM_S: Final = (10.0, 30.0)
"""The same, now and then: long enough for every worker to catch up."""

BACKLOG_MAX: Final = 200
"""Inputs that are not committed above which no more are produced."""

BACKLOG_OPERATED_MAX: Final = 25
"""The same where an operator is at work, whose repairs wait behind it."""

USERS_COUNT: Final = 6

RETENTION_MS: Final = 18_000
"""Milliseconds that a windowed changelog keeps a record; more than the dedupe window."""


class Storm:
    """Produces the inputs of a run, and makes the events happen.

    Attributes:
        is_over: whether there is no more feeding, and no event.
        operator: at work where it was chosen.
        fed: inputs so far.
    """

    def __init__(self, world: World, broker: Broker, fleet: Fleet, dice: Dice) -> None:
        self._world = world
        self._broker = broker
        self._fleet = fleet
        self._dice = dice
        self._is_busy = False
        self.is_over = False
        self.fed = 0
        self._events: dict[str, Callable[[], None]] = {
            "broker restarted": self._restart_broker,
            "broker killed": self._kill_broker,
            "worker cut off": self._cut_off,
            "rebalance storm": self._rebalances,
            "rolling restart": self._rolling,
            "slot taken twice": self._twin,
            "two workers on one folder": self._shared_folder,
            "changelog compacted": self._compact,
            "changelog expired": self._expire,
            "group's offsets expired": self._expire_offsets,
            "group's offsets went back": self._offsets_back,
            "changelog recreated": self._recreate,
            "changelog recreated in use": self._recreate_in_use,
            "old snapshot put back": self._bounce,
            "disk lost": self._bounce,
            "store corrupt": self._bounce,
        }
        self.operator = Operator(world, broker, dice, self._is_behind)
        if OPERATED in dice.chosen:
            self.operator.start()
        world.later(0.0, self._feed)
        world.spawn(self._run)

    @property
    def is_idle(self) -> bool:
        """Whether no event is under way."""
        return not self._is_busy and self.operator.is_idle

    def end(self) -> None:
        """Feed no more, and cause no more events."""
        self.is_over = self.operator.is_over = True

    # --- inputs ----------------------------------------------------------------------------------

    def _feed(self) -> None:
        """Produce a few inputs: mostly new, some sent again, some poison, some aborted."""
        world, random = self._world, self._world.random
        if self.is_over:
            return
        world.later(world.between(*FEED_S), self._feed)
        if self._is_behind():
            return
        log = self._broker.log(random.choice(INPUTS), random.randrange(self._broker.partitions))
        transaction = None
        if "input aborted" in self._dice.chosen and random.random() < 0.4:
            transaction = Transaction(f"input {self.fed}")
        for _ in range(random.randint(1, 6)):
            self.fed += 1
            user = b"user-%d" % random.randrange(USERS_COUNT)
            event = b"%d" % (self.fed if random.random() < 0.8 else random.randint(1, self.fed))
            if random.random() < 0.04:
                event = POISON + event
            log.append((user, event, None), int(world.now * 1000), transaction)
        if transaction is not None:
            transaction.is_committed = random.random() < 0.5
            world.effects["input aborted"] += not transaction.is_committed
            world.later(world.between(0.05, 2.0), lambda: log.end(transaction))

    def _is_behind(self) -> bool:
        offsets = self._broker.group.offsets
        backlog = sum(
            log.next_offset - offsets.get(log.topic_partition, 0)
            for topic in INPUTS
            for log in self._broker.logs(topic)
        )
        is_operated = OPERATED in self._dice.chosen
        return backlog > (BACKLOG_OPERATED_MAX if is_operated else BACKLOG_MAX)

    # --- events ----------------------------------------------------------------------------------

    def _run(self) -> None:
        events = [name for name in self._dice.chosen if name in self._events]
        world = self._world
        world.sleep(world.between(3.0, 6.0))
        while events and not self.is_over:
            self._is_busy = True
            name = world.random.choice(events)
            world.tell("storm", name)
            self._events[name]()
            self._is_busy = False
            world.sleep(world.between(*(CALM_S if world.random.random() < 0.15 else PAUSE_S)))

    def _some_slot(self) -> str:
        return self._world.random.choice(self._fleet.slots)

    def _wait(self, met: Callable[[], bool], seconds_max: float) -> bool:
        deadline = self._world.now + seconds_max
        while not met() and self._world.now < deadline and not self.is_over:
            self._world.sleep(0.5)
        return met()

    def _stop(self, slots: list[str], seconds_max: float = 40.0) -> bool:
        for slot in slots:
            self._fleet.stop(slot)
        return self._wait(lambda: all(map(self._fleet.is_stopped, slots)), seconds_max)

    def _resume(self, slots: list[str]) -> None:
        for slot in slots:
            self._fleet.resume(slot)

    def _restart_broker(self) -> None:
        self._broker.restart(self._world.between(0.5, 9.0))
        self._wait(lambda: self._broker.is_up, 10.0)

    def _kill_broker(self) -> None:
        """Kill the broker, mostly while a transaction is open or being ended."""
        for _ in range(2_000):
            if self._broker.transactions.is_one_without_markers:
                break
            self._world.sleep(0.005)
        self._broker.restart(self._world.between(3.0, 9.0), is_killed=True)
        self._wait(lambda: self._broker.is_up, 10.0)

    def _cut_off(self) -> None:
        worker = self._fleet.running.get(self._some_slot())
        if worker is not None:
            worker.process.cut_off_until = self._world.now + self._world.between(1.0, 20.0)

    def _bounce(self) -> None:
        slot = self._some_slot()
        worker = self._fleet.running.get(slot)
        if worker is not None:
            worker.stop()
        self._world.sleep(self._world.between(2.0, 8.0))

    def _rebalances(self) -> None:
        """Stop all slots but one for longer than their sessions, then start them again."""
        before = self._broker.group.generation
        away = list(self._fleet.slots)
        away.remove(self._some_slot())
        self._stop(away)
        self._world.sleep(self._world.between(8.0, 13.0))
        self._resume(away)
        self._world.sleep(self._world.between(2.0, 6.0))
        is_struck = self._wait(lambda: self._broker.group.generation >= before + 2, 10.0)
        self._world.effects["rebalance storm"] += is_struck

    def _rolling(self) -> None:
        for slot in self._fleet.slots:
            stopped = self._stop([slot])
            self._resume([slot])
            self._world.sleep(self._world.between(0.5, 4.0))
            self._world.effects["rolling restart"] += stopped

    def _twin(self) -> None:
        self._fleet.start_extra(self._some_slot(), Folder())
        self._world.sleep(self._world.between(5.0, 12.0))
        self._fleet.end_extra()

    def _shared_folder(self) -> None:
        self._fleet.start_extra("blue-extra", self._fleet.folders[self._some_slot()])
        self._world.sleep(self._world.between(8.0, 20.0))
        self._fleet.end_extra()
        self._world.sleep(self._world.between(8.0, 14.0))

    def _compact(self) -> None:
        for table in (USERS, SEEN):
            for log in self._broker.logs(table.changelog):
                self._world.effects["changelog compacted"] += log.compact() > 0

    def _expire(self) -> None:
        before_ms = self._oldest_waiting_ms() - RETENTION_MS
        for log in self._broker.logs(SEEN.changelog):
            self._world.effects["changelog expired"] += log.expire(before_ms) > 0

    def _oldest_waiting_ms(self) -> int:
        """Append time of the oldest input that is not committed; retention has to outlast it."""
        oldest = int(self._world.now * 1000)
        for topic in INPUTS:
            for log in self._broker.logs(topic):
                records, _ = log.read(self._broker.group.offsets.get(log.topic_partition, 0), 1)
                oldest = min([oldest, *(record.timestamp()[1] for record in records)])
        return oldest

    def _expire_offsets(self) -> None:
        """Stop all workers, and expire the group's offsets as after a week without members."""
        group = self._broker.group
        if self._stop(self._fleet.slots) and self._wait(lambda: group.is_empty, 30.0):
            self._world.effects["group's offsets expired"] += bool(group.offsets)
            group.expire_offsets()
        self._resume(self._fleet.slots)
        self._world.sleep(self._world.between(5.0, 10.0))

    def _offsets_back(self) -> None:
        """Restart the coordinator, which forgets the last commits (ADR 0018)."""
        self._broker.restart(self._world.between(0.2, 3.0))
        if self._wait(lambda: self._broker.is_up, 10.0):
            back = self._broker.group.go_back(self._world.random.randint(1, COMMITS_KEPT))
            self._world.effects["group's offsets went back"] += back > 0
        self._world.sleep(self._world.between(5.0, 15.0))

    def _recreate(self) -> None:
        """Recreate a changelog while no worker runs, and the disks hold all that was in it."""
        fleet, broker = self._fleet, self._broker
        if (
            self._wait(fleet.has_all_open, 60.0)
            and self._stop(fleet.slots)
            and self._wait(lambda: broker.group.is_empty and broker.transactions.is_idle, 30.0)
            and fleet.holds_committed_state()
        ):
            for table in self._world.random.choice(((USERS,), (SEEN,), (USERS, SEEN))):
                broker.make_topic(table.changelog)
            self._world.effects["changelog recreated"] += 1
        self._resume(fleet.slots)
        self._world.sleep(self._world.between(8.0, 15.0))

    def _recreate_in_use(self) -> None:
        """Recreate a changelog under the workers, while every partition is open somewhere."""
        fleet, broker = self._fleet, self._broker
        if self._wait(fleet.has_all_open, 60.0):
            for table in self._world.random.choice(((USERS,), (SEEN,), (USERS, SEEN))):
                broker.make_topic(table.changelog)
            self._world.effects["changelog recreated in use"] += 1
            self._world.sleep(self._world.between(0.5, 20.0))
            self._wait(fleet.has_all_open, 60.0)
