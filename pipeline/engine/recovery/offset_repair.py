"""Find inputs whose committed offsets in the group are behind the partition's state.

Owns: when the group is asked, and which offsets have to be repaired.
Does not own: repairing them, which the next transaction does (machine.py), what a restore makes of
missing offsets (validation.py).

Why: a group may hold back the offsets of the last transaction for ever, or lose the last commits
(docs/adr/0018). The state is right nevertheless, and the next transaction over the same inputs
repairs the offsets: its control marker ends what its producer left pending. Where no transaction
comes for a while, whoever is assigned the partition next would wait for those offsets. So the
offsets are compared then, and those that are behind are committed again.
"""

from collections.abc import Callable, Mapping
from typing import Final

from pipeline.engine.errors import BrokerError
from pipeline.engine.ports import Cluster, GroupConsumer, TopicPartition

LOOK_AFTER_S: Final = 2.0
"""Seconds from the last transaction to the comparison; its control markers are written by then."""

LOOK_EVERY_S: Final = 60.0
"""Seconds between two comparisons while no transaction comes."""

PATIENCE_S: Final = 2.0
"""Max seconds to wait for the group: an answer takes milliseconds, or is held back for ever."""


class OffsetRepair:
    """Compares one worker's positions with the group's committed offsets."""

    def __init__(self, cluster: Cluster, clock: Callable[[], float]) -> None:
        self._cluster = cluster
        self._now = clock
        self._at: Mapping[TopicPartition, int] = {}
        # equivalent (number): it is set before it is looked at, when partitions stand somewhere
        self._look_at = 0.0

    def behind(
        self, consumer: GroupConsumer, at: Mapping[TopicPartition, int]
    ) -> set[TopicPartition]:
        """Return the inputs whose offsets have to be repaired; compares only now and then.

        Waits up to `PATIENCE_S` for the group, and without an answer for the broker as well.

        Args:
            consumer: of the group.
            at: next offsets of the open partitions' inputs.
        """
        now = self._now()
        if at != self._at:
            self._at, self._look_at = dict(at), now + LOOK_AFTER_S
        # equivalent (<=): they differ at one instant, where both are right
        if now < self._look_at or not at:
            return set()
        self._look_at = now + LOOK_EVERY_S
        try:
            known = consumer.committed(sorted(at), PATIENCE_S)
        except BrokerError:
            return set(at) if self._is_broker_there(min(at)) else set()
        return {tp for tp, offset in at.items() if (known[tp] or 0) < offset}

    def _is_broker_there(self, partition: TopicPartition) -> bool:
        """Return whether the broker answers at all, so that only the offsets are held back."""
        try:
            return bool(self._cluster.ends([partition]))
        except BrokerError:
            return False
