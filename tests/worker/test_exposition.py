"""What Prometheus scrapes, byte by byte: dashboards and alerts of operators rest on it.

`worker.prom` and `api.prom` are compared with what a scripted life of each process exposes. Write
them anew with `python -m tests.worker.test_exposition` when a metric is added, and read the diff.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.exposition import generate_latest

from pipeline.observability import api_metrics as m
from pipeline.observability.api_prometheus import ApiMetrics
from pipeline.observability.metrics import BatchStats, WorkerState
from pipeline.observability.prometheus import REASONS_MAX, WorkerMetrics

GOLDEN = Path(__file__).parent / "exposition"
NOW_MS = 1_700_000_000_000


def worker() -> str:
    """Every metric of a worker, most with a value of their own."""
    mono_s = [100.0]
    metrics = WorkerMetrics(lambda: NOW_MS, lambda: mono_s[0])
    metrics.describe_build(
        version="1", generation="blue", slot="0", policy_version="2026", generator_version="3"
    )
    metrics.expect_portals(["first-light", "hearth"])
    metrics.state_changed(WorkerState.RUNNING)
    stats = BatchStats("in", 3)
    stats.outcomes.update({("completion", "accepted"): 4, ("completion", "exact"): 2})
    stats.outcomes.update({("completion", "overlap"): 1, ("credit", "applied"): 1})
    stats.unlocks["first-light"] = 3
    stats.keys_granted = 5
    stats.dead_letters.update({("decode", f"reason_{i:02}"): 1 for i in range(REASONS_MAX + 10)})
    stats.fields_ignored = 6
    stats.append_times = [NOW_MS - age for age in (1000, 1001, 5, 0, 70_000, -20)]
    stats.fold_s = 0.02
    metrics.batches_committed([stats, BatchStats("commands", 0)], NOW_MS)
    metrics.transaction_committed(10, 0.004, 0.0005)
    metrics.transaction_aborted(0.2)
    metrics.client_stalled()
    metrics.producer_renewed()
    metrics.assigned(3)
    metrics.lag_measured("in", 0, 3, NOW_MS - 1500)
    metrics.lag_measured("in", 1, 0, NOW_MS - 1500)
    metrics.lag_measured("in", 10, 9, None)
    metrics.lag_measured("commands", 2, 4, NOW_MS)
    for partition in (0, 1, 2, 10):
        metrics.state_measured(partition, 4096 * partition)
        metrics.restore_progressed(partition, 7, 3.5)
        metrics.scrub_progressed(partition, 8, 250)
        metrics.scrubbed(partition, partition)
    metrics.scrub_found("disk", 3)
    metrics.revoked([2], 2, lost=True)
    metrics.refused(1)
    metrics.restored(0, 120, 3.0)
    metrics.standby_measured(4, 12)
    metrics.standby_measured(5, 13)
    metrics.standbys_changed([5])
    metrics.store_quarantined()
    metrics.assets_checked(1296, 2)
    metrics.assets_generated(1296, 2.5)
    mono_s[0] += 12
    return generate_latest(metrics).decode()


def api() -> str:
    """Every metric of an API, most with a value of their own."""
    metrics = ApiMetrics()
    metrics.before_scrape.append(lambda: metrics.put(m.WAITING, 2))
    metrics.put(m.BUILD_INFO, 1, "1", "3")
    metrics.answered("/v1/users/{user_id}/keys", "GET", 2, 0.0005)
    metrics.answered("/v1/users/{user_id}/keys", "GET", 2, 0.3)
    metrics.answered("/v1/users/{user_id}/keys", "GET", 4, 99.0)
    metrics.answered("/v1/completions", "POST", 2, 0.02)
    metrics.answered("/v1/live", "GET", 2, None)
    metrics.put(m.IN_FLIGHT, 3)
    metrics.add(m.READS, 7, "fresh")
    metrics.put(m.READS, 9, "stale")
    metrics.put(m.ANSWERS, 4, "reused")
    metrics.readable([NOW_MS - 1_001, NOW_MS + 5, NOW_MS - 1], NOW_MS)
    metrics.add(m.RECORDS, 5, "applied")
    metrics.put(m.OFFSET_LAG, 5, "7")
    metrics.drop(m.OFFSET_LAG)
    metrics.put(m.OFFSET_LAG, 6, "0")
    metrics.put(m.TIME_LAG, float("inf"), "0")
    metrics.put(m.USERS, 1_000_000)
    metrics.put(m.STORE_BYTES, 1 << 33)
    metrics.put(m.LOAD_DURATION, 1.25)
    metrics.add(m.STORES_SET_ASIDE, 1)
    metrics.put(m.STREAM_CLIENTS, 4)
    metrics.put(m.OUTCOMES_LAG, 0.5)
    metrics.put(m.IN_FLIGHT_COMPLETIONS, 6)
    for outcome in ("refused", "acknowledged"):
        metrics.put(m.COMPLETIONS, 11, outcome)
    metrics.add(m.PICTURES, 1, "drawn")
    metrics.add(m.PICTURES, 1, "drawn")
    metrics.put(m.DELIVERY_OFFSET_LAG, 3, "rewards", "t.portals", "0")
    metrics.put(m.DELIVERY_TIME_LAG, 61.5, "rewards", "t.portals", "0")
    metrics.put(m.DELIVERY_BOUND, 60, "rewards", "t.portals")
    metrics.put(m.SCRUB_LEFT, 7)
    metrics.put(m.SCRUB_DIFFERING, 2)
    metrics.add(m.SCRUB_DIFFERENCES, 2, "unlike")
    metrics.put(m.SCRUB_PASSED, NOW_MS / 1000)
    return generate_latest(metrics).decode()


SCRIPTS: dict[str, Callable[[], str]] = {"worker.prom": worker, "api.prom": api}


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_exposition_is_what_it_was(name: str) -> None:
    assert SCRIPTS[name]() == (GOLDEN / name).read_text(encoding="utf-8")


if __name__ == "__main__":
    for name, script in SCRIPTS.items():
        (GOLDEN / name).write_text(script(), encoding="utf-8")
