"""What the engine reports about its work.

Owns: the calls. Does not own: metrics and logs, which implement them (worker/telemetry.py).
Invariant: an observer cannot change what the engine does; its methods return fast and never raise.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.engine.ports import TopicPartition

if TYPE_CHECKING:
    from pipeline.engine.batch import OpenPartition


class EngineObserver:
    """Receives the engine's reports; this one ignores them all."""

    def at(self, step: str) -> None:
        """The engine is about to take this step; a test can crash it here."""

    def at_rest(self, opened: Mapping[int, "OpenPartition"]) -> None:
        """No transaction is open: each store is as the last committed one left it.

        It may be read until this returns, and not be written.
        """

    def committed(self, records: int, commit_s: float, apply_s: float) -> None:
        """A transaction with this many inputs committed and was applied."""

    def aborted(self, records: int, abort_s: float, reason: str) -> None:
        """A transaction was aborted, or its outcome is unknown until its id is acquired again.

        Inputs that are not committed then are fetched again. The metrics count both as aborted.
        """

    def producer_renewed(self, reason: str) -> None:
        """The producer was recreated under the same transactional id."""

    def rejoined(self, reason: str) -> None:
        """The consumer was recreated and joins the group."""

    def stalled(self, reason: str) -> None:
        """A client delivered nothing although there are records; it is replaced."""

    def assigned(self, partitions: list[int]) -> None:
        """These partitions now belong to this worker; they are being restored."""

    def revoked(self, partitions: list[int], lost: bool) -> None:
        """These partitions no longer belong to this worker."""

    def restoring(self, partition: int, done: int, total: int) -> None:
        """`done` of `total` changelog offsets of a partition were read since its restore began."""

    def ready(self, partition: int, records: int, restore_s: float) -> None:
        """A partition was restored from `records` records, and is processed from now on."""

    def restores_wait(self, reason: str) -> None:
        """The broker did not answer; the restores back off."""

    def refused(self, partition: int, reason: str) -> None:
        """A partition is not processed; the reason says what an operator has to do."""

    def offsets_forgotten(
        self, partition: int, committed: Mapping[str, int | None], at: Mapping[str, int]
    ) -> None:
        """The group's offsets of a partition went back: it is processed from the offsets that its
        state contains, and those are committed."""

    def quarantined(self, partition: int, reason: str, path: str) -> None:
        """A local store was quarantined in `path`."""

    def changelogs_lost(self, changelogs: list[str], is_back: bool) -> None:
        """Changelogs were deleted under this worker; if they are recreated (`is_back`), it rewrites
        them from its disk."""

    def standbys(self, partitions: list[int]) -> None:
        """These partitions, and no others, are kept as standbys from now on."""

    def standby_lag(self, partition: int, behind: int) -> None:
        """A standby was written; it lags by `behind` changelog offsets."""

    def standbys_wait(self, reason: str) -> None:
        """The broker did not answer; the standbys back off."""

    def positions(self, next_offsets: dict[TopicPartition, int]) -> None:
        """The next offsets of the inputs, after a commit."""
