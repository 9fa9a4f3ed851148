"""Watching the worker until it has caught up.

Owns: the progress of a run as anybody can see it: the committed audit, the group's lag; when a run
has stalled; the moments at which the worker is killed, if it is to be.
Does not own: how it is shown (live.py), the worker (worker_process.py).
"""

import time
from collections import Counter, deque
from collections.abc import Callable
from random import Random
from typing import Final

import msgspec

from pipeline.dev.demo.errors import DemoStalledError
from pipeline.dev.demo.outputs import Seen, where
from pipeline.dev.demo.plain_reader import PlainReader
from pipeline.dev.demo.stage import Stage
from pipeline.dev.demo.worker_process import WorkerProcess
from pipeline.kafka.committed_log import LOG_LEVEL
from pipeline.kafka.errors import UnreadableLogError
from pipeline.kafka.reader import Reader

STALL_S: Final = 120.0
"""Without any progress for so long, the run has stalled."""

KILL_DELAY_S_MAX: Final = 0.15
_TURN_S: Final = 0.1
_RATE_S: Final = 2.0
_REQUEST_TIMEOUT_S: Final = 2.0


class View(msgspec.Struct):
    """What is known by now.

    Attributes:
        total: inputs to come. done: inputs with a committed audit entry.
        verdicts: those entries, by verdict.
        lag: inputs that the group has not committed yet; None before the first answer.
        rate: inputs a second, lately.
        kills: how often the worker was killed with inputs left to do.
        seen: every audit record, as it came by.
        days: how many are simulated, 1 and up.
    """

    total: int
    done: int = 0
    verdicts: Counter[str] = msgspec.field(default_factory=Counter)
    portals: int = 0
    lag: int | None = None
    rate: float = 0.0
    kills: int = 0
    seen: Seen = msgspec.field(default_factory=dict)
    days: int = 30


class Killing(msgspec.Struct):
    """When to kill the worker: at these counts of audited inputs, ascending, soon after."""

    after: list[int]
    rng: Random

    @classmethod
    def planned(cls, kills: int, total: int, seed: int) -> "Killing":
        """Return `kills` random moments of a run of `total` inputs."""
        rng = Random(f"{seed}/kills")
        return cls(sorted(rng.randrange(total * 7 // 10 + 1) for _ in range(kills)), rng)


def watch(
    stage: Stage,
    worker: WorkerProcess,
    view: View,
    killing: Killing,
    show: Callable[[View], None],
) -> None:
    """Wait until every input is committed and audited.

    Args:
        worker: started.
        view: kept up to date; its total is the number of inputs.
        show: called a few times a second.

    Raises:
        DemoStalledError: nothing moves any more.
        WorkerEndedError: the worker ended by itself.
    """
    progress_at = time.monotonic()
    lately: deque[tuple[float, int]] = deque()
    servers = (stage.settings.bootstrap_servers, stage.settings.registry_url)
    with PlainReader(*servers, [stage.outputs["audit"]]) as reader, LagProbe(stage) as probe:
        while view.lag != 0 or view.done < view.total:
            before = (view.lag, view.done)
            _read(reader, view)
            view.lag = probe.lag(view.total)
            now = time.monotonic()
            lately.append((now, view.done))
            while now - lately[0][0] > _RATE_S:
                lately.popleft()
            span_s = now - lately[0][0]
            view.rate = (view.done - lately[0][1]) / span_s if span_s else 0.0
            show(view)
            worker.check()
            if (view.lag, view.done) != before:
                progress_at = now
            elif now - progress_at > STALL_S:
                raise DemoStalledError(
                    f"the worker stands still with {view.total - view.done} inputs to go",
                    why=worker.log_tail(),
                    fix="read the worker's log",
                    log_path=str(worker.log_path),
                )
            if killing.after and view.done >= killing.after[0] and view.done < view.total:
                _kill(worker, view, killing, probe)


def _read(reader: PlainReader, view: View) -> None:
    for message in reader.poll(_TURN_S):
        entry = reader.decode(message.value())
        view.done += 1
        view.verdicts[entry["verdict"]] += 1
        view.portals += len(entry["unlock_ids"])
        view.seen[where(message)] = (message.value() or b"", entry)


class LagProbe:
    """Asks how much of the inputs the worker's group has not committed yet; a context manager."""

    def __init__(self, stage: Stage) -> None:
        self._partitions = [
            (topic, partition)
            for topic in stage.inputs.values()
            for partition in range(stage.partitions)
        ]
        settings = {
            **stage.settings.kafka_client(),
            "log_level": LOG_LEVEL,
            # Without waiting for a transaction that is under way.
            "isolation.level": "read_uncommitted",
        }
        self._reader = Reader(settings, stage.settings.group_id, timeout_s=_REQUEST_TIMEOUT_S)

    def __enter__(self) -> "LagProbe":
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()

    def lag(self, total: int) -> int | None:
        """Return the lag behind `total` inputs; None when nobody answers for now."""
        try:
            committed = self._reader.committed(self._partitions)
        except UnreadableLogError:
            return None
        return total - sum(at or 0 for at in committed.values())


def _kill(worker: WorkerProcess, view: View, killing: Killing, probe: LagProbe) -> None:
    """Kill the worker at a random moment of its next few batches, and start it again.

    What is counted is not the signal but its effect: that there was something left to do.
    """
    killing.after.pop(0)
    time.sleep(killing.rng.uniform(0.0, KILL_DELAY_S_MAX))
    if worker.kill() and probe.lag(view.total):
        view.kills += 1
    worker.start()
