"""The current values of the API's metrics, as Prometheus scrapes them.

Owns: the values of every metric in `pipeline.observability.api_metrics`.
Does not own: the definitions, who says what when.
Invariants: the number of series is bounded by routes and partitions; one lock guards what the
reader's thread and the event loop both write.
"""

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from pipeline.observability import api_metrics as m
from pipeline.observability.metrics import Kind, Metric
from pipeline.observability.prometheus import Histogram

READ_RESULTS = ("fresh", "waited", "stale", "missed")


class ApiMetrics(Collector):
    """Keeps the values; `registry` exposes them, with the process's own metrics.

    Attributes:
        before_scrape: called by each scrape, on its thread, to set gauges; add to it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, dict[tuple[str, ...], float]] = {d.name: {} for d in m.API_METRICS}
        self._histograms: dict[str, dict[tuple[str, ...], Histogram]] = {
            d.name: {} for d in m.API_METRICS if d.kind is Kind.HISTOGRAM
        }
        self._requests: dict[tuple[str, str, int], list[float]] = {}
        self._bounds = m.REQUEST_DURATION.buckets
        self.before_scrape: list[Callable[[], None]] = []
        for metric in m.API_METRICS:
            if metric.labels:
                continue
            if metric.kind is Kind.HISTOGRAM:
                self._histograms[metric.name][()] = Histogram(metric.buckets)
            else:
                self._values[metric.name][()] = 0.0
        for result in READ_RESULTS:
            self.add(m.READS, 0, result)
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def add(self, metric: Metric, amount: float, *labels: str) -> None:
        """Add to a counter, or to a gauge that counts up and down."""
        with self._lock:
            series = self._values[metric.name]
            series[labels] = series.get(labels, 0.0) + amount

    def put(self, metric: Metric, value: float, *labels: str) -> None:
        """Set a gauge."""
        with self._lock:
            self._values[metric.name][labels] = float(value)

    def drop(self, metric: Metric) -> None:
        """Forget every series of a gauge."""
        with self._lock:
            self._values[metric.name].clear()

    def value(self, metric: Metric, *labels: str) -> float:
        """The current value of a counter or gauge; 0 where there is none."""
        return self._values[metric.name].get(labels, 0.0)

    def observe(self, metric: Metric, value: float, *labels: str) -> None:
        """Add one value to a histogram."""
        with self._lock:
            self._histogram(metric, labels).observe(value)

    def readable(self, append_times_ms: list[int], now_ms: int) -> None:
        """Inputs appended then are readable now; ms since the epoch, any order."""
        append_times_ms.sort()
        with self._lock:
            self._histogram(m.READABLE, ()).observe_ages(append_times_ms, now_ms)

    def answered(self, route: str, method: str, status: int, seconds: float | None) -> None:
        """A request was answered. Called on the event loop's thread only, so it takes no lock.

        Args:
            route: the template. status: the class, 1 to 5.
            seconds: None for a stream.
        """
        place = (route, method, status)
        row = self._requests.get(place)
        if row is None:
            row = self._requests[place] = [0.0] * (len(self._bounds) + 3)
        row[0] += 1
        if seconds is not None:
            row[1] += seconds
            row[2 + bisect_left(self._bounds, seconds)] += 1

    def collect(self) -> Iterator[Family]:
        """Every metric of the list, in its order; called by a scrape, on its thread."""
        for prepare in self.before_scrape:
            prepare()
        with self._lock:
            families = [self._family(metric) for metric in m.API_METRICS]
        yield from families

    def _histogram(self, metric: Metric, labels: tuple[str, ...]) -> Histogram:
        series = self._histograms[metric.name]
        if labels not in series:
            series[labels] = Histogram(metric.buckets)
        return series[labels]

    def _family(self, metric: Metric) -> Family:
        if metric is m.REQUEST_DURATION:
            return self._durations()
        if metric.kind is Kind.HISTOGRAM:
            family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
            for labels, histogram in sorted(self._histograms[metric.name].items()):
                buckets, total = histogram.cumulative()
                family.add_metric(labels, buckets, total)
            return family
        counter = metric.kind is Kind.COUNTER
        made = CounterMetricFamily if counter else GaugeMetricFamily
        simple = made(metric.name, metric.help, labels=metric.labels)
        values = self._values[metric.name]
        if metric is m.REQUESTS:
            values = {
                (route, method, f"{status}xx"): row[0]
                for (route, method, status), row in list(self._requests.items())
            }
        for labels, value in sorted(values.items()):
            simple.add_metric(labels, value)
        return simple

    def _durations(self) -> Family:
        metric = m.REQUEST_DURATION
        by_route: dict[str, list[float]] = {}
        for (route, _, _), row in list(self._requests.items()):
            sums = by_route.setdefault(route, [0.0] * len(row))
            by_route[route] = [a + b for a, b in zip(sums, row, strict=True)]
        family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        labels = [repr(float(bound)) for bound in self._bounds] + ["+Inf"]
        for route, row in sorted(by_route.items()):
            count, buckets = 0.0, []
            for label, within in zip(labels, row[2:], strict=True):
                count += within
                buckets.append((label, count))
            family.add_metric([route], buckets, row[1])
        return family
