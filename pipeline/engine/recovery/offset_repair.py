"""Whether the group has the offsets at which the partitions stand.

Owns: when that is looked at, and which inputs are to be recorded again.
Does not own: recording (machine.py), what a restore makes of offsets that are not there
(validation.py).

A group may hold back the offsets of the last transaction for ever, or go back (docs/adr/0018). The
state is right nevertheless, and the next transaction over the same inputs mends it: its marker ends
what its producer left pending. So where no transaction comes for a while the offsets are looked at,
and those that are behind are recorded again. Otherwise whoever gets the partition next would wait
for them.
"""

from collections.abc import Callable, Mapping
from typing import Final

from pipeline.engine.errors import BrokerError
from pipeline.engine.ports import Cluster, GroupConsumer, TopicPartition

LOOK_AFTER_S: Final = 2.0
"""After the last transaction was seen: its markers are written long before."""

LOOK_EVERY_S: Final = 60.0

PATIENCE_S: Final = 2.0
"""An answer takes milliseconds; one that is held back does not come."""


class OffsetRepair:
    """The offsets of one worker's open partitions, as the group has them."""

    def __init__(self, cluster: Cluster, clock: Callable[[], float]) -> None:
        self._cluster = cluster
        self._now = clock
        self._at: Mapping[TopicPartition, int] = {}
        # equivalent (number): it is set before it is looked at, when partitions stand somewhere
        self._look_at = 0.0

    def behind(
        self, consumer: GroupConsumer, at: Mapping[TopicPartition, int]
    ) -> set[TopicPartition]:
        """The inputs to be recorded again; looks now and then.

        Waits `PATIENCE_S` for the group, and where that does not answer for the broker as well.

        Args:
            consumer: of the group.
            at: where the open partitions stand.
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
            return set(at) if self._is_there(min(at)) else set()
        return {place for place, offset in at.items() if (known[place] or 0) < offset}

    def _is_there(self, place: TopicPartition) -> bool:
        """Whether the broker answers at all, so that it is the offsets that are held back."""
        try:
            return bool(self._cluster.ends([place]))
        except BrokerError:
            return False
