"""The worker's telemetry: what the engine and the fold report becomes metrics and log lines.

Owns: which step of the engine moves which metric and which is logged, the worker's state.
Does not own: the metrics and their exposition (observability/), the measuring of lag (lag.py).
Invariants: a batch's counts become visible only after its transaction was committed, and never
when it was aborted. After a commit of unknown outcome the counts of that one batch are dropped,
although it may turn out to be committed: then the metrics miss a batch; the audit never does.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import structlog

from pipeline.engine.batch import OpenPartition
from pipeline.engine.observer import EngineObserver
from pipeline.engine.pages import Pages
from pipeline.engine.ports import TopicPartition
from pipeline.observability.metrics import BatchStats, WorkerState
from pipeline.observability.prometheus import WorkerMetrics

RESTORE_LOG_INTERVAL_MS: Final = 2_000
"""How often the progress of one partition's restore is logged."""

_log = structlog.get_logger("awaway.engine")


class Telemetry(EngineObserver):
    """The engine's observer in a worker. All calls come from the engine's thread.

    Args:
        metrics: the worker's.
        now_ms: the time of day, ms since the epoch.
        store_root: the folder of the partitions' local stores, whose files are measured.

    Attributes:
        pages: where the stores may be read; None unless somebody does.
    """

    def __init__(self, metrics: WorkerMetrics, now_ms: Callable[[], int], store_root: Path) -> None:
        self._metrics = metrics
        self._now_ms = now_ms
        self._store_root = store_root
        self.pages: Pages | None = None
        self._folded: list[BatchStats] = []
        # Replaced and never changed in place, as other threads read it.
        self._owned: frozenset[int] = frozenset()
        self._ready: set[int] = set()
        self._refused: set[int] = set()
        self._standbys: list[int] = []
        # By partition, ms since the epoch: when its restore began, when that was last logged.
        self._restore_began: dict[int, int] = {}
        self._restore_logged: dict[int, int] = {}
        self._last_append_ms: dict[TopicPartition, int] = {}

    @property
    def owned(self) -> frozenset[int]:
        """Partitions that this worker owns."""
        return self._owned

    def last_append_ms(self, topic: str, partition: int) -> int | None:
        """The greatest append time that was committed of this partition since its assignment."""
        return self._last_append_ms.get(TopicPartition(topic, partition))

    def folded(self, stats: BatchStats) -> None:
        """A micro-batch was folded; its counts wait for the commit."""
        self._folded.append(stats)

    # The engine's steps, as EngineObserver describes them.

    def at(self, step: str) -> None:
        self._metrics.stepped()
        if step == "begin":  # what an earlier transaction left was never committed
            self._folded.clear()
        if step == "init_transactions" and self._metrics.state is WorkerState.CHECKING:
            self._metrics.state_changed(WorkerState.JOINING)

    def at_rest(self, opened: Mapping[int, OpenPartition]) -> None:
        if self.pages is not None:
            self.pages.serve(opened)

    def committed(self, records: int, commit_s: float, apply_s: float) -> None:
        folded, self._folded = self._folded, []
        self._metrics.batches_committed(folded, self._now_ms())
        self._metrics.transaction_committed(records, commit_s, apply_s)
        for stats in folded:
            if stats.append_times:
                # The metrics have sorted them.
                input_partition = TopicPartition(stats.topic, stats.partition)
                self._last_append_ms[input_partition] = stats.append_times[-1]

    def aborted(self, records: int, abort_s: float, reason: str) -> None:
        self._metrics.transaction_aborted(abort_s)
        _log.warning("transaction aborted", records=records, abort_s=abort_s, reason=reason)

    def producer_renewed(self, reason: str) -> None:
        self._metrics.producer_renewed()
        _log.warning("producer recreated", reason=reason)

    def rejoined(self, reason: str) -> None:
        _log.warning("consumer recreated, joining the group", reason=reason)

    def stalled(self, reason: str) -> None:
        self._metrics.client_stalled()
        _log.warning("a client stalled", reason=reason)

    def assigned(self, partitions: list[int]) -> None:
        self._owned |= set(partitions)
        self._metrics.assigned(len(self._owned))
        _log.info("partitions assigned", partitions=partitions)
        self._update_state()

    def revoked(self, partitions: list[int], lost: bool) -> None:
        gone = set(partitions)
        self._owned -= gone
        self._ready -= gone
        self._refused -= gone
        for topic_partition in list(self._last_append_ms):
            if topic_partition.partition in gone:
                del self._last_append_ms[topic_partition]
        self._metrics.revoked(partitions, len(self._owned), lost=lost)
        self._metrics.refused(len(self._refused))
        _log.info("partitions lost" if lost else "partitions revoked", partitions=partitions)
        self._update_state()

    def restoring(self, partition: int, done: int, total: int) -> None:
        self._ready.discard(partition)
        self._metrics.stepped()
        now_ms = self._now_ms()
        if done == 0:
            self._restore_began[partition] = self._restore_logged[partition] = now_ms
            _log.info("restoring", partition=partition, to_do=total)
        spent_ms = now_ms - self._restore_began.get(partition, now_ms)
        per_s = done * 1000 / spent_ms if spent_ms > 0 else 0.0
        self._metrics.restore_progressed(partition, total - done, per_s)
        if now_ms - self._restore_logged.get(partition, now_ms) >= RESTORE_LOG_INTERVAL_MS:
            self._restore_logged[partition] = now_ms
            _log.info(
                "restoring", partition=partition, done=done, to_do=total - done, per_s=round(per_s)
            )
        self._update_state()

    def ready(self, partition: int, records: int, restore_s: float) -> None:
        self._refused.discard(partition)
        self._ready.add(partition)
        self._metrics.refused(len(self._refused))
        self._metrics.restored(partition, records, restore_s)
        _log.info("partition ready", partition=partition, records=records, restore_s=restore_s)
        self._update_state()

    def refused(self, partition: int, reason: str) -> None:
        self._ready.discard(partition)
        self._refused.add(partition)
        self._metrics.refused(len(self._refused))
        _log.error("partition refused", partition=partition, reason=reason)
        self._update_state()

    def offsets_forgotten(
        self, partition: int, committed: Mapping[str, int | None], at: Mapping[str, int]
    ) -> None:
        _log.error(
            "the group's offsets went back; continuing after what the state contains",
            partition=partition,
            committed=dict(committed),
            contained=dict(at),
            fix="nothing is counted twice; find out who reset them, or whether the brokers"
            " restarted (docs/adr/0018)",
        )

    def quarantined(self, partition: int, reason: str, path: str) -> None:
        self._metrics.store_quarantined()
        _log.warning("local store quarantined", partition=partition, reason=reason, path=path)

    def changelogs_lost(self, changelogs: list[str], is_back: bool) -> None:
        if is_back:
            _log.error(
                "changelogs were deleted and recreated: rewriting them from the local stores",
                topics=changelogs,
                fix="keep the data folders of all workers until their partitions are ready",
            )
        else:
            _log.error(
                "changelogs are gone: nothing can be committed",
                topics=changelogs,
                fix="`awaway topics apply` creates them again; keep the data folders of all"
                " workers, the changelogs are rewritten from them",
            )

    def standbys(self, partitions: list[int]) -> None:
        self._metrics.standbys_changed(partitions)
        if partitions != self._standbys:
            self._standbys = partitions
            _log.info("standbys kept", partitions=partitions)

    def standby_lag(self, partition: int, behind: int) -> None:
        self._metrics.standby_measured(partition, behind)

    def restores_wait(self, reason: str) -> None:
        _log.warning("restores wait for the broker", reason=reason)

    def standbys_wait(self, reason: str) -> None:
        _log.warning("standbys wait for the broker", reason=reason)

    def positions(self, next_offsets: dict[TopicPartition, int]) -> None:
        del next_offsets  # lag.py measures lag at the broker

    # Hooks of the wiring.

    def checked(self, what: str, facts: dict[str, object]) -> None:
        """A check at start passed, and found `facts`."""
        _log.info(f"checked: {what}", **facts)
        if what == "assets":
            self._metrics.assets_checked(int(str(facts["found"])), 0)
        elif what == "drawing":
            frames, seconds = int(str(facts["frames"])), float(str(facts["seconds"]))
            self._metrics.assets_generated(frames, seconds)

    def stopping(self) -> None:
        """The worker was asked to stop."""
        self._metrics.state_changed(WorkerState.STOPPING)
        _log.info("stopping: the open transaction is committed first")

    def measure_stores(self) -> None:
        """Measure the size of the owned partitions' stores; from any thread, every few seconds."""
        for partition in self.owned:
            self._metrics.state_measured(partition, _size_bytes(self._store_root / str(partition)))

    def _update_state(self) -> None:
        """Derive the worker's state from its partitions'.

        A refused partition leaves the worker ready: the others go on, and an alert fires.
        """
        if self._metrics.state is WorkerState.STOPPING:
            return
        restored = self._owned <= self._ready | self._refused
        self._metrics.state_changed(WorkerState.RUNNING if restored else WorkerState.RESTORING)


def _size_bytes(folder: Path) -> int:
    """Bytes of the files in `folder`; files that vanish meanwhile are not counted."""
    total = 0
    try:
        for path in folder.iterdir():
            total += path.stat().st_size
    except OSError:
        return total
    return total
