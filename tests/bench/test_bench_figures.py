"""From what was observed to the figures that are printed."""

import json

import pytest

from bench.errors import WrongResultError
from bench.histogram import histogram, summary
from bench.latency import Latency
from bench.measure import Rate, Step, rate_of
from bench.outcome import Outcome, check_outcome
from bench.peer import Measured
from bench.profiler import top_functions
from bench.report import Row, delay_lines, json_line, table
from bench.truth import Truth, UserTruth


def test_rate_is_the_slope_between_warm_mark_and_last_step_before_the_end() -> None:
    steps = [
        Step(5.0, 500, 4.0),
        Step(6.0, 1_500, 5.0),
        Step(8.0, 3_500, 6.0),
        Step(10.0, 9_500, 7.0),
        Step(99.0, 10_000, 9.0),
    ]
    assert rate_of(steps, 10_000) == Rate(8_000 / 4.0, cpu_us=250.0, warm=True)


@pytest.mark.parametrize(
    "steps",
    [
        [Step(4.0, 10_000, 2.0)],
        [Step(2.0, 5_000), Step(4.0, 10_000, 2.0)],
        [Step(1.0, 5_000), Step(2.0, 5_100), Step(4.0, 10_000, 2.0)],
    ],
)
def test_rate_of_too_few_steps_includes_the_start(steps: list[Step]) -> None:
    assert rate_of(steps, 10_000) == Rate(2_500.0, cpu_us=200.0, warm=False)


def test_percentiles_are_measured_delays() -> None:
    delays = summary([float(delay) for delay in range(100, 0, -1)])
    assert (delays.count, delays.p50_ms, delays.p90_ms) == (100, 50.0, 90.0)
    assert (delays.p99_ms, delays.max_ms) == (99.0, 100.0)
    assert summary([7.0]).p99_ms == 7.0


def test_histogram_leaves_out_empty_ends() -> None:
    lines = histogram([6.0, 7.0, 12.0, 18.0, 18.5, 19.0, 5_000.0])
    assert lines[0].split()[:4] == ["<=", "10", "ms", "2"]
    assert lines[-1].split()[:4] == [">", "1,000", "ms", "1"]
    assert max(lines, key=lambda line: line.count("#")).split()[:4] == ["<=", "20", "ms", "3"]
    assert all(len(line) <= 80 for line in lines)


def test_table_and_json() -> None:
    rows = {
        "raw_loop": Row(Measured(Rate(30_000.0, 20.0, warm=True), 100 * 2**20, 20.0, 40), 400_000),
        "ours": Row(Measured(Rate(24_000.0, 40.0, warm=True), 300 * 2**20, 25.0, 40), 400_000),
        "faust_naive": Row(
            Measured(Rate(800.0, 1_000.0, warm=False), 200 * 2**20, 30.0, 3), 20_000
        ),
    }
    lines = table(rows)
    assert all(len(line) <= 80 for line in lines)
    ours = next(line for line in lines if line.startswith("this pipeline, exactly-once"))
    assert ours.split()[-5:] == ["24,000", "0.80", "40", "300", "400,000"]
    assert lines[-1].startswith("*")
    latency = Latency([10.0, 20.0, 30.0], 0.5)
    assert json.loads(json_line(rows, latency)) == {
        "ours": 24_000.0,
        "faust_naive": 800.0,
        "raw_loop": 30_000.0,
        "latency_ms": {"p50": 20.0, "p99": 30.0, "max": 30.0},
    }
    assert "latency_ms" not in json.loads(json_line(rows, None))
    assert all(len(line) <= 80 for line in delay_lines(latency, 1_000))


def truth() -> Truth:
    users = {"u1": UserTruth(6, 3, 3, 2), "u2": UserTruth(4, 1, 2, 1)}
    return Truth(events=12, accepted=10, duplicates=2, portals=3, by_user=users)


def test_right_outcome_passes() -> None:
    check_outcome("peer", Outcome(10, 10, 3, 0), truth())
    check_outcome("peer", Outcome(10, 4, 3, 0), truth(), collapsed=True)


@pytest.mark.parametrize(
    ("outcome", "complaint"),
    [
        (Outcome(11, 10, 3, 0), "accepted 11"),
        (Outcome(10, 9, 3, 0), "progress records 9"),
        (Outcome(10, 11, 3, 0), "progress records 11"),
        (Outcome(10, 10, 4, 0), "portals 4"),
        (Outcome(10, 10, 3, 1), "1 users"),
    ],
)
def test_wrong_outcome_is_refused(outcome: Outcome, complaint: str) -> None:
    with pytest.raises(WrongResultError, match=complaint):
        check_outcome("peer", outcome, truth())


def test_collapsed_needs_a_record_for_each_user() -> None:
    with pytest.raises(WrongResultError, match="progress records 1"):
        check_outcome("peer", Outcome(10, 1, 3, 0), truth(), collapsed=True)


def test_profile_counts_own_and_whole() -> None:
    lines = top_functions(["main (a.py:1);fold (b.py:2) 30", "main (a.py:9) 10"])
    assert lines[1].split() == ["75.0%", "75.0%", "fold", "(b.py"]
    assert lines[2].split() == ["25.0%", "100.0%", "main", "(a.py"]
