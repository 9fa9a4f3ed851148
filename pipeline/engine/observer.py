"""What the engine tells about itself.

Owns: the calls. Does not own: metrics and logs, which implement them.
Invariant: an observer cannot change what the engine does; its methods return quickly and never
raise.
"""

from collections.abc import Mapping

from pipeline.engine.ports import TopicPartition


class EngineObserver:
    """Told of the engine's steps; this one ignores them all."""

    def at(self, step: str) -> None:
        """The engine is about to take this step: a place where a test can crash it."""

    def committed(self, records: int, commit_s: float, apply_s: float) -> None:
        """A transaction with this many inputs committed and was applied."""

    def aborted(self, records: int, abort_s: float, reason: str) -> None:
        """A transaction was aborted; its inputs will come again."""

    def producer_renewed(self, reason: str) -> None:
        """The producer was recreated under the same transactional id."""

    def rejoined(self, reason: str) -> None:
        """The consumer was recreated and joins the group."""

    def stalled(self, reason: str) -> None:
        """A client said nothing although there should be something; it is asked anew."""

    def assigned(self, partitions: list[int]) -> None:
        """These partitions now belong to this worker; they are being restored."""

    def revoked(self, partitions: list[int], lost: bool) -> None:
        """These partitions no longer belong to this worker."""

    def restoring(self, partition: int, done: int, total: int) -> None:
        """`done` of `total` changelog offsets of a partition were read since its restore began."""

    def ready(self, partition: int, records: int, restore_s: float) -> None:
        """A partition is up to date and is processed from now on."""

    def restores_wait(self, reason: str) -> None:
        """The broker did not answer; the restores wait."""

    def refused(self, partition: int, reason: str) -> None:
        """A partition is not processed; the reason says what to do."""

    def offsets_forgotten(
        self, partition: int, committed: Mapping[str, int | None], at: Mapping[str, int]
    ) -> None:
        """The group's offsets of a partition went back; it goes on after what its state contains,
        and records that."""

    def quarantined(self, partition: int, reason: str, path: str) -> None:
        """A local store did not fit and was quarantined in `path`."""

    def changelogs_lost(self, changelogs: list[str], is_back: bool) -> None:
        """Changelogs were deleted under this worker, and maybe recreated: then they are written
        anew from its disk."""

    def standbys(self, partitions: list[int]) -> None:
        """Just these partitions are kept as standbys from now on."""

    def standby_lag(self, partition: int, behind: int) -> None:
        """A standby was written; it is `behind` changelog offsets behind."""

    def standbys_wait(self, reason: str) -> None:
        """The broker did not answer; the standbys wait."""

    def positions(self, next_offsets: dict[TopicPartition, int]) -> None:
        """Where the inputs are read on from, after a commit."""
