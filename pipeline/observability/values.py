"""The current values of a process's metrics, as Prometheus scrapes them.

Owns: the series of a list of definitions, adding to them, and their exposition.
Does not own: the definitions (metrics.py, api_metrics.py), which event moves which metric
(prometheus.py of a worker, api_prometheus.py of the API).
Invariants: one lock guards what any thread writes and a scrape reads; a list of instants costs a
fixed number of bisections however long it is; a metric without labels has its series from the
start.
"""

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from pipeline.observability.metrics import Kind, Metric

Labels = tuple[str, ...]
"""The values of a metric's labels, in the order of its definition."""


class Histogram:
    """Counts by bucket; a whole list is added at the price of one bisection for each bucket.

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
        for index, bound in enumerate(self._bounds):
            # An age of exactly the bound belongs to its bucket, as `le` says.
            within = total - bisect_left(instants_ms, now_ms - round(bound * 1000))
            self._counts[index] += within - below
            below = within
        self._counts[-1] += total - below
        self._sum += (past * now_ms - sum(instants_ms[:past])) / 1000

    def cumulative(self) -> tuple[list[tuple[str, float]], float]:
        """The buckets in Prometheus's form, `+Inf` last, and the sum of all values."""
        labels = [repr(float(bound)) for bound in self._bounds] + ["+Inf"]
        counted = accumulate(self._counts)
        buckets = [(label, float(count)) for label, count in zip(labels, counted, strict=True)]
        return buckets, self._sum


class MetricValues(Collector):
    """Keeps the values of some metrics. Every method may be called from any thread.

    Args:
        metrics: in the order in which they are exposed.

    Attributes:
        registry: exposes them, and the process's own metrics (`process_*`, `python_*`).
        before_scrape: called at each scrape, on its thread and without the lock, to set gauges;
            append to it.
    """

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = tuple(metrics)
        # Reentrant: a subclass holds it over several of the methods below.
        self._lock = threading.RLock()
        self._numbers: dict[str, dict[Labels, float]] = {}
        self._histograms: dict[str, dict[Labels, Histogram]] = {}
        for metric in metrics:
            if metric.kind is Kind.HISTOGRAM:
                self._histograms[metric.name] = {}
                if not metric.labels:
                    self._histogram(metric)
            else:
                self._numbers[metric.name] = {} if metric.labels else {(): 0.0}
        self.before_scrape: list[Callable[[], None]] = []
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def add(self, metric: Metric, amount: float, *labels: str) -> None:
        """Add to a counter, or to a gauge that counts up and down."""
        with self._lock:
            series = self._numbers[metric.name]
            series[labels] = series.get(labels, 0.0) + amount

    def put(self, metric: Metric, value: float, *labels: str) -> None:
        """Set a gauge, or a counter whose owner counts itself."""
        with self._lock:
            self._numbers[metric.name][labels] = float(value)

    def drop(self, metric: Metric, *labels: str) -> None:
        """Forget one series of a gauge, if it is there; without labels all of them."""
        with self._lock:
            if labels:
                self._numbers[metric.name].pop(labels, None)
            else:
                self._numbers[metric.name].clear()

    def value(self, metric: Metric, *labels: str) -> float:
        """The current value of a counter or gauge; 0 where there is none."""
        return self._numbers[metric.name].get(labels, 0.0)

    def series(self, metric: Metric) -> list[Labels]:
        """The labels under which a counter or gauge has values."""
        return list(self._numbers[metric.name])

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Add one value to a histogram."""
        with self._lock:
            self._histogram(metric, *labels).observe(value)

    def observe_ages(self, metric: Metric, instants_ms: list[int], now_ms: int) -> None:
        """Add the age in seconds of each instant to a histogram without labels.

        Args:
            instants_ms: ms since the epoch, any order; sorted in place.
            now_ms: ms since the epoch.
        """
        instants_ms.sort()  # one pass, as what comes from a log is nearly sorted
        with self._lock:
            self._histogram(metric).observe_ages(instants_ms, now_ms)

    def collect(self) -> Iterator[Family]:
        """Every metric, in order; called by a scrape, on its thread."""
        for prepare in self.before_scrape:
            prepare()
        with self._lock:
            families = [self._family(metric) for metric in self._metrics]
        yield from families

    def _histogram(self, metric: Metric, *labels: str) -> Histogram:
        series = self._histograms[metric.name]
        if labels not in series:
            series[labels] = Histogram(metric.buckets)
        return series[labels]

    def _family(self, metric: Metric) -> Family:
        name, meaning = metric.name, metric.help
        if metric.kind is Kind.HISTOGRAM:
            distribution = HistogramMetricFamily(name, meaning, labels=metric.labels)
            for labels, histogram in sorted(self._histograms[name].items()):
                distribution.add_metric(labels, *histogram.cumulative())
            return distribution
        made = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
        family = made(name, meaning, labels=metric.labels)
        # One step for the interpreter, so a thread that adds without the lock does no harm.
        for labels, value in sorted(self._numbers[name].items()):
            family.add_metric(labels, value)
        return family
