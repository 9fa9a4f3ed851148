"""The processes of a rebuild do not outlive it."""

import subprocess
import sys
import time

import psutil

from tests.chaos.test_chaos import is_alive
from tests.test_tidy import ROOT

BEGINS_ONE_AND_WAITS = """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from pipeline.rebuild.job import _end_with_parent

pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _end_with_parent)
print(pool.submit(os.getpid).result(), flush=True)
time.sleep(60)
"""


def test_a_process_ends_when_its_rebuild_is_killed() -> None:
    rebuild = subprocess.Popen(
        [sys.executable, "-c", BEGINS_ONE_AND_WAITS], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert rebuild.stdout is not None
    its = psutil.Process(int(rebuild.stdout.readline()))
    assert its.is_running()
    rebuild.kill()
    rebuild.wait(20)
    deadline = time.monotonic() + 30
    while is_alive(its):
        assert time.monotonic() < deadline
        time.sleep(0.05)
