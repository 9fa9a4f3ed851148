"""The benchmark, small: two peers always, all of them under `make verify`."""

import json

import pytest

from bench.__main__ import main
from pipeline.dev.local.stack import LocalStack
from pipeline.errors import EXIT_OK, EXIT_USAGE

SMALL = ("--events", "5000", "--faust-events", "500")
SHORT = ("--latency-seconds", "2", "--latency-rate", "200")
PEERS = {
    *("ours", "ours_collapsed", "ours_two_workers"),
    *("faust_naive", "raw_loop", "raw_loop_stdlib"),
}


@pytest.mark.verify
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("only", "measured"),
    [
        (("--only", "ours,raw_loop"), {"ours", "raw_loop"}),
        ((), PEERS | {"latency_ms"}),
    ],
    ids=["ours beside the bare loop", "everything"],
)
def test_a_small_run(
    stack: LocalStack,
    capsys: pytest.CaptureFixture[str],
    only: tuple[str, ...],
    measured: set[str],
) -> None:
    servers = ("--bootstrap-servers", stack.bootstrap_servers, "--registry-url", stack.registry_url)
    code = main([*SMALL, *SHORT, *servers, *only])
    shown = capsys.readouterr()
    assert code == EXIT_OK, shown.err
    lines = shown.out.splitlines()
    assert all(len(line) <= 80 for line in lines[:-1])
    found = json.loads(lines[-1])
    assert set(found) == measured
    if "latency_ms" in measured:
        delays = found.pop("latency_ms")
        assert 0 < delays["p50"] <= delays["p99"] <= delays["max"]
    assert all(rate > 0 for rate in found.values())
    for name in found:
        assert f"{name}: " in shown.err
    assert shown.err.count("results right") == len(found)


def test_unknown_peer_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "raw,spark"]) == EXIT_USAGE
    assert "spark" in capsys.readouterr().err


def test_too_many_events_a_user_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--events", "1000", "--users", "2"]) == EXIT_USAGE
    assert "100 events a user" in capsys.readouterr().err


def test_kafka_without_registry_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--bootstrap-servers", "127.0.0.1:1"]) == EXIT_USAGE
    assert "--registry-url" in capsys.readouterr().err
