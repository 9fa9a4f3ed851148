"""Metrics of the last minutes, of this process and of workers.

Owns: the samples in memory, scraping the workers, rates and ratios between samples.
Does not own: the metrics (api_prometheus.py, metrics.py), how they are drawn (health.py,
charts.py).
Invariants: memory is bounded; a worker that does not answer is shown as such, and delays nothing.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

import httpx2
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.parser import text_string_to_metric_families

from pipeline.observability.api_prometheus import ApiMetrics

EVERY_S: Final = 5.0
"""Seconds between two samples."""

SAMPLES_MAX: Final = 180
"""Max samples in memory."""

_ANSWER_S_MAX: Final = 2.0
"""Max seconds that a worker may take to answer."""

_BYTES_MAX: Final = 4 << 20
"""Max bytes of a worker's answer."""


Labels = tuple[tuple[str, str], ...]
Reading = Mapping[str, Mapping[Labels, float]]
"""Values by sample name and labels."""


class WorkerSeen:
    """A worker's latest answer.

    Attributes:
        reading: empty while the worker does not answer; then `trouble` says why.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.reading: Reading = {}
        self.before: Reading = {}
        self.trouble = "not asked yet"


class Sampler:
    """A service: samples this process, and workers, every `EVERY_S`.

    Args:
        worker_urls: addresses of the workers' /metrics; may be empty.
    """

    def __init__(self, metrics: ApiMetrics, worker_urls: Sequence[str]) -> None:
        self._metrics = metrics
        self.samples: deque[Reading] = deque(maxlen=SAMPLES_MAX)
        self.workers = [WorkerSeen(url) for url in worker_urls]
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to sample."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def sample(self) -> None:
        """Take one sample of this process."""
        self.samples.append(reading_of(self._metrics.collect()))

    async def _run(self) -> None:
        async with httpx2.AsyncClient(timeout=_ANSWER_S_MAX) as client:
            while True:
                self.sample()
                await asyncio.gather(*(_ask(client, worker) for worker in self.workers))
                await asyncio.sleep(EVERY_S)


async def _ask(client: httpx2.AsyncClient, worker: WorkerSeen) -> None:
    try:
        answer = await client.get(worker.url, headers={"Accept": "text/plain"})
        answer.raise_for_status()
        if len(answer.content) > _BYTES_MAX:
            raise ValueError("its answer is too long")
        reading = reading_of(text_string_to_metric_families(answer.text))
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        worker.trouble = str(error) or type(error).__name__
        worker.reading = worker.before = {}
        return
    worker.before, worker.reading, worker.trouble = worker.reading, reading, ""


def reading_of(families: Iterable[Family]) -> Reading:
    """Return our metrics by sample name and labels."""
    found: dict[str, dict[Labels, float]] = {}
    for family in families:
        if not family.name.startswith("awaway_"):
            continue
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def total(reading: Reading, name: str, **labels: str) -> float:
    """Return the sum of the series that have these labels; 0 without any."""
    wanted = set(labels.items())
    series = reading.get(name, {})
    return sum(value for given, value in series.items() if wanted.issubset(given))


def grown(before: Reading, after: Reading, name: str, **labels: str) -> float:
    """Return by how much a counter grew; a counter that was reset grew from 0."""
    now = total(after, name, **labels)
    was = total(before, name, **labels)
    return now - was if now >= was else now


def buckets(reading: Reading, name: str) -> list[tuple[float, float]]:
    """Return a histogram's upper bounds and cumulative counts, ascending; infinity is last."""
    sums: dict[float, float] = {}
    for labels, value in reading.get(f"{name}_bucket", {}).items():
        bound = float(dict(labels)["le"])
        sums[bound] = sums.get(bound, 0.0) + value
    return sorted(sums.items())


def quantile(cumulative: Sequence[tuple[float, float]], share: float) -> float | None:
    """Return the bound below which a share of the values is; None without values."""
    if not cumulative or not cumulative[-1][1]:
        return None
    wanted = share * cumulative[-1][1]
    return next(bound for bound, count in cumulative if count >= wanted)
