"""A worker as `awaway worker` runs it, with what is planted into it.

Usage: planted_worker.py PLAN, where PLAN is JSON:
    crash: {"step": where, "nth": the how-maniest}: kill -9 itself there; an engine's step, or
        fold (a batch is folded, nothing of it is flushed), or write (inside a local write)
    poison: a completion id at which the fold raises
    deadly: a completion id at which the process ends, as with a fault in a library's own code
    slow_s: seconds that each batch takes more
    slow_once: {"nth": the how-maniest batch, "s": seconds that it takes more}

Restores of a few hundred records keep them lazily already, as otherwise only large ones do, and
expand them slowly.

Owns: what is planted, and a log line for each thing that the engine tells.
Does not own: the worker.
Invariant: a crash is told in the log before it happens.
"""

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable
from functools import partial
from typing import Any, NoReturn

from pipeline.core.fold import Outcome, fold_completion
from pipeline.core.records import PracticeCompleted
from pipeline.engine.config import EngineConfig
from pipeline.engine.observer import EngineObserver
from pipeline.engine.state.rocks import RocksStore
from pipeline.errors import AwawayError
from pipeline.hard_exit import exit_hard
from pipeline.observability.metrics import BatchStats
from pipeline.settings.load import load_settings
from pipeline.worker import app
from pipeline.worker.app import Hooks, run_worker

CRASHING = "crashing at"
DURING_WRITE_S = 0.0002
BULK_RECORDS_MIN = 200
EXPANDED_MIN = 20
_write = RocksStore.write


class Planted(EngineObserver):
    """Tells what happens, and crashes the process at a step."""

    def __init__(self, plan: dict[str, Any]) -> None:
        crash = plan.get("crash", {})
        self._step, self._left = crash.get("step"), int(crash.get("nth", 1))

    def at(self, step: str) -> None:
        if self.is_now(step):
            _die(step)

    def is_now(self, step: str) -> bool:
        """Whether this is the step at which to crash, for the last time that it is let by."""
        if step == self._step:
            self._left -= 1
            return self._left == 0
        return False

    def assigned(self, partitions: list[int]) -> None:
        logging.info("partitions assigned: %s", partitions)

    def revoked(self, partitions: list[int], lost: bool) -> None:
        logging.info("partitions %s: %s", "lost" if lost else "revoked", partitions)

    def ready(self, partition: int, records: int, restore_s: float) -> None:
        logging.info("partition %d ready", partition)

    def refused(self, partition: int, reason: str) -> None:
        logging.error("partition %d refused: %s", partition, reason)

    def quarantined(self, partition: int, reason: str, path: str) -> None:
        logging.warning("local store quarantined: %d, %s", partition, reason)

    def aborted(self, records: int, abort_s: float, reason: str) -> None:
        logging.warning("transaction aborted, %d records: %s", records, reason)

    def producer_renewed(self, reason: str) -> None:
        logging.warning("producer recreated: %s", reason)

    def restores_wait(self, reason: str) -> None:
        logging.warning("the restores wait for the broker: %s", reason)

    def changelogs_lost(self, changelogs: list[str], is_back: bool) -> None:
        logging.error("changelogs %s: %s", "recreated" if is_back else "gone", changelogs)

    def stalled(self, reason: str) -> None:
        logging.warning("a client stalled: %s", reason)

    def rejoined(self, reason: str) -> None:
        logging.warning("consumer recreated: %s", reason)


def _die(step: str) -> None:
    os.write(sys.stderr.fileno(), f"{CRASHING} {step}\n".encode())
    os.kill(os.getpid(), signal.SIGKILL)


def _crash_inside_a_write(planted: Planted) -> None:
    """Let a thread kill the process while a batch is being written to the local store."""

    def write(store: RocksStore, entries: Iterable[tuple[bytes, bytes | None]]) -> None:
        if planted.is_now("write"):
            threading.Timer(DURING_WRITE_S, _die, ("write",)).start()
            content = list(entries)
            while True:  # the same content again and again, so that one of them is cut
                _write(store, content)
        _write(store, entries)

    RocksStore.write = write  # type: ignore[method-assign, assignment]


def _pack_often() -> None:
    """Have small restores keep records lazily, and much of what is done meet lazy records."""
    often = partial(EngineConfig, bulk_records_min=BULK_RECORDS_MIN, expanded_min=EXPANDED_MIN)
    vars(app)["EngineConfig"] = often


def main() -> NoReturn:
    """Run the worker."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for noisy in (
        "httpx2",
        "faust",
        "mode",
        "pipeline.engine.faust.app",
        "pipeline.engine.faust.tables",
    ):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    plan = json.loads(sys.argv[1])
    planted = Planted(plan)
    _crash_inside_a_write(planted)
    _pack_often()
    once = plan.get("slow_once", {"nth": 0, "s": 0})
    batches = 0

    def fold(state: Any, seen: Any, completion: PracticeCompleted, *rest: Any) -> Outcome:
        if completion.completion_id == plan.get("deadly"):
            os.kill(os.getpid(), signal.SIGKILL)
        if completion.completion_id == plan.get("poison"):
            raise ZeroDivisionError("planted")
        return fold_completion(state, seen, completion, *rest)

    def folded(stats: BatchStats) -> None:
        nonlocal batches
        batches += 1
        planted.at("fold")
        time.sleep(plan.get("slow_s", 0))
        if batches == once["nth"]:
            logging.info("a batch takes %s s more", once["s"])
            time.sleep(once["s"])

    hooks = Hooks(observer=planted, folded=folded, fold_completion=fold)
    try:
        exit_hard(run_worker(load_settings(), hooks))
    except AwawayError as error:
        logging.exception("failed: %s: %s", type(error).__name__, error)
        exit_hard(error.exit_code)


if __name__ == "__main__":
    main()
