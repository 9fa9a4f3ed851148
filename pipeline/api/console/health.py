"""The page of figures and charts about the pipeline.

Owns: which figures and charts are shown, and the words beside them.
Does not own: samples (sampling.py), shapes (charts.py), alerts (deploy/prometheus).
Invariant: every figure names the time that it covers; an unknown figure is shown as unknown.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final, Literal

import msgspec
from markupsafe import Markup

from pipeline.api.console.charts import bar, columns, line
from pipeline.api.console.dependencies import ConsoleDependencies
from pipeline.api.console.history import Tone
from pipeline.api.console.sampling import (
    EVERY_S,
    Reading,
    WorkerSeen,
    buckets,
    grown,
    quantile,
    total,
)
from pipeline.observability import api_metrics as m
from pipeline.observability import metrics as w
from pipeline.observability.api_prometheus import READ_RESULTS
from pipeline.observability.metrics import LATENCY_OBJECTIVE_S
from pipeline.ops.delivery.position import Delivery

TARGET_SHARE: Final = 0.999
"""Target share of the inputs that are readable within LATENCY_OBJECTIVE_S."""

ColumnTone = Tone | Literal["good2"]
_TONES: Final[Mapping[str, ColumnTone]] = {
    "accepted": "good", "applied": "good2", "overlap": "notice", "exact": "quiet", "twin": "quiet",
    "repeated": "quiet", "collision": "bad", "dead_letter": "bad",
}  # fmt: skip
_ORDER: Final[tuple[ColumnTone, ...]] = ("good", "good2", "quiet", "notice", "bad")


class Figure(msgspec.Struct, frozen=True):
    """One figure: its name, its value, the time that it covers, and its tone."""

    name: str
    value: str
    over: str
    tone: Tone = "quiet"


class Chart(msgspec.Struct, frozen=True):
    """A chart with its words; `ends` are the labels below its left and right end."""

    title: str
    said: str
    drawing: Markup
    ends: tuple[str, str]


class Lag(msgspec.Struct, frozen=True):
    """How far one partition of the store is behind."""

    partition: str
    records: int | None
    age_s: float
    drawing: Markup


class Worker(msgspec.Struct, frozen=True):
    """One worker, by its own metrics."""

    url: str
    trouble: str
    state: str
    events_per_s: float
    within_target: float | None
    p99_s: float | None
    partitions: int
    lag_records: int
    lag_s: float


class Health(msgspec.Struct, frozen=True):
    """Everything on the page; `deliveries` is None while nobody knows."""

    figures: Sequence[Figure]
    charts: Sequence[Chart]
    lags: Sequence[Lag]
    verdicts: Sequence[tuple[str, int, str]]
    workers: Sequence[Worker]
    deliveries: Sequence[Delivery] | None
    as_of_ms: int


def health_of(deps: ConsoleDependencies) -> Health:
    """Make the page as of now."""
    if not deps.sampler.samples:
        deps.sampler.sample()
    samples = list(deps.sampler.samples)
    first, last = samples[0], samples[-1]
    over_s = (len(samples) - 1) * EVERY_S
    minutes = deps.outcomes.latest_rows.minutes()
    verdicts: dict[str, int] = {}
    for _, counts in minutes:
        for verdict, count in counts.items():
            verdicts[verdict] = verdicts.get(verdict, 0) + count
    return Health(
        figures=_figures(first, last, over_s, verdicts),
        charts=[_inputs(minutes), _latency(last), _requests(samples), _ratio(samples)],
        lags=_lags(last),
        verdicts=[
            (verdict, count, _TONES.get(verdict, "quiet"))
            for verdict, count in sorted(verdicts.items(), key=lambda pair: -pair[1])
        ],
        workers=[_worker(one) for one in deps.sampler.workers],
        deliveries=deps.delivery.latest,
        as_of_ms=deps.now_ms(),
    )


def _figures(
    first: Reading, last: Reading, over_s: float, verdicts: Mapping[str, int]
) -> list[Figure]:
    latency = buckets(last, m.READABLE.name)
    share = _share_within(latency)
    hit = _hit_ratio({}, last)
    lag_s = max(last.get(m.TIME_LAG.name, {}).values(), default=float("inf"))
    inputs = sum(verdicts.values())
    requests = grown(first, last, m.REQUESTS.name) / over_s if over_s else 0.0
    since = "since the start"
    refused = verdicts.get("dead_letter", 0)
    return [
        Figure("Inputs", f"{inputs:,}", "appended in the last hour"),
        Figure(
            f"Readable within {LATENCY_OBJECTIVE_S:g} s",
            "no input yet" if share is None else f"{share:.2%}",
            f"{since}; target {TARGET_SHARE:.1%}",
            "quiet" if share is None else "good" if share >= TARGET_SHARE else "bad",
        ),
        Figure(
            "Behind the topic",
            "unknown" if lag_s == float("inf") else seconds(lag_s),
            "the furthest partition",
            "good" if lag_s < 10 else "bad",
        ),
        Figure(
            "Cache hits",
            "no read yet" if hit is None else f"{hit:.1%}",
            f"reads answered at once and fresh, {since}",
        ),
        Figure("Requests", f"{requests:.1f}/s", f"over {seconds(over_s)}"),
        Figure("Refused", f"{refused:,}", "of the last hour's", "bad" if refused else "good"),
        Figure("People", f"{total(last, m.USERS.name):,.0f}", "in the store"),
        Figure(
            "Streams",
            f"{total(last, m.STREAM_CLIENTS.name):,.0f}",
            "clients now",
        ),
    ]


def _inputs(minutes: Sequence[tuple[int, Mapping[str, int]]]) -> Chart:
    stacks = []
    for _, counts in minutes:
        by_tone: dict[ColumnTone, float] = dict.fromkeys(_ORDER, 0.0)
        for verdict, count in counts.items():
            by_tone[_TONES.get(verdict, "quiet")] += count
        stacks.append([by_tone[tone] for tone in _ORDER])
    highest = max((sum(stack) for stack in stacks), default=0)
    said = f"at most {highest:,.0f} a minute" if highest else "nothing was appended"
    drawing = columns(stacks, _ORDER, f"Inputs a minute by verdict: {said}")
    return Chart("Inputs a minute, by verdict", said, drawing, (_clock(minutes[0][0]), "now"))


def _latency(last: Reading) -> Chart:
    cumulative = buckets(last, m.READABLE.name)
    counts, before, bounds = [], 0.0, []
    for bound, count in cumulative:
        counts.append(
            [count - before, 0.0] if bound <= LATENCY_OBJECTIVE_S else [0.0, count - before]
        )
        bounds.append(bound)
        before = count
    within = sum(bound <= LATENCY_OBJECTIVE_S for bound in bounds)
    mark = within if before else None
    half, most = quantile(cumulative, 0.5), quantile(cumulative, 0.99)
    said = (
        "no input yet"
        if half is None or most is None
        else f"half within {seconds(half)}, 99 % within {seconds(most)}"
    )
    title = f"From append to readable; the line is the target, {LATENCY_OBJECTIVE_S:g} s"
    ends = (seconds(bounds[0]) if bounds else "", "longer")
    return Chart(title, said, columns(counts, ("good", "bad"), f"{title}: {said}", mark), ends)


def _requests(samples: Sequence[Reading]) -> Chart:
    rates: list[float | None] = [
        grown(before, after, m.REQUESTS.name) / EVERY_S for before, after in pairwise(samples)
    ]
    highest = max((rate for rate in rates if rate is not None), default=0.0)
    said = f"at most {highest:.1f} a second"
    title = "Requests a second"
    return Chart(title, said, line(rates, f"{title}: {said}"), (_back(samples), "now"))


def _ratio(samples: Sequence[Reading]) -> Chart:
    ratios = [_hit_ratio(before, after) for before, after in pairwise(samples)]
    known = [ratio for ratio in ratios if ratio is not None]
    said = f"at least {min(known):.1%}" if known else "no read in this time"
    title = "Cache hits: reads answered at once and fresh"
    return Chart(title, said, line(ratios, f"{title}: {said}", 1.0), (_back(samples), "now"))


def _hit_ratio(before: Reading, after: Reading) -> float | None:
    results = {r: grown(before, after, m.READS.name, result=r) for r in READ_RESULTS}
    reads = sum(results.values())
    return results["fresh"] / reads if reads else None


def _share_within(cumulative: Sequence[tuple[float, float]]) -> float | None:
    if not cumulative or not cumulative[-1][1]:
        return None
    within = next(count for bound, count in cumulative if bound == LATENCY_OBJECTIVE_S)
    return within / cumulative[-1][1]


def _lags(last: Reading) -> list[Lag]:
    ages = {dict(labels)["partition"]: age for labels, age in last.get(m.TIME_LAG.name, {}).items()}
    records = {
        dict(labels)["partition"]: int(lag)
        for labels, lag in last.get(m.OFFSET_LAG.name, {}).items()
    }
    found = []
    for partition in sorted(ages, key=int):
        age, lag = ages[partition], records.get(partition)
        said = f"partition {partition}: {seconds(age)} behind"
        drawing = bar(min(1.0, age / 10), "good" if age < 10 else "bad", said)
        found.append(Lag(partition, lag, age, drawing))
    return found


def _worker(one: WorkerSeen) -> Worker:
    now, before = one.reading, one.before
    latency = buckets(now, w.INGEST_TO_COMMIT.name)
    states = [dict(k)["state"] for k, v in now.get(w.WORKER_STATE.name, {}).items() if v]
    lags = now.get(w.TIME_LAG.name, {}).values()
    return Worker(
        url=one.url,
        trouble=one.trouble,
        state=states[0] if states else "unknown",
        events_per_s=grown(before, now, w.EVENTS.name) / EVERY_S if before else 0.0,
        within_target=_share_within(latency),
        p99_s=quantile(latency, 0.99),
        partitions=int(total(now, w.PARTITIONS_ASSIGNED.name)),
        lag_records=int(total(now, w.OFFSET_LAG.name)),
        lag_s=max(lags, default=0.0),
    )


def seconds(length_s: float) -> str:
    """Write a length of time, short."""
    if length_s == float("inf"):
        return "an unknown time"
    if length_s < 1:
        return f"{length_s * 1000:.0f} ms"
    if length_s < 120:
        return f"{length_s:.3g} s"
    return f"{length_s / 60:.0f} min"


def _clock(instant_ms: int) -> str:
    return f"{datetime.fromtimestamp(instant_ms / 1000, UTC):%H:%M} UTC"


def _back(samples: Sequence[Reading]) -> str:
    return f"{seconds(max(0, len(samples) - 1) * EVERY_S)} ago"
