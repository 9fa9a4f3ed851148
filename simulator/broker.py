"""The simulated broker: topics, the coordinators, and being up or down.

Owns: topics and their ids. Does not own: logs, transactions and the group (their modules).
Invariant: what was acknowledged survives a restart.
"""

from collections.abc import Iterable

from simulator.group import Group
from simulator.log import Log
from simulator.transactions import Transactions
from simulator.world import World


class Broker:
    """A cluster of one.

    Attributes:
        is_up: whether it answers.
        group: the worker group.
        transactions: the transactional ids.
        partitions: number of each topic.
    """

    def __init__(self, world: World, partitions: int, session_s: float) -> None:
        self.world = world
        self.is_up = True
        self.partitions = partitions
        self.group = Group(world, partitions, session_s)
        self.transactions = Transactions(world, self.group)
        self._logs: dict[str, list[Log]] = {}
        self._ids: dict[str, str] = {}
        self._made = 0

    def make_topic(self, name: str) -> None:
        """Make a topic, or make it again, empty and under another id."""
        self._made += 1
        self._ids[name] = f"id-{self._made}"
        self._logs[name] = [Log(name, number) for number in range(self.partitions)]

    def log(self, topic: str, partition: int) -> Log:
        """A partition."""
        return self._logs[topic][partition]

    def logs(self, topic: str) -> list[Log]:
        """All partitions of a topic."""
        return self._logs[topic]

    def every_log(self) -> Iterable[Log]:
        """Every partition of every topic."""
        return (log for logs in self._logs.values() for log in logs)

    def topic_ids(self, names: Iterable[str]) -> dict[str, str]:
        """Ids of the topics that exist."""
        return {name: self._ids[name] for name in names if name in self._ids}

    def restart(self, down_s: float, *, is_killed: bool = False) -> None:
        """Go away for a while."""
        self.is_up = False
        self.transactions.is_killed = is_killed
        self.world.tell("broker", f"down for {down_s:.1f} s")

        def back() -> None:
            self.is_up = True
            if is_killed:
                self.world.effects["broker killed"] += self.transactions.lose_markers()
                self.transactions.is_killed = False
            self.group.hear_all()
            self.world.tell("broker", "up")

        self.world.later(down_s, back)
