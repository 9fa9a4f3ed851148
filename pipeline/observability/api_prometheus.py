"""The values of the API's metrics.

Owns: which series are there before the first request, and what an answer counts.
Does not own: the definitions (api_metrics.py), keeping and exposing values (values.py), who says
what when.
Invariant: the number of series is bounded by routes and partitions.
"""

from typing import Final

from pipeline.observability import api_metrics as m
from pipeline.observability.values import MetricValues

READ_RESULTS: Final = ("fresh", "waited", "stale", "missed")
"""Values of `result`, the label of `awaway_api_reads_total`."""

_STATUSES: Final = ("0xx", "1xx", "2xx", "3xx", "4xx", "5xx")


class ApiMetrics(MetricValues):
    """The API's metrics."""

    def __init__(self) -> None:
        super().__init__(m.API_METRICS)
        self._requests = self._numbers[m.REQUESTS.name]
        self._durations = self._histograms[m.REQUEST_DURATION.name]
        for result in READ_RESULTS:
            self.add(m.READS, 0, result)
        for kind in ("missing", "unlike", "surplus"):
            self.add(m.SCRUB_DIFFERENCES, 0, kind)

    def readable(self, append_times_ms: list[int], now_ms: int) -> None:
        """Inputs appended then are readable now; ms since the epoch, any order."""
        self.observe_ages(m.READABLE, append_times_ms, now_ms)

    def answered(self, route: str, method: str, status: int, seconds: float | None) -> None:
        """A request was answered. Called on the event loop's thread only, so it takes no lock.

        Args:
            route: the template. status: the class, 1 to 5; 0 where no answer began.
            seconds: None for a stream.
        """
        requests, durations = self._requests, self._durations
        labels = (route, method, _STATUSES[status])
        requests[labels] = requests.get(labels, 0.0) + 1.0
        duration = durations.get((route,))
        if duration is None:
            duration = self._histogram(m.REQUEST_DURATION, route)
        if seconds is not None:
            duration.observe(seconds)
