"""The current values of the metrics, as Prometheus scrapes them.

Owns: the values of every metric in `pipeline.observability.metrics`, and their exposition.
Does not own: the definitions (metrics.py), who says what when (telemetry.py), HTTP (health.py).
Invariants: what the engine's thread writes and what a scrape reads are guarded by one lock; a batch
costs a fixed number of bisections however large it is; the number of series is bounded.
"""

import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from pipeline.observability import metrics as m
from pipeline.observability.metrics import BatchStats, Kind, Metric, WorkerState

REASONS_MAX: Final = 64
"""Distinct (stage, reason) pairs of dead letters that get series of their own."""

OTHER: Final = "other"
_COMPLETION_VERDICTS: Final = ("accepted", "exact", "twin", "collision", "overlap", "dead_letter")
_DEDUPE_VERDICTS: Final = ("exact", "twin", "collision", "overlap")


class Histogram:
    """Counts by bucket; a whole batch is added at the price of one bisection a bucket.

    Args:
        bounds: upper bounds, ascending, without infinity.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Add one value, 0 and up."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def observe_ages(self, instants_ms: Sequence[int], now_ms: int) -> None:
        """Add the age in seconds of each instant.

        Args:
            instants_ms: ascending, ms since the epoch. One after `now_ms` counts as an age of 0:
                the clocks of broker and worker differ.
            now_ms: ms since the epoch.
        """
        total = len(instants_ms)
        past = bisect_left(instants_ms, now_ms)
        below = 0
        for place, bound in enumerate(self._bounds):
            # An age of exactly the bound belongs to its bucket, as `le` says.
            within = total - bisect_left(instants_ms, now_ms - round(bound * 1000))
            self._counts[place] += within - below
            below = within
        self._counts[-1] += total - below
        self._sum += (past * now_ms - sum(instants_ms[:past])) / 1000

    def cumulative(self) -> tuple[list[tuple[str, float]], float]:
        """The buckets as Prometheus wants them, `+Inf` last, and the sum of all values."""
        labels = [repr(float(bound)) for bound in self._bounds] + ["+Inf"]
        counted = accumulate(self._counts)
        return [(label, float(count)) for label, count in zip(labels, counted, strict=True)], (
            self._sum
        )


class WorkerMetrics(Collector):
    """Keeps the values; `registry` exposes them, with the process's own metrics.

    Args:
        now_ms: the time of day, ms since the epoch; read at a scrape.
        monotonic: seconds of a clock that never goes back.

    Attributes:
        brokers_answer: whether they did when they were asked last; before that, True.
    """

    def __init__(
        self, now_ms: Callable[[], int], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._values: dict[str, dict[tuple[str, ...], float]] = {d.name: {} for d in m.METRICS}
        self._histograms = {
            d.name: Histogram(d.buckets) for d in m.METRICS if d.kind is Kind.HISTOGRAM
        }
        self._reasons: set[tuple[str, str]] = set()
        self._lags: dict[tuple[str, str], tuple[int, int | None]] = {}
        self._state = WorkerState.STARTING
        self.brokers_answer = True
        self._stepped_s = monotonic()
        self._failed_in_a_row = 0
        for verdict in _COMPLETION_VERDICTS:
            self._add(m.EVENTS, 0, "completion", verdict)
        for verdict in _DEDUPE_VERDICTS:
            self._add(m.DEDUPE_VERDICTS, 0, verdict)
        for outcome in ("committed", "aborted"):
            self._add(m.TRANSACTIONS, 0, outcome)
        for kind in ("assigned", "revoked", "lost"):
            self._add(m.REBALANCES, 0, kind)
        for metric in m.METRICS:
            if not metric.labels and metric.kind is not Kind.HISTOGRAM:
                self._add(metric, 0)
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    # What the wiring says once.

    def describe_build(self, **labels: str) -> None:
        """Set `awaway_build_info`; `labels` are just those of its definition."""
        with self._lock:
            self._set(m.BUILD_INFO, 1, *(labels[name] for name in m.BUILD_INFO.labels))

    def expect_portals(self, slugs: Iterable[str]) -> None:
        """Start the series of the policy's portals at 0, so that a first unlock is an increase."""
        with self._lock:
            for slug in slugs:
                self._add(m.PORTAL_UNLOCKS, 0, slug)

    # What health asks.

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

    # What telemetry says. Each call is cheap and thread-safe.

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
        latency = self._histograms[m.INGEST_TO_COMMIT.name]
        with self._lock:
            for batch in batches:
                self._count(batch)
                # Nearly sorted as it comes from a log, so this is one pass.
                batch.append_times.sort()
                latency.observe_ages(batch.append_times, commit_time_ms)

    def transaction_committed(self, records: int, commit_s: float, apply_s: float) -> None:
        """A transaction with `records` inputs was committed and applied to the local stores."""
        with self._lock:
            self._histograms[m.BATCH_RECORDS.name].observe(records)
            self._histograms[m.COMMIT_DURATION.name].observe(commit_s)
            self._histograms[m.APPLY_DURATION.name].observe(apply_s)
            self._add(m.TRANSACTIONS, 1, "committed")
            self._failed_in_a_row = 0
            self._set(m.TRANSACTIONS_FAILED, 0)

    def transaction_aborted(self, abort_s: float) -> None:
        """A transaction was aborted; its inputs will be delivered again."""
        with self._lock:
            self._histograms[m.ABORT_DURATION.name].observe(abort_s)
            self._add(m.TRANSACTIONS, 1, "aborted")
            self._failed_in_a_row += 1
            self._set(m.TRANSACTIONS_FAILED, self._failed_in_a_row)

    def client_stalled(self) -> None:
        """A client said nothing although there was something."""
        with self._lock:
            self._add(m.CLIENTS_STALLED, 1)

    def producer_renewed(self) -> None:
        """The producer was made again under the same transactional id."""
        with self._lock:
            self._add(m.PRODUCERS_RENEWED, 1)

    def lag_measured(
        self, topic: str, partition: int, offset_lag: int, pending_since_ms: int | None
    ) -> None:
        """How far an input partition is behind.

        Args:
            offset_lag: the last stable offset less the committed one; 0 and up.
            pending_since_ms: no input that is not committed was appended before; None: not known.
        """
        with self._lock:
            self._lags[topic, str(partition)] = (offset_lag, pending_since_ms)

    def lag_known(self) -> None:
        """The brokers answered."""
        self.brokers_answer = True

    def lag_unknown(self) -> None:
        """The brokers could not be asked: show no lag rather than an old one."""
        self.brokers_answer = False
        with self._lock:
            self._lags.clear()

    def assigned(self, partitions: int) -> None:
        """The worker was given partitions and now owns `partitions` of each input."""
        with self._lock:
            self._add(m.REBALANCES, 1, "assigned")
            self._set(m.PARTITIONS_ASSIGNED, partitions)

    def revoked(self, gone: Iterable[int], left: int, *, lost: bool) -> None:
        """The partitions `gone` are no longer this worker's, `left` still are.

        Args:
            lost: it was told too late to end its transaction in order.
        """
        numbers = {str(number) for number in gone}
        with self._lock:
            self._add(m.REBALANCES, 1, "lost" if lost else "revoked")
            self._set(m.PARTITIONS_ASSIGNED, left)
            for place in [place for place in self._lags if place[1] in numbers]:
                del self._lags[place]
            for metric in (m.STATE_BYTES, m.RESTORE_REMAINING, m.RESTORE_RATE):
                for number in numbers:
                    self._values[metric.name].pop((number,), None)

    def refused(self, partitions: int) -> None:
        """`partitions` of those owned are not processed."""
        with self._lock:
            self._set(m.PARTITIONS_REFUSED, partitions)

    def restore_progressed(self, partition: int, remaining: int, per_second: float) -> None:
        """`remaining` changelog offsets of the partition are left to be read, at that rate."""
        with self._lock:
            self._set(m.RESTORE_REMAINING, remaining, str(partition))
            self._set(m.RESTORE_RATE, per_second, str(partition))

    def copies_changed(self, partitions: Iterable[int]) -> None:
        """Just these partitions of other workers are copied from now on."""
        numbers = {str(number) for number in partitions}
        with self._lock:
            lags = self._values[m.STANDBY_LAG.name]
            for gone in [place for place in lags if place[0] not in numbers]:
                del lags[gone]

    def copied(self, partition: int, behind: int) -> None:
        """A copy is `behind` changelog offsets behind."""
        with self._lock:
            self._set(m.STANDBY_LAG, behind, str(partition))

    def restored(self, partition: int, records: int, seconds: float) -> None:
        """A partition's tables stand at its committed offsets, after reading `records`."""
        with self._lock:
            self._histograms[m.RESTORE_DURATION.name].observe(seconds)
            self._add(m.RESTORE_RECORDS, records)
            self._set(m.RESTORE_REMAINING, 0, str(partition))
            self._set(m.RESTORE_RATE, 0, str(partition))

    def store_set_aside(self) -> None:
        """A local store did not fit and was moved aside."""
        with self._lock:
            self._add(m.STORES_SET_ASIDE, 1)

    def state_measured(self, partition: int, size_bytes: int) -> None:
        """The size of a partition's local store."""
        with self._lock:
            self._set(m.STATE_BYTES, size_bytes, str(partition))

    def assets_checked(self, found: int, missing: int) -> None:
        """The object store was compared with the catalogue."""
        with self._lock:
            self._set(m.ASSETS_CHECKED, found)
            self._set(m.ASSETS_MISSING, missing)

    def assets_generated(self, count: int, seconds: float) -> None:
        """`count` frames were drawn in `seconds`."""
        with self._lock:
            self._add(m.ASSETS_GENERATED, count)
            self._add(m.ASSET_GENERATION, seconds)

    # Exposition.

    def collect(self) -> Iterator[Family]:
        """Every metric of the list, in its order; called by a scrape, on its thread."""
        with self._lock:
            self._derive()
            families = [self._family(metric) for metric in m.METRICS]
        yield from families

    def _derive(self) -> None:
        now_ms = self._now_ms()
        lags, ages = self._values[m.OFFSET_LAG.name], self._values[m.TIME_LAG.name]
        lags.clear()
        ages.clear()
        for place, (lag, since_ms) in self._lags.items():
            lags[place] = float(lag)
            behind = lag > 0 and since_ms is not None
            ages[place] = max(0, now_ms - (since_ms or 0)) / 1000 if behind else 0.0
        for state in WorkerState:
            self._set(m.WORKER_STATE, float(state is self._state), state.value)
        self._set(m.LAST_STEP, self.step_age_s())

    def _family(self, metric: Metric) -> Family:
        if metric.kind is Kind.HISTOGRAM:
            buckets, total = self._histograms[metric.name].cumulative()
            return HistogramMetricFamily(metric.name, metric.help, buckets, total)
        counter = metric.kind is Kind.COUNTER
        made = CounterMetricFamily if counter else GaugeMetricFamily
        family = made(metric.name, metric.help, labels=metric.labels)
        for labels, value in sorted(self._values[metric.name].items()):
            family.add_metric(labels, value)
        return family

    def _count(self, batch: BatchStats) -> None:
        for (action, verdict), count in batch.outcomes.items():
            self._add(m.EVENTS, count, action, verdict)
            if verdict in _DEDUPE_VERDICTS:
                self._add(m.DEDUPE_VERDICTS, count, verdict)
        for slug, count in batch.unlocks.items():
            self._add(m.PORTAL_UNLOCKS, count, slug)
        for pair, count in batch.dead_letters.items():
            self._add(m.DEAD_LETTERS, count, *self._bounded(pair))
        self._add(m.KEYS_GRANTED, batch.keys_granted)
        self._add(m.FIELDS_IGNORED, batch.fields_ignored, batch.topic)
        self._histograms[m.FOLD_DURATION.name].observe(batch.fold_s)

    def _bounded(self, pair: tuple[str, str]) -> tuple[str, str]:
        if pair not in self._reasons:
            if len(self._reasons) >= REASONS_MAX:
                return (pair[0], OTHER)
            self._reasons.add(pair)
        return pair

    def _add(self, metric: Metric, amount: float, *labels: str) -> None:
        series = self._values[metric.name]
        series[labels] = series.get(labels, 0.0) + amount

    def _set(self, metric: Metric, value: float, *labels: str) -> None:
        self._values[metric.name][labels] = float(value)
