"""Metrics: names by convention, a batch counted as if event by event, series bounded."""

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client import Histogram as PrometheusHistogram
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from pipeline.observability.metrics import (
    INGEST_TO_COMMIT,
    LATENCY_OBJECTIVE_S,
    METRICS,
    BatchStats,
    Kind,
    Metric,
    WorkerState,
)
from pipeline.observability.prometheus import OTHER, REASONS_MAX, WorkerMetrics
from pipeline.observability.values import Histogram
from tests.worker.scraping import scraped

NOW_MS = 1_700_000_000_000


class Ticking:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS
        self.mono_s = 100.0


@pytest.fixture
def clock() -> Ticking:
    return Ticking()


@pytest.fixture
def metrics(clock: Ticking) -> WorkerMetrics:
    return WorkerMetrics(lambda: clock.now_ms, lambda: clock.mono_s)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_follow_the_conventions(metric: Metric) -> None:
    assert re.fullmatch(r"awaway_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM)
    assert list(metric.buckets) == sorted(set(metric.buckets))
    assert not {"user", "user_id", "offset", "id"} & set(metric.labels)
    assert not re.search(r"_(ms|milliseconds|kb|mb|percent)(_|$)", metric.name)


def test_names_are_unique_and_the_objective_is_a_bucket() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    assert LATENCY_OBJECTIVE_S in INGEST_TO_COMMIT.buckets


def test_both_formats_are_valid_and_hold_every_metric(metrics: WorkerMetrics) -> None:
    metrics.describe_build(
        version="1", generation="blue", slot="0", policy_version="1", generator_version="1"
    )
    metrics.batches_committed([busy_batch()], NOW_MS)
    metrics.lag_measured("in", 0, 3, NOW_MS - 1500)
    metrics.state_measured(0, 4096)
    metrics.restore_progressed(0, 7, 3.5)
    text = generate_latest(metrics.registry).decode()
    for metric in METRICS:
        assert f"# TYPE {metric.name} {metric.kind.value}" in text, metric.name
    openmetrics = generate_openmetrics(metrics.registry)  # type: ignore[no-untyped-call]
    assert openmetrics.decode().endswith("# EOF\n")
    assert 'awaway_ingest_to_commit_seconds_bucket{le="1.0"}' in text
    assert "process_resident_memory_bytes" in text


def busy_batch() -> BatchStats:
    stats = BatchStats("in", 0)
    stats.outcomes.update(
        {("completion", "accepted"): 4, ("completion", "exact"): 2, ("credit", "applied"): 1}
    )
    stats.outcomes["completion", "overlap"] += 1
    stats.unlocks["first-light"] += 3
    stats.keys_granted = 5
    stats.dead_letters["decode", "not_avro"] += 2
    stats.append_times = [NOW_MS - age for age in (1000, 1001, 5, 0, 70_000)]
    stats.fold_s = 0.02
    return stats


def test_a_batch_is_counted_once_it_is_committed(metrics: WorkerMetrics) -> None:
    metrics.batches_committed([busy_batch(), busy_batch()], NOW_MS)
    metrics.transaction_committed(10, 0.004, 0.0005)
    seen = scraped(metrics)
    assert seen["awaway_events_total{action=completion,verdict=accepted}"] == 8
    assert seen["awaway_events_total{action=credit,verdict=applied}"] == 2
    assert seen["awaway_dedupe_verdicts_total{verdict=exact}"] == 4
    assert seen["awaway_dedupe_verdicts_total{verdict=overlap}"] == 2
    assert seen["awaway_dedupe_verdicts_total{verdict=twin}"] == 0
    assert seen["awaway_portal_unlocks_total{portal=first-light}"] == 6
    assert seen["awaway_field_keys_granted_total{}"] == 10
    assert seen["awaway_dead_letters_total{reason=not_avro,stage=decode}"] == 4
    assert seen["awaway_ingest_to_commit_seconds_bucket{le=0.005}"] == 4
    assert seen["awaway_ingest_to_commit_seconds_bucket{le=1.0}"] == 6
    assert seen["awaway_ingest_to_commit_seconds_count{}"] == 10
    assert seen["awaway_ingest_to_commit_seconds_sum{}"] == pytest.approx(2 * 72.006)
    assert seen["awaway_transactions_total{outcome=committed}"] == 1
    assert seen["awaway_batch_records_bucket{le=10.0}"] == 1
    assert seen["awaway_commit_duration_seconds_bucket{le=0.005}"] == 1
    assert seen["awaway_apply_duration_seconds_bucket{le=0.001}"] == 1


@given(
    ages_ms=st.lists(
        st.one_of(
            st.integers(-5_000, 4_000_000),
            st.sampled_from([round(bound * 1000) for bound in INGEST_TO_COMMIT.buckets]),
        ),
        max_size=50,
    )
)
def test_a_whole_batch_gives_the_buckets_that_single_observations_give(ages_ms: list[int]) -> None:
    ours = Histogram(INGEST_TO_COMMIT.buckets)
    ours.observe_ages(sorted(NOW_MS - age for age in ages_ms), NOW_MS)
    registry = CollectorRegistry()
    theirs = PrometheusHistogram("h", "h", buckets=INGEST_TO_COMMIT.buckets, registry=registry)
    single = Histogram(INGEST_TO_COMMIT.buckets)
    for age in ages_ms:
        theirs.observe(max(0, age) / 1000)
        single.observe(max(0, age) / 1000)
    buckets, total = ours.cumulative()
    for label, count in buckets:
        assert registry.get_sample_value("h_bucket", {"le": label}) == count
    assert registry.get_sample_value("h_sum") == pytest.approx(total)
    assert single.cumulative()[0] == buckets


def test_series_exist_before_the_first_event(metrics: WorkerMetrics) -> None:
    metrics.expect_portals(["first-light"])
    seen = scraped(metrics)
    assert seen["awaway_events_total{action=completion,verdict=accepted}"] == 0
    assert seen["awaway_portal_unlocks_total{portal=first-light}"] == 0
    assert seen["awaway_transactions_total{outcome=aborted}"] == 0
    assert seen["awaway_partitions_refused{}"] == 0


def test_reasons_are_bounded(metrics: WorkerMetrics) -> None:
    stats = BatchStats("in", 0)
    stats.dead_letters = Counter({("decode", f"reason_{i}"): 1 for i in range(REASONS_MAX + 10)})
    metrics.batches_committed([stats], NOW_MS)
    series = [name for name in scraped(metrics) if name.startswith("awaway_dead_letters_total")]
    assert len(series) == REASONS_MAX + 1
    assert scraped(metrics)[f"awaway_dead_letters_total{{reason={OTHER},stage=decode}}"] == 10


def test_time_lag_grows_between_measurements_and_is_zero_without_offset_lag(
    metrics: WorkerMetrics, clock: Ticking
) -> None:
    metrics.lag_measured("in", 0, 3, NOW_MS - 1500)
    metrics.lag_measured("in", 1, 0, NOW_MS - 1500)
    metrics.lag_measured("in", 2, 9, None)
    clock.now_ms += 500
    seen = scraped(metrics)
    assert seen["awaway_offset_lag_records{partition=0,topic=in}"] == 3
    assert seen["awaway_time_lag_seconds{partition=0,topic=in}"] == 2.0
    assert seen["awaway_time_lag_seconds{partition=1,topic=in}"] == 0.0
    assert seen["awaway_time_lag_seconds{partition=2,topic=in}"] == 0.0
    metrics.lag_unknown()
    assert not [name for name in scraped(metrics) if "_lag_" in name]


def test_what_was_given_away_is_no_longer_shown(metrics: WorkerMetrics) -> None:
    metrics.assigned(2)
    for partition in (0, 1):
        metrics.lag_measured("in", partition, 1, None)
        metrics.state_measured(partition, 10)
        metrics.restore_progressed(partition, 5, 1.0)
    metrics.refused(1)
    metrics.revoked([0], 1, lost=False)
    seen = scraped(metrics)
    assert "awaway_state_bytes{partition=0}" not in seen
    assert "awaway_offset_lag_records{partition=0,topic=in}" not in seen
    assert seen["awaway_state_bytes{partition=1}"] == 10
    assert seen["awaway_restore_remaining_records{partition=1}"] == 5
    assert seen["awaway_partitions_assigned{}"] == 1
    assert seen["awaway_rebalances_total{kind=revoked}"] == 1
    metrics.revoked([1], 0, lost=True)
    assert scraped(metrics)["awaway_rebalances_total{kind=lost}"] == 1


def test_one_state_at_a_time_and_the_age_of_the_last_step(
    metrics: WorkerMetrics, clock: Ticking
) -> None:
    metrics.state_changed(WorkerState.RESTORING)
    clock.mono_s += 12
    seen = scraped(metrics)
    assert [n for n, v in seen.items() if n.startswith("awaway_worker_state") and v == 1] == [
        "awaway_worker_state{state=restoring}"
    ]
    assert seen["awaway_engine_last_step_age_seconds{}"] == 12
    metrics.stepped()
    assert metrics.step_age_s() == 0


def test_the_rest_of_what_is_told(metrics: WorkerMetrics) -> None:
    metrics.restored(0, 120, 3.0)
    metrics.transaction_aborted(0.2)
    metrics.producer_renewed()
    metrics.store_quarantined()
    metrics.assets_checked(1296, 0)
    metrics.assets_generated(1296, 2.5)
    seen = scraped(metrics)
    assert seen["awaway_restore_records_total{}"] == 120
    assert seen["awaway_restore_remaining_records{partition=0}"] == 0
    assert seen["awaway_restore_duration_seconds_bucket{le=5.0}"] == 1
    assert seen["awaway_transactions_total{outcome=aborted}"] == 1
    assert seen["awaway_abort_duration_seconds_count{}"] == 1
    assert seen["awaway_producers_renewed_total{}"] == 1
    assert seen["awaway_stores_set_aside_total{}"] == 1
    assert seen["awaway_assets_checked{}"] == 1296
    assert seen["awaway_assets_missing{}"] == 0
    assert seen["awaway_assets_generated_total{}"] == 1296
    assert seen["awaway_asset_generation_seconds_total{}"] == 2.5
