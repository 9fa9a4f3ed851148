"""Delays as numbers and as a picture of characters.

Owns: percentiles and the text histogram.
Does not own: measuring the delays (latency.py).
Invariant: pure; a percentile is a delay that was measured, never an interpolation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

BOUNDS_MS: Final = (5, 10, 15, 20, 30, 40, 50, 75, 100, 150, 250, 500, 1_000)
BAR_CHARACTERS: Final = 48


@dataclass(frozen=True)
class Delays:
    """The distribution of one run, in milliseconds."""

    count: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


def summary(delays_ms: Sequence[float]) -> Delays:
    """Percentiles by nearest rank.

    Args:
        delays_ms: at least one, in any order.
    """
    ordered = sorted(delays_ms)

    def rank(share: float) -> float:
        return ordered[max(0, ceil(share * len(ordered)) - 1)]

    return Delays(len(ordered), rank(0.5), rank(0.9), rank(0.99), ordered[-1])


def histogram(delays_ms: Sequence[float]) -> list[str]:
    """One line for each bucket between the first and the last that hold anything, 80 columns.

    Args:
        delays_ms: at least one.
    """
    counts = [0] * (len(BOUNDS_MS) + 1)
    for delay_ms in delays_ms:
        bucket = sum(1 for bound in BOUNDS_MS if delay_ms > bound)
        counts[bucket] += 1
    held = [bucket for bucket, count in enumerate(counts) if count]
    most = max(counts)
    lines = []
    for bucket in range(held[0], held[-1] + 1):
        last = bucket == len(BOUNDS_MS)
        label = f"> {BOUNDS_MS[-1]:,} ms" if last else f"<= {BOUNDS_MS[bucket]:,} ms"
        count = counts[bucket]
        bar = "#" * ceil(BAR_CHARACTERS * count / most)
        share = 100 * count / len(delays_ms)
        lines.append(f"  {label:>10} {count:>9,} {share:5.1f}% {bar}".rstrip())
    return lines
