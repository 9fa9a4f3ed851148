"""Whether partitions were told how the slot's last transaction ended.

Owns: noticing that they were not. Does not own: what follows (machine.py, acquire.py).

The end of a transaction is acknowledged when its coordinator has it, and partitions are told after
that. A lone broker that is killed in between may never tell them (docs/adr/0017). Then the next
marker of the same producer ends that transaction, in its own way and in the partitions that it goes
to. So before the slot ends another transaction the ends of the last one are looked at, if the
broker had the time to be killed and to start again meanwhile.

It relies on this: a broker lets no transaction begin before the one before it has ended everywhere,
as far as it knows. While they follow each other within `BROKER_RESTART_S_MIN` nothing is asked.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from pipeline.engine.errors import BrokerError, ProducerLostError
from pipeline.engine.ports import Cluster, Ends, TopicPartition
from pipeline.engine.transactions.checkpoints import ChangelogPositions

BROKER_RESTART_S_MIN: Final = 1.0
"""No broker is killed and works again within this time: a Kafka takes several times as long."""

EXCLUDED_RETRY_S: Final = 15.0
"""Between two tries to end what hangs where no record was taken."""

MARKER_DELAY_S_MAX: Final = 5.0
"""Partitions are told within milliseconds, or when a broker is slow, within this time."""


def all_ends(cluster: Cluster, places: Sequence[TopicPartition]) -> dict[TopicPartition, Ends]:
    """Where all of these partitions end.

    Raises:
        BrokerError: one of them did not answer.
    """
    found = cluster.ends(places)
    if missing := set(places) - found.keys():
        raise BrokerError(f"no answer from {len(missing)} partitions, {min(missing)} and on")
    return found


class HangingDetector:
    """The last transaction that was ended, until its end was seen in its partitions.

    Attributes:
        is_commit_lost: whether one that was committed may be aborted now; the engine sets it back.
    """

    def __init__(self, cluster: Cluster, clock: Callable[[], float]) -> None:
        self._cluster = cluster
        self._now = clock
        # equivalent (number): nobody looks at either before there are places
        self._asked_at = self._look_at = 0.0
        self._places: dict[TopicPartition, int | None] = {}
        # equivalent (name): nobody looks at it before there are places
        self._is_commit = False
        self._excluded: list[TopicPartition] = []
        # equivalent (number): it is set together with what was left out, and not looked at before
        self._again_at = 0.0
        self.is_commit_lost = False

    def producer_acquired(self) -> None:
        """A new producer of the slot was made, so it has ended, or was forgotten.

        Whether a commit was forgotten is known now and not later: what follows aborts it.
        """
        if self._is_commit and self._places:
            try:
                self.is_commit_lost = self._is_open() or self.is_commit_lost
            except BrokerError:
                self.is_commit_lost = True  # maybe; who looks at the stores will see
        self._places = {}
        self._excluded = []

    def excluded(self, places: Iterable[TopicPartition]) -> None:
        """What hangs in these could not be ended, as they took no record: look again later."""
        self._excluded, self._again_at = sorted(places), self._now() + EXCLUDED_RETRY_S

    @property
    def _is_in_doubt(self) -> bool:
        return bool(self._places) and self._now() - self._asked_at > BROKER_RESTART_S_MIN

    def committed(self, positions: ChangelogPositions, asked_at: float) -> None:
        """A commit was acknowledged.

        Args:
            positions: of the changelogs, after the last records of the transaction.
            asked_at: time before it was asked for; the broker may have been killed since.
        """
        places: dict[TopicPartition, int | None] = {
            TopicPartition(topic, number): end
            for number, by_topic in positions.items()
            for topic, (_, end) in by_topic.items()
        }
        self._ended(places, asked_at, is_commit=True)

    def aborted(self, places: Mapping[TopicPartition, int | None], asked_at: float) -> None:
        """An abort was acknowledged.

        Without a record it never came to the broker, and says nothing of the transaction before.

        Args:
            places: that may have records of it; with the offset after them where it is known.
            asked_at: time before it was asked for.
        """
        if self._places:
            self._places |= places
        else:
            self._ended(dict(places), asked_at, is_commit=False)
        self._look_at = asked_at  # where it is not known what to look for, before the next begins

    def _ended(
        self, places: dict[TopicPartition, int | None], asked_at: float, *, is_commit: bool
    ) -> None:
        self._places, self._is_commit = places, is_commit
        self._asked_at, self._look_at = asked_at, asked_at + BROKER_RESTART_S_MIN

    def check(self) -> None:
        """Look, when in doubt, before the slot ends another transaction.

        Raises:
            ProducerLostError: partitions were not told, or it cannot be seen; a new producer is
                needed, which ends it.
            BrokerError: no answer.
        """
        if self._is_in_doubt and (None in self._places.values() or self._is_open()):
            raise ProducerLostError("the broker forgot to end the transaction before")

    def is_hanging(self) -> bool:
        """The same while no transaction is open: looks once, or for some time if need be.

        Without an answer it is not; whoever needs one will say so.
        """
        now = self._now()
        if self._excluded and now >= self._again_at:
            self._again_at = now + EXCLUDED_RETRY_S
            return self._is_still_open()
        if not self._places or now < self._look_at:
            return False
        try:
            return self._is_open() and now - self._asked_at > MARKER_DELAY_S_MAX
        except BrokerError:
            return False
        finally:
            self._look_at = self._now() + BROKER_RESTART_S_MIN

    def _is_still_open(self) -> bool:
        """Whether something hangs where nothing could be ended; no, where nobody answers."""
        try:
            found = self._cluster.ends(self._excluded)
        except BrokerError:
            return False
        return any(end.stable < end.high for end in found.values())

    def _is_open(self) -> bool:
        found = all_ends(self._cluster, sorted(self._places))
        for place, end in self._places.items():
            stable, high = found[place]
            if stable < (high if end is None else end + 1):
                return True
        self._places = {}
        return False
