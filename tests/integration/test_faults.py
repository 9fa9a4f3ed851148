"""One worker, killed and restarted in every way: the ledger stays exact.

Each test checks that its fault did fire: a worker that was to die at a step did die of SIGKILL, an
abort was logged.
"""

import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from chaos.ledger import DEADLINE_S
from pipeline.dev.local.stack import LocalStack
from tests.integration.exactness import check_exact, local_state
from tests.integration.ledger import READY, Ledger
from tests.integration.load import send_load

SMALL_BATCHES: dict[str, Any] = {"BATCH_RECORDS_MAX": "100"}


def crash(ledger: Ledger, step: str, nth: int, **settings: Any) -> None:
    """Run a worker until it kills itself before the nth step of that name."""
    worker = ledger.start_worker(plan={"crash": {"step": step, "nth": nth}}, **settings)
    assert worker.wait(DEADLINE_S) == -signal.SIGKILL, ledger.log()


@pytest.mark.parametrize(
    "step",
    [
        "apply",
        *(
            pytest.param(step, marks=pytest.mark.verify)
            for step in ("begin", "produce", "send_offsets", "commit")
        ),
    ],
)
def test_killed_at_a_step(ledger: Ledger, step: str) -> None:
    send_load(ledger, seed=1, events=500)
    crash(ledger, step, 3, **SMALL_BATCHES)
    crash(ledger, step, 2, **SMALL_BATCHES)
    with ledger.worker(plan={}) as worker:
        ledger.drain(worker)
    check_exact(ledger)


@pytest.mark.verify
def test_killed_while_restoring_again_and_again(ledger: Ledger, tmp_path: Path) -> None:
    send_load(ledger, seed=2, events=500)
    with ledger.worker(plan={}, **SMALL_BATCHES) as worker:
        ledger.drain(worker)
    send_load(ledger, seed=3, events=300)
    elsewhere: dict[str, Any] = {"DATA_DIR": str(tmp_path / "another disk")}
    for nth in (1, 2, 1):
        crash(ledger, "restore", nth, **elsewhere)
    with ledger.worker(plan={}, **elsewhere) as worker:
        ledger.drain(worker)
    check_exact(ledger)


@pytest.mark.verify
def test_disk_equals_changelog(ledger: Ledger, tmp_path: Path) -> None:
    send_load(ledger, seed=4, events=500)
    crash(ledger, "apply", 2, **SMALL_BATCHES)
    with ledger.worker(plan={}, **SMALL_BATCHES) as worker:
        ledger.drain(worker)
    restored = tmp_path / "restored"
    with ledger.worker(plan={}, DATA_DIR=str(restored)) as worker:
        ledger.drain(worker)
    original = local_state(tmp_path / "data", ledger)
    assert any(original)
    assert local_state(restored, ledger) == original


@pytest.mark.verify
def test_old_snapshot_of_the_disk_put_back(ledger: Ledger, tmp_path: Path) -> None:
    send_load(ledger, seed=5, events=300)
    with ledger.worker(plan={}) as worker:
        ledger.drain(worker)
    data, snapshot = tmp_path / "data", tmp_path / "snapshot"
    _copy(data, snapshot)
    send_load(ledger, seed=6, events=300)
    with ledger.worker(plan={}) as worker:
        ledger.drain(worker)
    send_load(ledger, seed=7, events=100)
    with ledger.worker(plan={}, DATA_DIR=str(snapshot)) as worker:
        ledger.drain(worker)
    check_exact(ledger)


def _copy(source: Path, target: Path) -> None:
    for path in source.rglob("*"):
        if path.is_file():
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())


# A broker that is killed and comes back alone may forget how a transaction ended (docs/adr/0017).
@pytest.mark.verify
@pytest.mark.parametrize("hard", [True, False])
def test_killed_then_the_broker_restarted_then_without_the_disk(
    own_stack: LocalStack, topic_prefix: str, tmp_path: Path, assets: Path, hard: bool
) -> None:
    """Clients that hang or go silent after a broker's restart are replaced; it goes on."""
    ledger = Ledger(own_stack, topic_prefix, tmp_path, assets)
    ledger.set_up()
    try:
        send_load(ledger, seed=8, events=1_500)
        worker = ledger.start_worker(plan={"slow_s": 0.05}, **SMALL_BATCHES)
        ledger.wait_for(lambda: bool(ledger.read("audit", decode=False)))
        ledger.kill_worker(worker)
        worker = ledger.start_worker(plan={"slow_s": 0.1}, **SMALL_BATCHES)
        ledger.wait_for(lambda: ledger.log().count(READY) > ledger.ready_before)
        assert ledger.lag() > 0
        if hard:
            own_stack.kill_kafka()
        else:
            own_stack.stop_kafka()
        own_stack.start_kafka()
        send_load(ledger, seed=9, events=100)
        ledger.drain(worker)
        assert ledger.stop_worker(worker) == 0, ledger.log()
        send_load(ledger, seed=10, events=100)
        with ledger.worker(plan={}, DATA_DIR=str(tmp_path / "another disk")) as worker:
            ledger.drain(worker)
        check_exact(ledger)
    finally:
        ledger.close()


@pytest.mark.verify
def test_killed_at_random_moments(ledger: Ledger) -> None:
    stop = threading.Event()

    def produce() -> None:
        seed = 100
        while not stop.is_set():
            send_load(ledger, seed=seed, events=100)
            seed += 1
            time.sleep(0.2)

    producer = threading.Thread(target=produce)
    producer.start()
    deaths = 0
    for pause_s in (2.5, 1.7, 3.1, 2.2):
        worker = ledger.start_worker(plan={}, **SMALL_BATCHES)
        time.sleep(pause_s)
        ledger.kill_worker(worker)
        deaths += worker.returncode == -signal.SIGKILL
    stop.set()
    producer.join()
    assert deaths == 4
    with ledger.worker(plan={}) as worker:
        ledger.drain(worker)
    check_exact(ledger)
