"""A worker: an engine, driven as the engine's thread drives it, in simulated time.

Owns: the loop, its back-off, the agent's faults, how a process ended.
Does not own: the engine, when a worker is started again (fleet.py).
Invariant: what happens here is what pipeline/engine/faust/thread.py does, without threads.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol

from pipeline.engine.batch import Batch
from pipeline.engine.config import EngineConfig
from pipeline.engine.errors import BatchPostponedError, BrokerError, EngineError
from pipeline.engine.machine import Engine
from pipeline.engine.observer import EngineObserver
from simulator.agent import INPUTS, OUTPUTS, TABLES, fold
from simulator.broker import Broker
from simulator.cluster import SimCluster
from simulator.disk import Folder, SimDisk
from simulator.process import Killed, Process

BACKOFF_S_MIN: Final = 0.2
BACKOFF_S_MAX: Final = 5.0
"""As in pipeline/engine/faust/thread.py."""

HALF_WAY: Final = frozenset({"agent fails", "agent forgets to say done", "batch postponed"})
"""Faults after which the agent has folded half of the batch."""

SLOW_S: Final = (5.5, 8.0)
"""Seconds of a slow agent: longer than a transaction may be open."""

SLOWER_S: Final = (21.0, 26.0)
"""Seconds of a slower agent: longer than the time between two polls may be."""


class Monitor(Protocol):
    """Receives what workers report."""

    def sample(self, worker: "Worker", partition: int) -> None: ...
    def refused(self, worker: "Worker", partition: int, reason: str) -> None: ...
    def ended(self, worker: "Worker") -> None: ...


class _Observer(EngineObserver):
    """Lets faults strike at the engine's steps, and reports to the monitor."""

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker

    def at(self, step: str) -> None:
        self._worker.process.at(step)

    def committed(self, records: int, commit_s: float, apply_s: float) -> None:
        worker = self._worker
        if worker.process.world.random.random() < 0.1:
            for number in worker.engine.partitions.open:
                worker.monitor.sample(worker, number)

    def ready(self, partition: int, records: int, restore_s: float) -> None:
        self._worker.process.world.tell(self._worker.process.name, f"{partition} is ready")
        self._worker.is_newly_ready.append(partition)

    def refused(self, partition: int, reason: str) -> None:
        self._worker.monitor.refused(self._worker, partition, reason)

    def quarantined(self, partition: int, reason: str, path: str) -> None:
        self._worker.process.world.tell(self._worker.process.name, f"quarantined: {reason}")

    def aborted(self, records: int, abort_s: float, reason: str) -> None:
        self._worker.process.world.tell(self._worker.process.name, f"aborted: {reason}")

    def producer_renewed(self, reason: str) -> None:
        self._worker.process.world.tell(self._worker.process.name, f"new producer: {reason}")


class Worker:
    """One process with one engine.

    Attributes:
        process: of the worker.
        folder: its data folder.
        engine: its engine.
        error: that ended it, if one did.
    """

    def __init__(self, process: Process, folder: Folder, broker: Broker, monitor: Monitor) -> None:
        self.process = process
        self.folder = folder
        self.broker = broker
        self.monitor = monitor
        self.error: BaseException | None = None
        self.is_newly_ready: list[int] = []
        self._is_stopping = False
        world = process.world
        config = EngineConfig(
            generation="blue",
            inputs=INPUTS,
            tables=TABLES,
            outputs=OUTPUTS,
            records_max=world.random.choice((2, 5, 20)),
            wait_s=0.5,
            clock=lambda: world.now,
            slot_id=process.slot,
            bulk_records_min=world.random.choice((3, 20_000)),
            expanded_min=world.random.choice((1, 500)),
            standbys=world.random.choice((0, 1, 2)),
        )
        cluster, disk = SimCluster(process, broker), SimDisk(process, folder)
        self.engine = Engine(config, cluster, disk, _Observer(self))

    def stop(self) -> None:
        """Ask it to end after the current transaction."""
        self._is_stopping = True

    def run(self) -> None:
        """The task of the process."""
        try:
            self._retrying(self.engine.start)
            while not self._is_stopping:
                self._retrying(self._step)
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 — judged at the end, whatever it was
            self.error = error
            self.process.world.tell(self.process.name, f"ended by {error!r}")
        finally:
            self._close()
        self.monitor.ended(self)

    def _close(self) -> None:
        if not self.process.is_dead:
            with suppress(Killed, BrokerError):
                self.engine.close()
            self.process.world.tell(self.process.name, "ended")
        if not self.process.is_dead:
            self.process.end()

    def _step(self) -> None:
        poll = self.engine.poll()
        while self.is_newly_ready:
            number = self.is_newly_ready.pop()
            if number in self.engine.partitions.open:
                self.monitor.sample(self, number)
        if poll is not None:
            for batch in poll.batches:
                self._fold(batch)
            self.engine.commit(poll)

    def _fold(self, batch: Batch) -> None:
        """Fold a batch as the agent does, with the faults of agents."""
        process = self.process
        fault = process.dice.at_fold()
        if fault == "slow agent":
            process.rest(process.world.between(0.1, 3.0))  # the transaction before is over by then
        half = len(batch.records) // 2
        try:
            fold(batch, half if fault in HALF_WAY else len(batch.records))
        except EngineError as error:  # a look-up may write, too
            batch.fail(error)
            return
        if fault:
            process.world.tell(process.name, fault)
        if fault == "slow agent":
            self._linger(process.world.between(*SLOW_S))
        elif fault == "agent slower than polls may be":
            process.rest(process.world.between(*SLOWER_S))
        elif fault:
            process.world.effects[fault] += 1
        if fault == "agent fails":
            batch.fail(ValueError("planted"))
        elif fault == "batch postponed":
            batch.fail(BatchPostponedError("the registry is away"))
        elif fault != "agent forgets to say done":
            batch.done()

    def _linger(self, seconds: float) -> None:
        """Be slower than the transaction may be open; it counts as an effect if that aborted it."""
        process, transactions = self.process, self.broker.transactions
        producer_epoch = transactions.producer_epoch(process.slot)
        process.rest(seconds)
        if transactions.producer_epoch(process.slot) != producer_epoch:
            process.world.effects["slow agent"] += 1

    def _retrying(self, step: Callable[[], None]) -> None:
        """Take a step; while the broker does not answer, back off and try again."""
        backoff_s = BACKOFF_S_MIN
        while not self._is_stopping:
            try:
                step()
            except BrokerError as error:
                self.process.world.tell(self.process.name, f"trying again: {error}")
                self.process.rest(backoff_s)
                backoff_s = min(BACKOFF_S_MAX, backoff_s * 2)
            else:
                return
