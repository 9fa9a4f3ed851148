"""The values of a worker's metrics, and what its probes ask.

Owns: which series are there before the first event, which of the worker's steps moves which metric.
Does not own: the definitions (metrics.py), keeping and exposing values (values.py), who says what
when (worker/telemetry.py), HTTP (health.py).
Invariants: what belongs to one step is visible to a scrape as a whole; the number of series is
bounded.
"""

import time
from collections.abc import Callable, Iterable
from typing import Final

from pipeline.core.enumerations import COMPLETION_VERDICTS, DEDUPE_VERDICTS
from pipeline.observability import metrics as m
from pipeline.observability.metrics import BatchStats, WorkerState
from pipeline.observability.values import MetricValues

REASONS_MAX: Final = 64
"""Distinct (stage, reason) pairs of dead letters that get series of their own."""

OTHER: Final = "other"
"""The reason under which all further pairs are counted."""

_OF_OWNED: Final = (
    m.STATE_BYTES, m.RESTORE_REMAINING, m.RESTORE_RATE,
    m.SCRUB_LEFT, m.SCRUB_COMPARED, m.SCRUB_DIFFERING, m.SCRUB_WALKED,
)  # fmt: skip
"""Gauges of owned partitions."""


class WorkerMetrics(MetricValues):
    """A worker's metrics. Each call is cheap, and may come from any thread.

    Args:
        now_ms: the time of day, ms since the epoch; read at a scrape.
        monotonic: seconds of a clock that never goes back.

    Attributes:
        brokers_answer: whether they answered the last question; True before the first.
    """

    def __init__(
        self, now_ms: Callable[[], int], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(m.METRICS)
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._reasons: set[tuple[str, str]] = set()
        self._lags: dict[tuple[str, str], tuple[int, int | None]] = {}
        self._state = WorkerState.STARTING
        self.brokers_answer = True
        self._stepped_s = monotonic()
        self._failed_in_a_row = 0
        for verdict in COMPLETION_VERDICTS:
            self.add(m.EVENTS, 0, "completion", verdict)
        for verdict in DEDUPE_VERDICTS:
            self.add(m.DEDUPE_VERDICTS, 0, verdict)
        for outcome in ("committed", "aborted"):
            self.add(m.TRANSACTIONS, 0, outcome)
        for kind in ("assigned", "revoked", "lost"):
            self.add(m.REBALANCES, 0, kind)
        for kind in ("disk", "changelog", "undecided"):
            self.add(m.SCRUB_DIFFERENCES, 0, kind)
        self.before_scrape.append(self._derive)

    # Called once, at start.

    def describe_build(self, **labels: str) -> None:
        """Set `awaway_build_info`; `labels` are just those of its definition."""
        self.put(m.BUILD_INFO, 1, *(labels[name] for name in m.BUILD_INFO.labels))

    def expect_portals(self, slugs: Iterable[str]) -> None:
        """Start the series of the policy's portals at 0, so that a first unlock is an increase."""
        with self._lock:
            for slug in slugs:
                self.add(m.PORTAL_UNLOCKS, 0, slug)

    # Read by the probes.

    @property
    def state(self) -> WorkerState:
        """Where the worker is in its life."""
        return self._state

    @property
    def failed_in_a_row(self) -> int:
        """Transactions that failed since one was committed."""
        return self._failed_in_a_row

    def step_age_s(self) -> float:
        """Seconds since the engine's thread made its last step, or since this was made."""
        return self._monotonic() - self._stepped_s

    # Called by telemetry and by the probe of lag.

    def stepped(self) -> None:
        """The engine's thread made a step; to be called at least once a second."""
        self._stepped_s = self._monotonic()

    def state_changed(self, state: WorkerState) -> None:
        """The worker entered `state`."""
        self._state = state

    def batches_committed(self, batches: Iterable[BatchStats], commit_time_ms: int) -> None:
        """The effects of `batches` became visible at `commit_time_ms`, ms since the epoch.

        The `append_times` of each are sorted in place.
        """
        with self._lock:
            for batch in batches:
                self._count(batch)
                self.observe_ages(m.INGEST_TO_COMMIT, batch.append_times, commit_time_ms)

    def transaction_committed(self, records: int, commit_s: float, apply_s: float) -> None:
        """A transaction with `records` inputs was committed and applied to the local stores."""
        with self._lock:
            self.observe(m.BATCH_RECORDS, records)
            self.observe(m.COMMIT_DURATION, commit_s)
            self.observe(m.APPLY_DURATION, apply_s)
            self.add(m.TRANSACTIONS, 1, "committed")
            self._failed_in_a_row = 0
            self.put(m.TRANSACTIONS_FAILED, 0)

    def transaction_aborted(self, abort_s: float) -> None:
        """A transaction was aborted; its inputs will be delivered again."""
        with self._lock:
            self.observe(m.ABORT_DURATION, abort_s)
            self.add(m.TRANSACTIONS, 1, "aborted")
            self._failed_in_a_row += 1
            self.put(m.TRANSACTIONS_FAILED, self._failed_in_a_row)

    def client_stalled(self) -> None:
        """A client returned nothing although there was something to return."""
        self.add(m.CLIENTS_STALLED, 1)

    def producer_renewed(self) -> None:
        """The producer was replaced under the same transactional id."""
        self.add(m.PRODUCERS_RENEWED, 1)

    def lag_measured(
        self, topic: str, partition: int, offset_lag: int, pending_since_ms: int | None
    ) -> None:
        """How far an input partition is behind.

        Args:
            offset_lag: the last stable offset less the committed one; 0 and up.
            pending_since_ms: lower bound of the append times of the inputs that are not committed,
                ms since the epoch; None where it is not known.
        """
        with self._lock:
            self._lags[topic, str(partition)] = (offset_lag, pending_since_ms)

    def lag_known(self) -> None:
        """The brokers answered."""
        self.brokers_answer = True

    def lag_unknown(self) -> None:
        """The brokers did not answer: show no lag rather than an old one."""
        self.brokers_answer = False
        with self._lock:
            self._lags.clear()

    def assigned(self, partitions: int) -> None:
        """The worker was given partitions and now owns `partitions` of each input."""
        with self._lock:
            self.add(m.REBALANCES, 1, "assigned")
            self.put(m.PARTITIONS_ASSIGNED, partitions)

    def revoked(self, gone: Iterable[int], left: int, *, lost: bool) -> None:
        """The partitions `gone` are no longer this worker's, `left` still are.

        Args:
            lost: the worker learnt it too late to end its transaction in order.
        """
        numbers = {str(number) for number in gone}
        with self._lock:
            self.add(m.REBALANCES, 1, "lost" if lost else "revoked")
            self.put(m.PARTITIONS_ASSIGNED, left)
            self._lags = {at: lag for at, lag in self._lags.items() if at[1] not in numbers}
            for metric in _OF_OWNED:
                for number in numbers:
                    self.drop(metric, number)

    def refused(self, partitions: int) -> None:
        """`partitions` of those owned are not processed."""
        self.put(m.PARTITIONS_REFUSED, partitions)

    def restore_progressed(self, partition: int, remaining: int, per_second: float) -> None:
        """`remaining` changelog offsets of the partition are left to be read, at that rate."""
        with self._lock:
            self.put(m.RESTORE_REMAINING, remaining, str(partition))
            self.put(m.RESTORE_RATE, per_second, str(partition))

    def standbys_changed(self, partitions: Iterable[int]) -> None:
        """Standbys are kept of exactly these partitions of other workers from now on."""
        kept = {str(number) for number in partitions}
        with self._lock:
            for (number,) in self.series(m.STANDBY_LAG):
                if number not in kept:
                    self.drop(m.STANDBY_LAG, number)

    def standby_measured(self, partition: int, behind: int) -> None:
        """A standby is `behind` changelog offsets behind."""
        self.put(m.STANDBY_LAG, behind, str(partition))

    def restored(self, partition: int, records: int, seconds: float) -> None:
        """A partition's tables stand at its committed offsets, after reading `records`."""
        with self._lock:
            self.observe(m.RESTORE_DURATION, seconds)
            self.add(m.RESTORE_RECORDS, records)
            self.put(m.RESTORE_REMAINING, 0, str(partition))
            self.put(m.RESTORE_RATE, 0, str(partition))

    def store_quarantined(self) -> None:
        """A local store did not fit, and was quarantined."""
        self.add(m.STORES_SET_ASIDE, 1)

    def state_measured(self, partition: int, size_bytes: int) -> None:
        """The size of a partition's local store."""
        self.put(m.STATE_BYTES, size_bytes, str(partition))

    def scrub_progressed(self, partition: int, left: int, compared: int) -> None:
        """The scrub has `left` changelog offsets to read, and has compared so many users."""
        with self._lock:
            self.put(m.SCRUB_LEFT, left, str(partition))
            self.put(m.SCRUB_COMPARED, compared, str(partition))

    def scrub_found(self, kind: str, users: int) -> None:
        """So many users differ who did not before."""
        self.add(m.SCRUB_DIFFERENCES, users, kind)

    def scrubbed(self, partition: int, differing: int) -> None:
        """A partition was walked whole."""
        with self._lock:
            self.put(m.SCRUB_DIFFERING, differing, str(partition))
            self.put(m.SCRUB_WALKED, self._now_ms() / 1000, str(partition))

    def assets_checked(self, found: int, missing: int) -> None:
        """The object store was compared with the catalogue."""
        with self._lock:
            self.put(m.ASSETS_CHECKED, found)
            self.put(m.ASSETS_MISSING, missing)

    def assets_generated(self, count: int, seconds: float) -> None:
        """`count` frames were drawn in `seconds`."""
        with self._lock:
            self.add(m.ASSETS_GENERATED, count)
            self.add(m.ASSET_GENERATION, seconds)

    def _derive(self) -> None:
        """Set the gauges that depend on the time of the scrape."""
        now_ms = self._now_ms()
        with self._lock:
            self.drop(m.OFFSET_LAG)
            self.drop(m.TIME_LAG)
            for at, (lag, since_ms) in self._lags.items():
                waits = lag > 0 and since_ms is not None
                self.put(m.OFFSET_LAG, lag, *at)
                self.put(m.TIME_LAG, max(0, now_ms - (since_ms or 0)) / 1000 if waits else 0, *at)
            for state in WorkerState:
                self.put(m.WORKER_STATE, state is self._state, state.value)
            self.put(m.LAST_STEP, self.step_age_s())

    def _count(self, batch: BatchStats) -> None:
        for (action, verdict), count in batch.outcomes.items():
            self.add(m.EVENTS, count, action, verdict)
            if verdict in DEDUPE_VERDICTS:
                self.add(m.DEDUPE_VERDICTS, count, verdict)
        for slug, count in batch.unlocks.items():
            self.add(m.PORTAL_UNLOCKS, count, slug)
        for pair, count in batch.dead_letters.items():
            self.add(m.DEAD_LETTERS, count, *self._bounded(pair))
        self.add(m.KEYS_GRANTED, batch.keys_granted)
        self.add(m.FIELDS_IGNORED, batch.fields_ignored, batch.topic)
        self.observe(m.FOLD_DURATION, batch.fold_s)

    def _bounded(self, pair: tuple[str, str]) -> tuple[str, str]:
        if pair not in self._reasons:
            if len(self._reasons) >= REASONS_MAX:
                return (pair[0], OTHER)
            self._reasons.add(pair)
        return pair
