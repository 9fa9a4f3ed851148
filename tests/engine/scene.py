"""One engine against the simulated broker and disk, with all that it says and asks written down.

Owns: the engine's world for a test, and what its clients are asked.
Does not own: the simulator (simulator/), faults of chance (tests/simulator).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from pipeline.engine.batch import Poll
from pipeline.engine.config import EngineConfig
from pipeline.engine.machine import Engine
from pipeline.engine.ports import (
    ChangelogReader,
    GroupConsumer,
    TopicPartition,
    TransactionalProducer,
)
from pipeline.engine.transactions.hanging import BROKER_RESTART_S_MIN
from simulator.agent import INPUTS, OUTPUTS, TABLES, TOPICS, fold
from simulator.broker import Broker
from simulator.cluster import SimCluster
from simulator.disk import Folder, SimDisk
from simulator.faults import Dice
from simulator.process import Process
from simulator.world import World
from tests.engine.recording_observer import RecordingObserver
from tests.simulated import run_task

PLAY_S_MAX: Final = 300.0
SETTLE_S: Final = 10.0
WAIT_S: Final = 0.5

FIRST: Final = 1
"""Transactions of a producer that acquires a slot's id: one, aborted, which ends what hangs."""


class Client:
    """A client of the broker that writes down what it is asked, and can be told to fail.

    Attributes:
        asked: (method, arguments) in order.
        failing: by method, what it raises from now on.
        failing_after: likewise, after it did what it was asked.
        instead: by method, what it returns from now on, without doing anything.
    """

    def __init__(self, real: Any) -> None:
        self.real = real
        self.asked: list[tuple[str, tuple[Any, ...]]] = []
        self.failing: dict[str, Exception] = {}
        self.failing_after: dict[str, Exception] = {}
        self.instead: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.real, name)
        if not callable(found):
            return found

        def call(*arguments: Any) -> Any:
            self.asked.append((name, arguments))
            if name in self.failing:
                raise self.failing[name]
            if name in self.instead:
                return self.instead[name]
            answer = found(*arguments)
            if name in self.failing_after:
                raise self.failing_after[name]
            return answer

        return call

    def count(self, name: str) -> int:
        """How often a method was called."""
        return sum(asked == name for asked, _ in self.asked)

    def last(self, name: str) -> tuple[Any, ...]:
        """The arguments of a method's last call."""
        return next(arguments for asked, arguments in reversed(self.asked) if asked == name)


class Cluster(SimCluster):
    """The simulated cluster; keeps every client that it made.

    Attributes:
        prepare: is shown each new client first, with its kind.
        failing: by question, what it raises from now on.
    """

    def __init__(self, process: Process, broker: Broker) -> None:
        super().__init__(process, broker)
        self.producers: list[Client] = []
        self.consumers: list[Client] = []
        self.readers: list[Client] = []
        self.prepare: Callable[[str, Client], None] = lambda *_: None
        self.failing: dict[str, Exception] = {}

    def _kept(self, kind: str, made: list[Client], real: Any) -> Any:
        client = Client(real)
        self.prepare(kind, client)
        made.append(client)
        return client

    def producer(self) -> TransactionalProducer:
        """As the simulated one's, and kept."""
        made: TransactionalProducer = self._kept("producer", self.producers, super().producer())
        return made

    def consumer(self) -> GroupConsumer:
        """As the simulated one's, and kept."""
        made: GroupConsumer = self._kept("consumer", self.consumers, super().consumer())
        return made

    def changelog_reader(self) -> ChangelogReader:
        """As the simulated one's, and kept."""
        made: ChangelogReader = self._kept("reader", self.readers, super().changelog_reader())
        return made

    def _ask(self, what: str, look: Callable[[], Any], *rest: Any) -> Any:
        if what in self.failing:
            raise self.failing[what]
        return super()._ask(what, look, *rest)


class Scene:
    """An engine that is not started, in a world where nothing goes wrong by itself.

    Args:
        partitions: of each topic.
        options: of the engine's configuration, instead of the usual.
    """

    def __init__(self, partitions: int = 1, **options: Any) -> None:
        self.may_stall = False
        self.world = World(1)
        self.broker = Broker(self.world, partitions, 10.0)
        for topic in TOPICS:
            self.broker.make_topic(topic)
        self.folder = Folder()
        self.observed = RecordingObserver()
        self.process = Process(self.world, Dice(self.world.random, ()), "w", "blue-0")
        self.cluster = Cluster(self.process, self.broker)
        self.disk = Client(SimDisk(self.process, self.folder))
        settings: dict[str, Any] = {
            "generation": "blue",
            "inputs": INPUTS,
            "tables": TABLES,
            "outputs": OUTPUTS,
            "wait_s": WAIT_S,
            "clock": lambda: self.world.now,
            "slot_id": "blue-0",
        }
        self.config = EngineConfig(**(settings | options))
        self.engine = Engine(self.config, self.cluster, self.disk, self.observed)

    def feed(self, *events: bytes, partition: int = 0, topic: str = INPUTS[0]) -> None:
        """Append inputs of one user, as of now."""
        log = self.broker.log(topic, partition)
        for event in events:
            log.append((b"ann", event, None), int(self.world.now * 1000))

    def play(self, act: Callable[[], object]) -> None:
        """Run a task to its end, in the simulated world; raises what it raises.

        The watch for stalled consumers, which would hide a forgotten fetch, must not be needed.

        After it the broker has the time to end what was committed.
        """
        run_task(self.world, act, PLAY_S_MAX)
        self.world.run(lambda: False, self.world.now + SETTLE_S)
        assert self.may_stall or not self.observed.of("stalled"), "only a look at the log helped"

    def polled(self) -> Poll:
        """The next poll that has records, not folded."""
        while True:
            poll = self.engine.poll()
            if poll is not None:
                if poll.batches:
                    return poll
                self.engine.commit(poll)

    def folded(self) -> Poll:
        """The next poll that has records, folded."""
        poll = self.polled()
        for batch in poll.batches:
            fold(batch, len(batch.records))
            batch.done()
        return poll

    def started(self) -> None:
        """Start, and go on until every partition is open or refused."""
        self.engine.start()
        self.all_decided()

    def one_committed(self) -> None:
        """Start, and go on until one input is committed."""
        self.started()
        self.feed(b"1")
        self.caught_up(1)

    def all_decided(self) -> None:
        """Poll until every assigned partition is open or refused, committing what comes."""
        partitions = self.engine.partitions
        for _ in range(500):
            if partitions.input_partitions and not partitions.restoring:
                return
            self.once()
        raise AssertionError("the partitions do not open")

    def once(self) -> None:
        """One poll, folded and committed if there is anything."""
        poll = self.engine.poll()
        if poll is not None:
            for batch in poll.batches:
                fold(batch, len(batch.records))
                batch.done()
            self.engine.commit(poll)

    def rounds(self, count: int) -> None:
        """So many polls."""
        for _ in range(count):
            self.once()

    def caught_up(self, inputs: int) -> None:
        """Poll until so many inputs were committed."""
        for _ in range(500):
            if sum(self.offsets().values()) >= inputs:
                return
            self.once()
        raise AssertionError(f"not all of {inputs} inputs are committed: {self.offsets()}")

    def offsets(self) -> Mapping[tuple[str, int], int]:
        """What the group has committed."""
        return self.broker.group.offsets

    def values(self, topic: str, partition: int = 0) -> list[bytes | None]:
        """What a reader of committed records sees."""
        return [record.value() for record in self.broker.log(topic, partition).committed()]


def killed_after(scene: Scene, end: Callable[[], None]) -> None:
    """Have the broker forget the end of the transaction that `end` asks to end."""
    end()
    scene.broker.transactions.is_killed = True
    scene.world.sleep(BROKER_RESTART_S_MIN + 0.5)
    assert scene.broker.transactions.lose_markers() == 1
    scene.broker.transactions.is_killed = False


def commit_lost(scene: Scene) -> None:
    """Start, commit one input, and have the broker forget that."""
    scene.started()
    scene.feed(b"1")
    killed_after(scene, lambda: scene.engine.commit(scene.folded()))


def silent(kind: str, client: Client) -> None:
    """Prepares readers that hear nothing."""
    if kind == "reader":
        client.instead["poll"] = ([], {})


def input_partitions(numbers: Sequence[int]) -> list[TopicPartition]:
    """The input partitions of these numbers."""
    return [TopicPartition(topic, number) for topic in INPUTS for number in numbers]
