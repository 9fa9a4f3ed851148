"""Tests of one machine share its places, from whatever run they are."""

import fcntl
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.places import HELD, Places


@pytest.fixture(autouse=True)
def _outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(HELD)


def test_who_finds_no_place_waits_until_one_is_given_back(tmp_path: Path) -> None:
    ours, other = Places(tmp_path, 1), Places(tmp_path, 1)
    began, ended = threading.Event(), threading.Event()

    def second() -> None:
        began.set()
        place = other._wait()
        ended.set()
        place.close()

    with ours.taken():
        thread = threading.Thread(target=second)
        thread.start()
        assert began.wait(10)
        assert not ended.wait(0.3)
    assert ended.wait(10)
    thread.join()


def test_who_wants_to_be_alone_waits_for_every_place(tmp_path: Path) -> None:
    ours, other = Places(tmp_path, 2), Places(tmp_path, 2)
    ended = threading.Event()

    def alone() -> None:
        other._wait_for_all()
        ended.set()

    thread = threading.Thread(target=alone)
    with ours.taken():
        thread.start()
        assert not ended.wait(0.3)
    assert ended.wait(10)
    thread.join()
    with pytest.raises(BlockingIOError):
        fcntl.flock(ours._files[1], fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_there_are_as_many_as_there_are(tmp_path: Path) -> None:
    first, second = Places(tmp_path, 2), Places(tmp_path, 2)
    assert first._wait().name != second._wait().name


def test_a_test_within_a_test_is_in_the_outer_ones_place(tmp_path: Path) -> None:
    ours = Places(tmp_path, 1)
    with ours.taken(), Places(tmp_path, 1).taken():
        pass


def test_a_killed_run_gives_its_place_back(tmp_path: Path) -> None:
    script = (
        "import sys, time, pathlib; from tests.places import Places;"
        "held = Places(pathlib.Path(sys.argv[1]), 1)._wait(); print('held', flush=True);"
        "time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        other.kill()
    with Places(tmp_path, 1).taken():
        pass
