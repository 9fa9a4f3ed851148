"""`awaway worker` as an operator meets it: a process on a real broker and a real registry."""

import asyncio
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.dev.local.stack import LocalStack
from pipeline.errors import EXIT_FAILED
from pipeline.ops.assets.catalogue import open_store, publish
from tests.integration.ledger import ROOT, Ledger
from tests.worker.scraping import samples


@pytest.fixture
def ledger(stack: LocalStack, topic_prefix: str, tmp_path: Path) -> Iterator[Ledger]:
    assets = tmp_path / "assets"
    publish(open_store(str(assets), create=True))
    made = Ledger(stack, topic_prefix, tmp_path, assets)
    yield made
    made.close()


def lines(ledger: Ledger) -> list[dict[str, Any]]:
    """The worker's log; every line is JSON."""
    return [json.loads(line) for line in ledger.log().splitlines() if line.startswith("{")]


def address(ledger: Ledger) -> str:
    """Where the worker serves health, as its first line tells."""

    def has_logged() -> bool:
        return (ledger.folder / "worker-0.log").exists() and bool(lines(ledger))

    ledger.wait_for(has_logged)
    return str(lines(ledger)[0]["health"]).removesuffix("/readyz")


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def scrape(base: str) -> dict[str, float]:
    with urllib.request.urlopen(f"{base}/metrics", timeout=5) as answer:
        return samples(answer.read().decode())


def test_a_worker_from_its_checks_to_its_stop(ledger: Ledger) -> None:
    ledger.set_up()
    worker = ledger.start_worker()
    base = address(ledger)
    assert status(f"{base}/livez") == 200
    ledger.wait_for(lambda: status(f"{base}/readyz") == 200)
    assert status(f"{base}/startupz") == 200

    today = datetime.now(UTC)
    for day in range(3):
        ledger.complete("ada", f"c{day}", today - timedelta(days=day, hours=1))
    ledger.complete("ada", "c0", today - timedelta(hours=1))
    ledger.send("completions", b"ada", b"\xff")
    ledger.command("ada", "r1", "credit", local_date="2026-01-05", reason="ill", ticket="T-1")
    ledger.flush()
    ledger.drain(worker)

    events = "awaway_events_total{action=completion,verdict="
    ledger.wait_for(lambda: scrape(base)[f"{events}accepted}}"] == 3)
    seen = scrape(base)
    assert seen[f"{events}exact}}"] == 1
    assert seen[f"{events}dead_letter}}"] == 1
    assert seen["awaway_dedupe_verdicts_total{verdict=exact}"] == 1
    assert seen["awaway_events_total{action=credit,verdict=applied}"] == 1
    assert seen["awaway_portal_unlocks_total{portal=bindu}"] == 1
    assert seen["awaway_portal_unlocks_total{portal=vesica-piscis}"] == 1
    assert seen["awaway_ingest_to_commit_seconds_count{}"] == 6
    assert seen["awaway_partitions_assigned{}"] == ledger.partitions
    assert seen["awaway_assets_checked{}"] == 1296
    assert seen["awaway_worker_state{state=running}"] == 1
    lag = f"awaway_offset_lag_records{{partition=0,topic={ledger.topic('completions')}}}"
    ledger.wait_for(lambda: scrape(base).get(lag) == 0)
    assert scrape(base)["awaway_state_bytes{partition=0}"] > 0
    (build,) = [name for name in seen if name.startswith("awaway_build_info")]
    assert "generation=blue" in build
    assert "slot=0" in build

    assert ledger.stop_worker(worker) == 0
    logged = [line["event"] for line in lines(ledger)]
    assert logged[0] == "starting"
    for what in ("topics", "assets", "schemas", "drawing"):
        assert f"checked: {what}" in logged
    assert logged.index("stopping: the open transaction is committed first") < logged.index(
        "stopped"
    )
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{base}/livez", timeout=5)


def test_missing_topics_are_named_with_the_command_that_makes_them(ledger: Ledger) -> None:
    worker = ledger.start_worker()
    assert worker.wait(60) == 1
    (failed,) = [line for line in lines(ledger) if line["event"] == "failed"]
    assert failed["error"] == "IncompatibleTopicsError"
    assert ledger.topic("completions") in failed["reason"]
    assert failed["fix"] == "awaway topics apply"


def test_check_looks_and_leaves(ledger: Ledger) -> None:
    ledger.set_up()
    ran = run(["worker", "--check"], ledger.environment())
    assert ran.returncode == 0, ran.stderr
    assert "all is in order" in ran.stderr
    # It joined nothing, so the group knows no member and no offset.
    assert ledger.lag() == 0


def test_brokers_that_are_away_are_told_and_a_signal_still_stops_it(
    ledger: Ledger,
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{taken.getsockname()[1]}"
        worker = ledger.start_worker(BOOTSTRAP_SERVERS=nobody)
        base = address(ledger)
        assert status(f"{base}/livez") == 200
        assert status(f"{base}/readyz") == 503
        worker.send_signal(signal.SIGTERM)
        worker.wait(40)
    assert "Traceback" not in ledger.log()


@pytest.mark.verify
def test_brokers_that_stay_away_are_named_with_what_to_do(ledger: Ledger) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{taken.getsockname()[1]}"
        worker = ledger.start_worker(BOOTSTRAP_SERVERS=nobody, START_TIMEOUT_S="1")
        assert worker.wait(60) == 1
    (failed,) = [line for line in lines(ledger) if line["event"] == "failed"]
    assert f"the brokers at {nobody} did not answer" in failed["reason"]
    assert "AWAWAY_BOOTSTRAP_SERVERS" in failed["fix"]


@pytest.mark.verify
def test_a_registry_at_another_path_is_not_waited_for(ledger: Ledger, stack: LocalStack) -> None:
    ledger.set_up()
    elsewhere = stack.registry_url.removesuffix("/apis/ccompat/v7")
    worker = ledger.start_worker(REGISTRY_URL=elsewhere, START_TIMEOUT_S="600")
    assert worker.wait(60) == 1
    (failed,) = [line for line in lines(ledger) if line["event"] == "failed"]
    assert "HTTP 404" in failed["reason"]
    assert "/apis/ccompat/v7" in failed["fix"]


# Without servers.


def run(arguments: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cli.main", *arguments],
        cwd=ROOT,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("AWAWAY_")}


def test_the_settings_can_be_shown_without_their_secrets(environment: dict[str, str]) -> None:
    secret = "hunter2-and-more"
    given = environment | {
        "AWAWAY_KAFKA__SASL_PASSWORD": secret,
        "AWAWAY_REGISTRY_USER": "u",
        "AWAWAY_REGISTRY_PASSWORD": secret,
    }
    text = run(["worker", "--show-config", "--slot", "3"], given)
    assert (text.returncode, "slot: 3\n" in text.stdout) == (0, True)
    shown = run(["worker", "--show-config", "-o", "json"], given)
    settings = json.loads(shown.stdout)
    assert settings["kafka"] == {"sasl.password": "**********"}
    assert settings["registry_password"] == "**********"
    assert secret not in text.stdout + text.stderr + shown.stdout + shown.stderr


def test_a_wrong_setting_is_one_error_with_its_fix(environment: dict[str, str]) -> None:
    ran = run(["worker", "-o", "json"], environment | {"AWAWAY_SLOT": "first"})
    assert ran.returncode == 1
    error = json.loads(ran.stdout)
    assert error["error"] == "ConfigError"
    assert error["what"].startswith("AWAWAY_SLOT: ")
    assert "docs/CONFIGURATION.md" in error["fix"]


def test_a_policy_that_is_refused_is_told_with_the_file(
    environment: dict[str, str], tmp_path: Path
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("cycle_days: 0\n", encoding="utf-8")
    given = environment | {"AWAWAY_POLICY_FILE": str(policy), "AWAWAY_HTTP_PORT": "0"}
    ran = run(["worker", "-o", "json"], given)
    assert ran.returncode == 1
    error = json.loads(ran.stdout)
    assert error["what"] == "the policy was refused"
    assert str(policy) in error["fix"]


def test_a_port_that_is_taken_is_one_error(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = run(["worker", "--http-port", str(port), "-o", "json"], environment)
    assert ran.returncode == 1
    assert json.loads(ran.stdout)["error"] == "HealthServerError"


def test_help_teaches(environment: dict[str, str]) -> None:
    ran = run(["worker", "--help"], environment | {"NO_COLOR": "1", "COLUMNS": "100"})
    assert ran.returncode == 0
    for said in ("awaway topics apply", "CONFIGURATION.md", "/readyz", "SIGTERM", "Exit codes"):
        assert said in ran.stdout


def test_a_stop_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from pipeline import hard_exit  # noqa: PLC0415
    from pipeline.cli import worker  # noqa: PLC0415
    from pipeline.observability.prometheus import WorkerMetrics  # noqa: PLC0415
    from pipeline.settings.worker import Settings  # noqa: PLC0415
    from pipeline.worker.telemetry import Telemetry  # noqa: PLC0415

    left: queue.Queue[int] = queue.Queue()
    monkeypatch.setattr(hard_exit, "exit_hard", left.put)
    monkeypatch.setattr(worker, "_EXIT_EXTRA_S", 0.0)
    metrics = WorkerMetrics(lambda: 0)
    telemetry = Telemetry(metrics, lambda: 0, tmp_path)
    hooks = worker._hooks(Settings(stop_timeout_s=1), telemetry)
    assert left.empty()
    hooks.stopping()
    assert left.get(timeout=10) == EXIT_FAILED
    assert metrics.state.value == "stopping"


def test_a_start_that_hangs_is_ended_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.engine.faust.app import EngineApp  # noqa: PLC0415
    from pipeline.settings.worker import Settings  # noqa: PLC0415
    from pipeline.worker import app  # noqa: PLC0415

    class Hanging(Exception):
        pass

    calls: list[str] = []

    async def start(_: object) -> None:
        signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(0.1)
        calls.append("still starting")
        raise Hanging

    monkeypatch.setattr(EngineApp, "start", start)
    hooks = app.Hooks(stopping=lambda: calls.append("stopping"))
    with pytest.raises(Hanging):
        app.run_worker(Settings(), hooks)
    assert calls == ["stopping", "still starting"]
