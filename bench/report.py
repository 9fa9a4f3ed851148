"""What a run found, for people and for programs.

Owns: the table at 80 columns and the one JSON object.
Does not own: any number in them.
Invariant: the JSON object is one line, its keys are stable, and what was not run is absent from it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bench.histogram import Delays, histogram, summary
from bench.latency import Latency
from bench.peer import Measured

TITLES: Final = {
    "raw_loop": "bare confluent-kafka loop, transactions",
    "raw_loop_stdlib": "the same, JSON by the standard library",
    "ours": "this pipeline, exactly-once",
    "ours_collapsed": "this pipeline, collapsing",
    "ours_two_workers": "this pipeline, shared by two workers",
    "faust_naive": "naive Faust app, at least once",
}

JSON_ORDER: Final = (
    *("ours", "ours_collapsed", "ours_two_workers", "faust_naive", "raw_loop", "raw_loop_stdlib"),
)


@dataclass(frozen=True)
class Row:
    """One measured and checked peer. `events`: the size of its input."""

    measured: Measured
    events: int


def table(rows: Mapping[str, Row]) -> list[str]:
    """Lines of at most 80 columns.

    What, events/s, ratio to the bare loop, processor time an event, peak memory, size of the input.

    Args:
        rows: by peer's name; ratios need `raw_loop` among them.
    """
    raw = rows.get("raw_loop")
    lines = [
        f"{'':<39}{'events/s':>9}{'of bare':>8}{'CPU us':>8}{'MiB':>6}{'events':>8}",
        "-" * 78,
    ]
    for name, title in TITLES.items():
        row = rows.get(name)
        if row is None:
            continue
        rate = row.measured.rate
        ratio = f"{rate.events_per_s / raw.measured.rate.events_per_s:.2f}" if raw else "-"
        mebibytes = row.measured.peak_bytes / 2**20
        cold = "" if rate.warm else " *"
        lines.append(
            f"{title:<39}{rate.events_per_s:>9,.0f}{ratio:>8}{rate.cpu_us:>8,.0f}{mebibytes:>6,.0f}"
            f"{row.events:>8,}{cold}"
        )
    if any(not row.measured.rate.warm for row in rows.values()):
        lines.append("* too few commits for a warm rate: includes the start-up")
    return lines


def delay_lines(latency: Latency, events_per_s: int) -> list[str]:
    """The delays' numbers and histogram, at most 80 columns."""
    delays = summary(latency.delays_ms)
    return [
        f"send to read_committed sight of progress, {delays.count:,} at {events_per_s:,}/s:",
        f"  p50 {delays.p50_ms:.1f} ms   p90 {delays.p90_ms:.1f} ms   p99 {delays.p99_ms:.1f} ms"
        f"   max {delays.max_ms:.1f} ms",
        f"  the producer was off its schedule by {latency.pacing_ms_max:.1f} ms at most",
        *histogram(latency.delays_ms),
    ]


def json_line(rows: Mapping[str, Row], latency: Latency | None) -> str:
    """The last line: events per second by peer, delays in milliseconds."""
    found: dict[str, object] = {
        name: round(rows[name].measured.rate.events_per_s, 1) for name in JSON_ORDER if name in rows
    }
    if latency is not None:
        delays: Delays = summary(latency.delays_ms)
        found["latency_ms"] = {
            "p50": round(delays.p50_ms, 2),
            "p99": round(delays.p99_ms, 2),
            "max": round(delays.max_ms, 2),
        }
    return json.dumps(found)
