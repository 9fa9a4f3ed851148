"""Tests of one machine share its permits, from whatever run they are."""

import fcntl
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.machine_semaphore import HELD, MachineSemaphore


@pytest.fixture(autouse=True)
def _outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(HELD)


def test_who_finds_no_permit_waits_until_one_is_released(tmp_path: Path) -> None:
    ours, other = MachineSemaphore(tmp_path, 1), MachineSemaphore(tmp_path, 1)
    began, ended = threading.Event(), threading.Event()

    def second() -> None:
        began.set()
        permit = other._wait()
        ended.set()
        permit.close()

    with ours.held():
        thread = threading.Thread(target=second)
        thread.start()
        assert began.wait(10)
        assert not ended.wait(0.3)
    assert ended.wait(10)
    thread.join()


def test_who_wants_to_be_alone_waits_for_every_permit(tmp_path: Path) -> None:
    ours, other = MachineSemaphore(tmp_path, 2), MachineSemaphore(tmp_path, 2)
    ended = threading.Event()

    def alone() -> None:
        other._wait_for_all()
        ended.set()

    thread = threading.Thread(target=alone)
    with ours.held():
        thread.start()
        assert not ended.wait(0.3)
    assert ended.wait(10)
    thread.join()
    with pytest.raises(BlockingIOError):
        fcntl.flock(ours._files[1], fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_there_are_as_many_as_there_are(tmp_path: Path) -> None:
    first, second = MachineSemaphore(tmp_path, 2), MachineSemaphore(tmp_path, 2)
    assert first._wait().name != second._wait().name


def test_a_test_within_a_test_uses_the_permit_of_the_outer_one(tmp_path: Path) -> None:
    ours = MachineSemaphore(tmp_path, 1)
    with ours.held(), MachineSemaphore(tmp_path, 1).held():
        pass


def test_a_killed_run_releases_its_permit(tmp_path: Path) -> None:
    script = (
        "import sys, time, pathlib; from tests.machine_semaphore import MachineSemaphore;"
        "held = MachineSemaphore(pathlib.Path(sys.argv[1]), 1)._wait(); print('held', flush=True);"
        "time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        other.kill()
    with MachineSemaphore(tmp_path, 1).held():
        pass
