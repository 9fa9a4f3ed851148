"""An operator: adjustments, damage, and rebuilds that put it right, while everything else goes on.

Owns: what people do, what is damaged when, the steps of a rebuild and their order, going on with a
process that was killed.
Does not own: the process and its clients (rebuild.py), whether it all came out right (truth.py).
Invariants: a rebuild that was approved, or is being rolled back, is brought to its end, whatever is
killed in between; nothing is damaged once the storm is over.
"""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeVar, cast

from msgspec.structs import replace

from pipeline.codec.repairs import encode_repair
from pipeline.codec.state import decode_state
from pipeline.core.calendar import DAY_MS
from pipeline.core.records import Command, PracticeCompleted
from pipeline.core.repair import Repair
from pipeline.errors import AwawayError
from pipeline.rebuild.repairs import Order, Result, Sender, put_right, roll_back
from simulator.agent import AUDIT, INPUTS, USERS
from simulator.broker import Broker
from simulator.faults import OPERATED, Dice
from simulator.people import (
    COMMAND,
    COMPLETION,
    DAMAGE,
    DAMAGES,
    PERSON,
    damaged,
    encode,
    peoples_time,
)
from simulator.process import Killed
from simulator.rebuild import Left, Place, SimCorrections, SimRebuild, SimUndo, Tool
from simulator.truth import FORGED, Note
from simulator.world import World

FEED_S: Final = (0.2, 1.2)
"""Shortest and longest seconds between two inputs of people."""

PAUSE_S: Final = (0.2, 4.0)
"""The same between two steps of the operator."""

PARTITIONS_MAX: Final = 2
PEOPLE_EACH: Final = 2
"""Partitions that have people, and how many each has."""

GIVE_UP: Final = 0.3
"""Share of approvals that were cut short and are rolled back instead of gone on with."""

HOUR_MS: Final = 3_600_000

Answer = TypeVar("Answer")


class Operator:
    """Feeds people's inputs, damages their states, and rebuilds them.

    Args:
        is_behind: whether the workers have enough to do.

    Attributes:
        is_over: set to end it; what was approved is brought to its end first.
        is_idle: whether nothing of a rebuild is under way.
        notes: of what was seen of rebuilds, by partition.
        failures: of its processes that nobody has an answer to.
    """

    def __init__(
        self, world: World, broker: Broker, dice: Dice, is_behind: Callable[[], bool]
    ) -> None:
        self._world, self._broker, self._dice = world, broker, dice
        self._is_behind = is_behind
        self._partitions = range(min(PARTITIONS_MAX, broker.partitions))
        self._sent: defaultdict[bytes, list[PracticeCompleted]] = defaultdict(list)
        self._requests = 0
        self._rebuilds = 0
        self._started = 0
        self._folder: TemporaryDirectory[str] | None = None
        self.is_over = False
        self.is_idle = True
        self.notes: defaultdict[int, list[Note]] = defaultdict(list)
        self.failures: list[str] = []

    def start(self) -> None:
        """Begin."""
        self._folder = TemporaryDirectory(prefix="simulated-rebuilds-", dir=_memory())
        self._world.later(0.0, self._feed)
        self._world.spawn(self._run)

    def close(self) -> None:
        """Delete its files."""
        if self._folder is not None:
            self._folder.cleanup()

    # --- what people do --------------------------------------------------------------------------

    def _feed(self) -> None:
        """Have somebody practise, or support adjust something."""
        world, random = self._world, self._world.random
        if self.is_over:
            return
        world.later(world.between(*FEED_S), self._feed)
        if self._is_behind() or not self._broker.is_up:
            return
        partition = random.choice(self._partitions)
        key = self._somebody(partition)
        if random.random() < 0.25:
            self._append(INPUTS[1], partition, key, COMMAND + encode(self._adjustment(key)))
        else:
            self._append(INPUTS[0], partition, key, COMPLETION + encode(self._practice(key)))

    def _append(self, topic: str, partition: int, key: bytes, value: bytes) -> None:
        now_ms = int(self._world.now * 1000)
        self._broker.log(topic, partition).append((key, value, None), now_ms)

    def _somebody(self, partition: int) -> bytes:
        return PERSON + b"%d-%d" % (partition, self._world.random.randrange(PEOPLE_EACH))

    @property
    def _now(self) -> int:
        return peoples_time(int(self._world.now * 1000))

    def _practice(self, key: bytes) -> PracticeCompleted:
        """A completion: a new one, one that is sent again, or the same session once more."""
        random, sent = self._world.random, self._sent[key]
        roll = random.random()
        if sent and roll < 0.2:
            again = random.choice(sent[-4:])
            if roll < 0.1:
                return again
            return replace(again, completion_id=f"{again.completion_id}-again")
        end = self._now - random.randint(0, 20 * HOUR_MS)
        number = f"{key.decode()}-{len(sent)}"
        start = end - random.randint(HOUR_MS // 4, 8 * HOUR_MS)
        made = PracticeCompleted(
            f"c-{number}", key.decode(), f"s-{number}", "sitting", start, end, "Asia/Tokyo"
        )
        sent.append(made)
        return made

    def _adjustment(self, key: bytes) -> Command:
        random = self._world.random
        self._requests += 1
        kind = random.choice(("credit", "credit", "revoke", "withdraw"))
        command = Command(
            f"adjustment-{self._requests:05}", key.decode(), kind, "support", "an outage", "T-1"
        )
        if kind == "withdraw":
            target = random.randint(1, self._requests)
            return replace(command, withdraws=f"adjustment-{target:05}")
        return replace(command, local_date=self._now // DAY_MS - random.randint(0, 6))

    # --- damage ----------------------------------------------------------------------------------

    def _damage(self, partition: int) -> None:
        """Have a faulty release write a wrong state, or forge a repair."""
        random = self._world.random
        if self.is_over:
            return
        key = self._somebody(partition)
        how = random.choice((*DAMAGES, b"forged"))
        self._world.tell("operator", f"{key.decode()}: {how.decode()}")
        if how == b"forged":
            self._forge(partition, key)
            return
        sent = self._sent[key]
        forgotten = random.choice(sent[-3:]).completion_id.encode() if sent else b""
        self._append(INPUTS[1], partition, key, DAMAGE + how + b"/" + forgotten)

    def _forge(self, partition: int, key: bytes) -> None:
        """Send a repair that no rebuild derived, to the state that the changelog has."""
        log = self._broker.log(USERS.changelog, partition)
        found = [record.value() for record in log.committed() if record.key() == key]
        if not found or found[-1] is None:
            return
        state = decode_state(found[-1])
        wrong = damaged(state, self._world.random.choice(DAMAGES[:2]))
        self._requests += 1
        command = Command(
            f"{FORGED}{self._requests}",
            key.decode(),
            "repair",
            "somebody",
            "none",
            "none",
            payload=encode_repair(Repair(state.revision, state.digest, wrong)),
        )
        self._append(INPUTS[1], partition, key, COMMAND + encode(command))

    # --- rebuilds --------------------------------------------------------------------------------

    def _run(self) -> None:
        world = self._world
        world.sleep(world.between(4.0, 8.0))
        try:
            while not self.is_over:
                self.is_idle = False
                partition = world.random.choice(self._partitions)
                for _ in range(world.random.randint(1, 3)):
                    self._damage(partition)
                    self._pause()
                self._rebuild(partition)
                self.is_idle = True
                self._pause()
        except Exception as error:  # noqa: BLE001 — judged at the end, whatever it was
            self.failures.append(f"R: a rebuild ended by {error!r}")
            self.is_idle = True

    def _pause(self) -> None:
        self._world.sleep(self._world.between(*PAUSE_S))

    def _rebuild(self, partition: int) -> None:
        """One rebuild: a diff, mostly approved, now and then rolled back."""
        world, folder = self._world, self._folder
        if folder is None or self.is_over:
            return
        self._rebuilds += 1
        name = f"r{self._rebuilds}"
        left = Left(name, Path(folder.name) / name)
        people = self._until_done(f"{name} start", partition, lambda at: self._compared(at, left))
        if not people or self.is_over or world.random.random() < 0.1:
            return  # aborted
        self._pause()
        for _ in range(world.random.randint(0, 2)):  # while repairs are under way
            world.later(world.between(*PAUSE_S), lambda: self._damage(partition))
        is_done = self._carry_out(f"{name} approve", partition, people, left)
        if is_done:
            note = Note("approved", name, self._audited(partition), frozenset(people))
            self._note(partition, note)
            world.effects[OPERATED] += 1
            self._pause()
        if not is_done or world.random.random() < 0.5:
            users = list(SimUndo(left.undo, self._tool("a look")).all())
            keys = [user.encode() for user in users]
            self._carry_out(f"{name} rollback", partition, keys, left, is_back=True)
            self._note(partition, Note("rolled back", name, self._audited(partition)))
            world.effects["rolled back"] += 1

    def _audited(self, partition: int) -> int:
        return len(self._broker.log(AUDIT, partition).committed())

    def _note(self, partition: int, note: Note) -> None:
        self._world.tell("operator", f"{note}")
        self.notes[partition].append(note)

    def _tool(self, what: str) -> Tool:
        self._started += 1
        return Tool(self._world, self._dice, f"{what} #{self._started}")

    def _until_done(
        self, what: str, partition: int, act: Callable[[Place], Answer], give_up: float = 0.0
    ) -> Answer | None:
        """Have a process do something; when it is killed or fails, begin another.

        Args:
            give_up: how probable it is, each time, that nobody does; then there is no answer.
        """
        while True:
            tool = self._tool(what)
            try:
                answer = act(Place(tool, self._broker, partition))
                tool.at("done")
            except Killed:
                pause_s = self._world.between(0.1, 3.0)
            except AwawayError as error:
                self._world.tell(tool.name, f"ended by {error!r}")
                pause_s = 1.0
            else:
                return answer
            finally:
                if not tool.is_dead:
                    tool.end()
            if self._world.random.random() < give_up:
                return None
            self._world.sleep(pause_s)

    def _compared(self, at: Place, left: Left) -> list[bytes]:
        """Replay, and see who differs."""
        with self._opened(at, left) as rebuild:
            rebuild.catch_up()
            rebuild.differences()
        seen = self.notes[at.partition][-1]
        self._note(at.partition, Note("diff", seen.rebuild, seen.number, seen.people))
        return sorted(seen.people)

    def _opened(self, at: Place, left: Left) -> SimRebuild:
        return SimRebuild(at, left, lambda note: self._note(at.partition, note))

    def _carry_out(
        self, what: str, partition: int, people: list[bytes], left: Left, *, is_back: bool = False
    ) -> bool:
        """Repair people, or put them back, until nobody is left; whether that was done.

        A repair may be given up when its process was killed, a rollback never is.
        """
        users = [key.decode() for key in people]

        def act(at: Place) -> Result:
            corrections = SimCorrections(at)
            corrections.begin_step()
            name = left.name + ("-back" if is_back else "")
            order = Order(name, "operator", "damage", "T-2")
            sender = Sender(cast(Any, corrections), order)
            undo = SimUndo(left.undo, at.tool)
            with self._opened(at, left) as rebuild:
                return (roll_back if is_back else put_right)(rebuild, users, sender, undo)

        give_up = 0.0 if is_back else GIVE_UP
        while (result := self._until_done(what, partition, act, give_up)) is not None:
            self._world.effects["repaired"] += len(result.repaired)
            if not result.failed:
                return True
            self._world.tell("operator", f"{what}: {result.failed}")
            self._pause()
        return False


def _memory() -> str | None:
    """Where files cost no disk, if there is such a place."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
