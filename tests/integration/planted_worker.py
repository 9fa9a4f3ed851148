"""A worker as `awaway worker` runs it, with what a test plants into it.

Usage: planted_worker.py PLAN, where PLAN is JSON:
    crash: {"step": name of an engine step, "nth": the how-maniest}: kill -9 itself there
    poison: a completion id at which the fold raises
    slow_s: seconds that each batch takes more
"""

import json
import logging
import os
import signal
import sys
import time
from typing import Any

from pipeline.app import Hooks, run_worker
from pipeline.config_load import load_settings
from pipeline.core.fold import Outcome, fold_completion
from pipeline.core.records import PracticeCompleted
from pipeline.engine.observer import EngineObserver
from pipeline.metrics import BatchStats


class Planted(EngineObserver):
    """Crashes the process at a step."""

    def __init__(self, plan: dict[str, Any]) -> None:
        crash = plan.get("crash", {})
        self._step, self._left = crash.get("step"), int(crash.get("nth", 1))

    def at(self, step: str) -> None:
        if step == self._step:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def ready(self, partition: int, records: int, restore_s: float) -> None:
        logging.info("partition %d ready", partition)

    def refused(self, partition: int, reason: str) -> None:
        logging.error("partition %d refused: %s", partition, reason)

    def aborted(self, records: int, abort_s: float, reason: str) -> None:
        logging.warning("aborted %d records: %s", records, reason)


def main() -> int:
    """Run the worker."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for noisy in ("httpx2", "faust", "mode", "pipeline.engine.faust_app", "pipeline.engine.tables"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    plan = json.loads(sys.argv[1])

    def fold(state: Any, seen: Any, completion: PracticeCompleted, *rest: Any) -> Outcome:
        if completion.completion_id == plan.get("poison"):
            raise ZeroDivisionError("planted")
        return fold_completion(state, seen, completion, *rest)

    def folded(stats: BatchStats) -> None:
        time.sleep(plan.get("slow_s", 0))

    hooks = Hooks(observer=Planted(plan), folded=folded, fold_completion=fold)
    return run_worker(load_settings(), hooks)


if __name__ == "__main__":
    sys.exit(main())
