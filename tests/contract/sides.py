"""The two brokers that have to behave alike: the simulated one, and the real one.

Owns: how a test reaches either through the engine's own ports.
Does not own: what has to hold (the tests).
Invariant: a test cannot tell which one it has, but for the time that it takes.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from pipeline.dev.local.stack import LocalStack
from pipeline.engine.kafka.cluster import KafkaCluster
from pipeline.engine.kafka.config import KafkaConfig
from pipeline.engine.ports import Cluster, Message, TopicPartition
from simulator.broker import Broker
from simulator.cluster import SimCluster
from simulator.faults import Dice
from simulator.process import Process
from simulator.world import World
from tests.simulated import run_task

PARTITIONS = 2
WAIT_S = 30.0


class Beside:
    """Something that goes on beside the test."""

    def __init__(self) -> None:
        self.is_over = False
        self.result: Any = None

    def run(self, call: Callable[[], Any]) -> None:
        """Do it."""
        self.result = call()
        self.is_over = True


class Side(Protocol):
    """One of the brokers."""

    def play(self, act: Callable[[], None]) -> None:
        """Run a test's body."""

    def cluster(self, slot: str) -> Cluster:
        """The clients of a worker under this slot."""

    def topic(self, name: str) -> str:
        """A topic's full name; it is there, with two partitions."""

    def make_again(self, name: str) -> None:
        """Delete a topic and make it again."""

    def pause(self, seconds: float) -> None:
        """Let time pass."""

    def beside(self, call: Callable[[], Any]) -> Beside:
        """Start something that waits, beside the test."""


def wait_for(side: Side, met: Callable[[], bool]) -> None:
    """Poll until a condition holds."""
    waited = 0.0
    while not met():
        assert waited < WAIT_S, "not within its time"
        side.pause(0.1)
        waited += 0.1


class SimSide:
    """The simulated broker."""

    def __init__(self) -> None:
        self._world = World(1)
        self._broker = Broker(self._world, PARTITIONS, 10.0)
        self._dice = Dice(self._world.random, ())
        self._processes = 0

    def play(self, act: Callable[[], None]) -> None:
        """Run a test's body as a task."""
        run_task(self._world, act, 1_000.0)

    def cluster(self, slot: str) -> Cluster:
        """Clients in a process of their own."""
        self._processes += 1
        process = Process(self._world, self._dice, f"{slot}#{self._processes}", slot)
        return SimCluster(process, self._broker)

    def topic(self, name: str) -> str:
        """Made when it is asked for first."""
        if not self._broker.topic_ids([name]):
            self._broker.make_topic(name)
        return name

    def make_again(self, name: str) -> None:
        """At once."""
        self._broker.make_topic(name)

    def pause(self, seconds: float) -> None:
        """Virtual time."""
        self._world.sleep(seconds)

    def beside(self, call: Callable[[], Any]) -> Beside:
        """Another task."""
        other = Beside()
        self._world.spawn(lambda: other.run(call))
        return other


class RealSide:
    """The run's Kafka."""

    def __init__(self, stack: LocalStack, prefix: str) -> None:
        self._prefix = prefix
        self._client = {"bootstrap.servers": stack.bootstrap_servers}
        self._admin = AdminClient(dict(self._client))
        self._made: set[str] = set()

    def play(self, act: Callable[[], None]) -> None:
        """Just run it."""
        act()

    def cluster(self, slot: str) -> Cluster:
        """Clients with short times."""
        return KafkaCluster(
            KafkaConfig(
                client=self._client,
                group_id=f"{self._prefix}group",
                slot_id=f"{self._prefix}{slot}",
                session_timeout_ms=6_000,
                transaction_timeout_ms=4_000,
            )
        )

    def topic(self, name: str) -> str:
        """Made when it is asked for first."""
        full = f"{self._prefix}{name}"
        if full not in self._made:
            self._make(full)
            self._made.add(full)
        return full

    def _make(self, full: str) -> None:
        made = self._admin.create_topics([NewTopic(full, PARTITIONS, 1)])
        made[full].result()
        cluster = KafkaCluster(KafkaConfig(client=self._client, group_id="none", slot_id="none"))
        wait_for(self, lambda: full in cluster.topic_ids([full]))

    def make_again(self, name: str) -> None:
        """Delete it, wait until it is gone, make it."""
        full = f"{self._prefix}{name}"
        self._admin.delete_topics([full])[full].result()
        wait_for(self, lambda: full not in self._admin.list_topics(timeout=10).topics)
        self._make(full)

    def pause(self, seconds: float) -> None:
        """Real time."""
        time.sleep(seconds)

    def beside(self, call: Callable[[], Any]) -> Beside:
        """Another thread."""
        other = Beside()
        threading.Thread(target=other.run, args=(call,), daemon=True).start()
        return other


class Assigned:
    """A `RebalanceListener` that remembers."""

    def __init__(self) -> None:
        self.partitions: list[TopicPartition] | None = None

    def on_assigned(self, partitions: Any) -> None:
        """These now."""
        self.partitions = list(partitions)

    def on_revoked(self, partitions: Any) -> None:
        """None for now."""
        self.partitions = None

    on_lost = on_revoked


def read(side: Side, slot: str, tp: TopicPartition, end: int) -> list[Message]:
    """What a changelog reader delivers until it says that it has read up to `end`."""
    reader = side.cluster(slot).changelog_reader()
    reader.assign({tp: 0})
    found: list[Message] = []
    reached: list[int] = []

    def has_ended() -> bool:
        records, ends = reader.poll(100, 0.05)
        found.extend(records)
        reached.extend(ends.values())
        return bool(reached) and reached[-1] >= end

    wait_for(side, has_ended)
    reader.close()
    return found
