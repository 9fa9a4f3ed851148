"""Definitions of what a run of `awaway scrub` leaves for node_exporter's textfile collector.

Owns: each of these metrics; the text of a file with their values.
Does not own: the values, the file (rebuild/scrub.py), alerts (deploy/).
Invariant: a file has all of them, each with a value of the same run.
"""

from collections.abc import Mapping
from typing import Final

from pipeline.observability.metrics import Kind, Metric

USERS_CHECKED: Final = Metric(
    "awaway_scrub_users_checked",
    Kind.GAUGE,
    "Users whom the last scrub compared with the log.",
)
USERS_DIFFERING: Final = Metric(
    "awaway_scrub_users_differing",
    Kind.GAUGE,
    "Users of whom it found that state or progress is not what the log says.",
)
LAST_RUN: Final = Metric(
    "awaway_scrub_last_run_timestamp_seconds",
    Kind.GAUGE,
    "When the last scrub came to its end, seconds since 1970.",
)
SCRUB_METRICS: Final = (USERS_CHECKED, USERS_DIFFERING, LAST_RUN)


def textfile(values: Mapping[Metric, float]) -> str:
    """The metrics in Prometheus's text format.

    Args:
        values: one for each of `SCRUB_METRICS`.
    """
    lines = []
    for metric in SCRUB_METRICS:
        lines += [
            f"# HELP {metric.name} {metric.help}",
            f"# TYPE {metric.name} {metric.kind.value}",
            f"{metric.name} {values[metric]:.17g}",
        ]
    return "\n".join(lines) + "\n"
