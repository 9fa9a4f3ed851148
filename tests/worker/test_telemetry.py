"""Telemetry: from engine steps to metrics, and lag as the broker tells it."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.kafka.reader import Partition
from pipeline.observability.metrics import BatchStats, WorkerState
from pipeline.observability.prometheus import WorkerMetrics
from pipeline.worker.lag import LagProbe, LagUnknownError, Offsets
from pipeline.worker.telemetry import Telemetry
from tests.worker.scraping import scraped

NOW_MS = 1_700_000_000_000


class Clock:
    """Milliseconds that a test moves."""

    def __init__(self) -> None:
        self.ms = NOW_MS

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics(clock: Clock) -> WorkerMetrics:
    return WorkerMetrics(clock)


@pytest.fixture
def telemetry(metrics: WorkerMetrics, clock: Clock, tmp_path: Path) -> Telemetry:
    return Telemetry(metrics, clock, tmp_path)


def batch(partition: int = 0, accepted: int = 1) -> BatchStats:
    stats = BatchStats("in", partition)
    stats.outcomes["completion", "accepted"] = accepted
    stats.append_times = [NOW_MS - 10 - i for i in range(accepted)]
    return stats


ACCEPTED = "awaway_events_total{action=completion,verdict=accepted}"


def test_a_batch_counts_only_when_it_is_committed(
    telemetry: Telemetry, metrics: WorkerMetrics
) -> None:
    telemetry.folded(batch(accepted=5))
    assert scraped(metrics)[ACCEPTED] == 0
    telemetry.committed(5, 0.01, 0.001)
    assert scraped(metrics)[ACCEPTED] == 5
    telemetry.committed(0, 0.01, 0.001)
    assert scraped(metrics)[ACCEPTED] == 5
    assert scraped(metrics)["awaway_transactions_total{outcome=committed}"] == 2


def test_what_was_not_committed_is_never_counted(
    telemetry: Telemetry, metrics: WorkerMetrics
) -> None:
    """However it ended: also where the brokers were away, and nobody was told how."""
    telemetry.at("begin")
    telemetry.folded(batch(accepted=5))
    telemetry.at("begin")
    telemetry.folded(batch(accepted=2))
    telemetry.committed(2, 0.01, 0.001)
    assert scraped(metrics)[ACCEPTED] == 2


def test_the_state_follows_the_partitions(telemetry: Telemetry, metrics: WorkerMetrics) -> None:
    def state() -> WorkerState:
        return metrics.state

    metrics.state_changed(WorkerState.CHECKING)
    telemetry.at("init_transactions")
    assert state() is WorkerState.JOINING
    telemetry.assigned([0, 1])
    assert state() is WorkerState.RESTORING
    telemetry.restoring(0, 10, 40)
    assert scraped(metrics)["awaway_restore_remaining_records{partition=0}"] == 30
    telemetry.ready(0, 40, 0.5)
    assert state() is WorkerState.RESTORING
    telemetry.refused(1, "changelog and offsets disagree")
    assert state() is WorkerState.RUNNING
    assert scraped(metrics)["awaway_partitions_refused{}"] == 1
    telemetry.ready(1, 0, 0.1)
    assert scraped(metrics)["awaway_partitions_refused{}"] == 0
    telemetry.restoring(1, 0, 5)
    assert state() is WorkerState.RESTORING
    telemetry.ready(1, 5, 0.1)
    telemetry.revoked([1], lost=True)
    assert state() is WorkerState.RUNNING
    assert telemetry.owned == {0}
    telemetry.stopping()
    telemetry.revoked([0], lost=False)
    assert state() is WorkerState.STOPPING


def test_a_worker_without_partitions_is_ready_to_take_some(
    telemetry: Telemetry, metrics: WorkerMetrics
) -> None:
    telemetry.assigned([])
    assert metrics.state is WorkerState.RUNNING


def test_a_step_in_any_other_state_does_not_bring_it_back(
    telemetry: Telemetry, metrics: WorkerMetrics
) -> None:
    telemetry.assigned([0])
    telemetry.ready(0, 0, 0.0)
    telemetry.at("init_transactions")
    assert metrics.state is WorkerState.RUNNING


def test_checks_are_told_as_metrics(telemetry: Telemetry, metrics: WorkerMetrics) -> None:
    telemetry.checked("assets", {"store": "x", "found": 1296})
    telemetry.checked("drawing", {"frames": 108, "seconds": 0.25})
    telemetry.checked("topics", {"topics": 10})
    telemetry.quarantined(0, "corrupt", "/somewhere")
    seen = scraped(metrics)
    assert seen["awaway_assets_checked{}"] == 1296
    assert seen["awaway_assets_generated_total{}"] == 108
    assert seen["awaway_asset_generation_seconds_total{}"] == 0.25
    assert seen["awaway_stores_set_aside_total{}"] == 1


def test_stores_are_measured_where_they_are(
    telemetry: Telemetry, metrics: WorkerMetrics, tmp_path: Path
) -> None:
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "000001.sst").write_bytes(b"x" * 1000)
    (tmp_path / "0" / "CURRENT").write_bytes(b"y" * 10)
    telemetry.assigned([0, 1])
    telemetry.measure_stores()
    seen = scraped(metrics)
    assert seen["awaway_state_bytes{partition=0}"] == 1010
    assert seen["awaway_state_bytes{partition=1}"] == 0


# Lag.


class Broker:
    """Offsets that a test sets."""

    def __init__(self) -> None:
        self.answer: dict[Partition, Offsets] | None = {}
        self.asked: list[Partition] = []

    def offsets(self, partitions: Sequence[Partition]) -> dict[Partition, Offsets]:
        self.asked = list(partitions)
        if self.answer is None:
            raise LagUnknownError("away")
        return {one: self.answer[one] for one in partitions}


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def probe(broker: Broker, telemetry: Telemetry, metrics: WorkerMetrics, clock: Clock) -> LagProbe:
    return LagProbe(broker, ["in"], telemetry, metrics, clock)


LAG = "awaway_offset_lag_records{partition=0,topic=in}"
AGE = "awaway_time_lag_seconds{partition=0,topic=in}"
PARTITION = ("in", 0)


def test_only_owned_partitions_are_asked_for(
    probe: LagProbe, broker: Broker, telemetry: Telemetry, metrics: WorkerMetrics
) -> None:
    probe.measure()
    assert broker.asked == []
    telemetry.assigned([0])
    broker.answer = {PARTITION: Offsets(committed=3, first=0, stable=10)}
    probe.measure()
    assert broker.asked == [PARTITION]
    assert scraped(metrics)[LAG] == 7


@pytest.mark.parametrize(
    ("offsets", "lag"),
    [
        (Offsets(committed=None, first=4, stable=10), 6),
        (Offsets(committed=0, first=0, stable=10), 10),
        (Offsets(committed=2, first=4, stable=10), 6),
        (Offsets(committed=12, first=4, stable=10), 0),
    ],
)
def test_offset_lag(
    probe: LagProbe,
    broker: Broker,
    telemetry: Telemetry,
    metrics: WorkerMetrics,
    offsets: Offsets,
    lag: int,
) -> None:
    telemetry.assigned([0])
    broker.answer = {PARTITION: offsets}
    probe.measure()
    assert scraped(metrics)[LAG] == lag


def test_time_lag_is_bounded_by_the_last_commit_and_the_last_idle_moment(
    probe: LagProbe, broker: Broker, telemetry: Telemetry, metrics: WorkerMetrics, clock: Clock
) -> None:
    telemetry.assigned([0])
    telemetry.folded(batch())
    telemetry.committed(1, 0.01, 0.001)
    broker.answer = {PARTITION: Offsets(committed=1, first=0, stable=2)}
    clock.ms = NOW_MS + 3_000
    probe.measure()
    assert scraped(metrics)[AGE] == pytest.approx(3.010)

    # Nothing waited an hour later, so what waits after that is younger than the last commit says.
    clock.ms = NOW_MS + 3_600_000
    broker.answer = {PARTITION: Offsets(committed=2, first=0, stable=2)}
    probe.measure()
    assert scraped(metrics)[AGE] == 0
    clock.ms += 5_000
    broker.answer = {PARTITION: Offsets(committed=2, first=0, stable=3)}
    probe.measure()
    assert scraped(metrics)[AGE] == 5.0


def test_no_lag_is_shown_while_the_broker_does_not_answer(
    probe: LagProbe, broker: Broker, telemetry: Telemetry, metrics: WorkerMetrics
) -> None:
    telemetry.assigned([0])
    broker.answer = {PARTITION: Offsets(committed=3, first=0, stable=10)}
    probe.measure()
    answers, broker.answer = broker.answer, None
    probe.measure()
    assert LAG not in scraped(metrics)
    assert not metrics.brokers_answer
    broker.answer = answers
    probe.measure()
    assert scraped(metrics)[LAG] == 7
    assert metrics.brokers_answer


def test_the_thread_ends_with_its_context(probe: LagProbe) -> None:
    with probe:
        assert probe._thread.is_alive()
    probe._thread.join(5)
    assert not probe._thread.is_alive()
