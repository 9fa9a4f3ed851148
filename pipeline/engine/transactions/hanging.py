"""Detect partitions that never received the control marker of the slot's last transaction.

Owns: detecting such a hanging transaction. Does not own: what follows (machine.py, acquire.py).

Why: a coordinator acknowledges the end of a transaction once it is in the coordinator's own log,
and writes the control markers to the partitions after that. A broker without replicas that is
killed in between may never write them (docs/adr/0017). The next control marker of the same producer
then ends the hanging transaction too, in the partitions that this marker is written to: as a commit
or as an abort, whichever the marker says. So before the slot ends another transaction, the engine
looks whether the markers of the last one are there, if the broker had time to be killed and to
restart meanwhile.

How: a control marker takes one offset. Where the transaction's last record is known, its marker is
there once the last stable offset is above that record's next offset; elsewhere, once nothing is
open.

This relies on the broker: it begins no transaction before it believes the one before has ended in
all partitions. So nothing is asked while transactions follow each other within
`BROKER_RESTART_S_MIN`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from pipeline.engine.errors import BrokerError, ProducerLostError
from pipeline.engine.ports import Cluster, Ends, TopicPartition
from pipeline.engine.transactions.checkpoints import ChangelogPositions

BROKER_RESTART_S_MIN: Final = 1.0
"""Min seconds from a broker's kill until it serves again; a Kafka needs several times as long."""

EXCLUDED_RETRY_S: Final = 15.0
"""Seconds between two looks at partitions that refused the record that ends a hanging one."""

MARKER_DELAY_S_MAX: Final = 5.0
"""Max seconds from an acknowledged end to its control markers; usually milliseconds."""


def all_ends(cluster: Cluster, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Ends]:
    """Return where each of these partitions ends.

    Raises:
        BrokerError: one of them did not answer.
    """
    found = cluster.ends(partitions)
    if missing := set(partitions) - found.keys():
        raise BrokerError(f"no answer from {len(missing)} partitions, {min(missing)} and on")
    return found


class HangingDetector:
    """Remembers the last transaction until its control markers were seen in its partitions.

    Attributes:
        is_commit_lost: whether a transaction that was acknowledged as committed may be aborted now;
            the engine resets it.
    """

    def __init__(self, cluster: Cluster, clock: Callable[[], float]) -> None:
        self._cluster = cluster
        self._now = clock
        # equivalent (number): nobody looks at either before a transaction is remembered
        self._asked_at = self._look_at = 0.0
        self._next_offsets: dict[TopicPartition, int | None] = {}  # after its last record, if known
        # equivalent (name): nobody looks at it before a transaction is remembered
        self._is_commit = False
        self._excluded: list[TopicPartition] = []
        # equivalent (number): it is set together with the excluded ones, and not looked at before
        self._retry_at = 0.0
        self.is_commit_lost = False

    def producer_acquired(self) -> None:
        """Forget the last transaction: a new producer fenced it, so it has ended, or hangs.

        If it was a commit and hangs, it is lost: what follows (acquire.py) aborts it. That can be
        seen now and not later.
        """
        if self._is_commit and self._next_offsets:
            try:
                self.is_commit_lost = self._is_open() or self.is_commit_lost
            except BrokerError:
                self.is_commit_lost = True  # maybe; comparing the stores will show it
        self._next_offsets = {}
        self._excluded = []

    def not_aborted_in(self, partitions: Iterable[TopicPartition]) -> None:
        """Look again later at partitions where nothing could be aborted, as they took no record."""
        self._excluded, self._retry_at = sorted(partitions), self._now() + EXCLUDED_RETRY_S

    @property
    def _is_in_doubt(self) -> bool:
        return bool(self._next_offsets) and self._now() - self._asked_at > BROKER_RESTART_S_MIN

    def committed(self, positions: ChangelogPositions, asked_at: float) -> None:
        """Remember a commit that was acknowledged.

        Args:
            positions: of the changelogs, after the last records of the transaction.
            asked_at: clock time before the request; the broker may have been killed since.
        """
        next_offsets: dict[TopicPartition, int | None] = {
            TopicPartition(topic, number): next_offset
            for number, by_topic in positions.items()
            for topic, (_, next_offset) in by_topic.items()
        }
        self._ended(next_offsets, asked_at, is_commit=True)

    def aborted(self, next_offsets: Mapping[TopicPartition, int | None], asked_at: float) -> None:
        """Remember an abort that was acknowledged.

        An abort without records never reached the broker, and proves nothing about the transaction
        before it, which is therefore remembered as well.

        Args:
            next_offsets: by partition that may have its records, the offset after them; None where
                it is not known.
            asked_at: clock time before the request.
        """
        if self._next_offsets:
            self._next_offsets |= next_offsets
        else:
            self._ended(dict(next_offsets), asked_at, is_commit=False)
        self._look_at = asked_at  # an unknown offset can only be judged before the next one begins

    def _ended(
        self,
        next_offsets: dict[TopicPartition, int | None],
        asked_at: float,
        *,
        is_commit: bool,
    ) -> None:
        self._next_offsets, self._is_commit = next_offsets, is_commit
        self._asked_at, self._look_at = asked_at, asked_at + BROKER_RESTART_S_MIN

    def check(self) -> None:
        """Look, when in doubt, before the slot ends another transaction.

        Raises:
            ProducerLostError: markers are missing, or it cannot be seen whether they are; a new
                producer is needed, which aborts the hanging transaction.
            BrokerError: the broker did not answer.
        """
        if self._is_in_doubt and (None in self._next_offsets.values() or self._is_open()):
            raise ProducerLostError("the broker forgot to end the transaction before")

    def is_hanging(self) -> bool:
        """Return whether the last transaction hangs; for calls while no transaction is open.

        Looks once, and again each `BROKER_RESTART_S_MIN` while markers may still be on their way.
        Without an answer it is False: whoever needs an answer reports that.
        """
        now = self._now()
        if self._excluded and now >= self._retry_at:
            self._retry_at = now + EXCLUDED_RETRY_S
            return self._is_excluded_open()
        if not self._next_offsets or now < self._look_at:
            return False
        try:
            return self._is_open() and now - self._asked_at > MARKER_DELAY_S_MAX
        except BrokerError:
            return False
        finally:
            self._look_at = self._now() + BROKER_RESTART_S_MIN

    def _is_excluded_open(self) -> bool:
        """Return whether something is open in an excluded partition; False without an answer."""
        try:
            found = self._cluster.ends(self._excluded)
        except BrokerError:
            return False
        return any(end.stable < end.high for end in found.values())

    def _is_open(self) -> bool:
        """Return whether a partition lacks the marker; forget the transaction when none does."""
        found = all_ends(self._cluster, sorted(self._next_offsets))
        for partition, next_offset in self._next_offsets.items():
            stable, high = found[partition]
            # The marker itself takes the offset after the last record.
            if stable < (high if next_offset is None else next_offset + 1):
                return True
        self._next_offsets = {}
        return False
