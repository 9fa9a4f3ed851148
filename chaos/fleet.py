"""The workers, each in its slot, started again when they end, as an orchestrator would.

Owns: which slots have to run, and what a worker's life left in its log.
Does not own: why a worker is hurt (faults/).
Invariant: a slot that is held by a fault is left alone; every other one runs, or is about to.
"""

import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil
from confluent_kafka import KafkaException

from chaos.errors import OverdueError
from chaos.ledger import LOG_TAIL_CHARS, Ledger
from pipeline.kafka.errors import UnreadableLogError

TICK_S: Final = 0.1
STOP_S: Final = 40.0
READY: Final = re.compile(r"partition \d+ ready|partition ready")
SETTINGS: Final[dict[str, Any]] = {"BATCH_RECORDS_MAX": "500", "STOP_TIMEOUT_S": "20"}


@dataclass(frozen=True)
class Worker:
    """One process in a slot.

    Attributes:
        began_at: where the slot's log stood when it was started, in bytes.
    """

    slot: int
    process: "subprocess.Popen[bytes]"
    log_file: Path
    began_at: int

    @property
    def log(self) -> str:
        """What was written since it was started."""
        with self.log_file.open("rb") as file:
            file.seek(self.began_at)
            return file.read().decode(errors="replace")

    def has_partitions(self) -> bool:
        """Whether it has come to process at least one."""
        return READY.search(self.log) is not None

    def is_stopped(self) -> bool:
        """Whether it stands still, by a signal."""
        return psutil.Process(self.process.pid).status() == psutil.STATUS_STOPPED


class Fleet:
    """The workers of one ledger.

    Args:
        ledger: theirs.
        slots: how many are to run, 1 and up.
        proxy_address: through which the last slot reaches the broker.
        tell: told of each worker that ended and is started again.

    Attributes:
        hung: each worker that did not stop when it was asked to.
    """

    def __init__(
        self, ledger: Ledger, slots: int, proxy_address: str, tell: Callable[[str], None]
    ) -> None:
        self._ledger = ledger
        self.proxied = slots - 1
        self._proxy_address = proxy_address
        self._tell = tell
        self._held: set[int] = set()
        self.slots = slots
        self.hung: list[str] = []
        self.running: dict[int, Worker] = {}

    def data_dir(self, slot: int) -> Path:
        """Where the slot keeps its stores."""
        return self._ledger.folder / f"data-{slot}"

    def start(self, slot: int, plan: dict[str, Any] | None = None, **settings: Any) -> Worker:
        """Start a worker in a slot; see `Ledger.start_worker`."""
        log_file = self._ledger.log_file(slot)
        began_at = log_file.stat().st_size if log_file.exists() else 0
        given = SETTINGS | {"DATA_DIR": str(self.data_dir(slot))}
        if slot == self.proxied:
            given["BOOTSTRAP_SERVERS"] = self._proxy_address
        process = self._ledger.start_worker(slot, plan, **(given | settings))
        self.running[slot] = worker = Worker(slot, process, log_file, began_at)
        return worker

    def start_all(self) -> None:
        """Have a worker in every slot."""
        for slot in range(self.slots):
            self.start(slot)

    def hold(self, slot: int) -> Worker:
        """Leave a slot to its caller: it is not started again until `release`."""
        self._held.add(slot)
        return self.running[slot]

    def hold_new(self, slot: int) -> None:
        """The same for a slot beyond the usual ones, which has no worker yet."""
        self._held.add(slot)

    def release(self, slot: int) -> None:
        """The slot is to run as usual again; beyond the usual slots it is to end."""
        self._held.discard(slot)
        if slot >= self.slots:
            self.stop(slot)
            self.running.pop(slot, None)
        elif self.running[slot].process.poll() is not None:
            self.start(slot)

    def stop(self, slot: int) -> int | None:
        """Stop a slot's worker gracefully; returns its exit code, None when there is none.

        One that takes too long is killed and told in `hung`; it has no exit code either.
        """
        worker = self.running.get(slot)
        if worker is None:
            return None
        if worker.process.poll() is None:
            worker.process.terminate()
            return self._stopped(slot)
        return worker.process.returncode

    def _stopped(self, slot: int) -> int | None:
        try:
            return self.running[slot].process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.hung.append(f"the worker of slot {slot} did not stop in {STOP_S:.0f} s")
            self.kill(slot)
            return None

    def kill(self, slot: int) -> int:
        """kill −9 a slot's worker; returns its exit code."""
        worker = self.running[slot]
        self._ledger.kill_worker(worker.process)
        return worker.process.returncode

    def tend(self) -> None:
        """Start again what ended by itself."""
        for slot in range(self.slots):
            if slot in self._held:
                continue
            worker = self.running.get(slot)
            if worker is not None and worker.process.poll() is None:
                continue
            if worker is not None:
                self._tell(f"the worker of slot {slot} had ended: {worker.process.returncode}")
            self.start(slot)

    def wait_for(self, met: Callable[[], bool], what: str, deadline_s: float) -> None:
        """Tend the fleet until a condition holds; a broker that does not answer is asked again.

        Raises:
            OverdueError: it did not within `deadline_s` seconds.
        """
        deadline = time.monotonic() + deadline_s
        why = ""
        while True:
            try:
                if met():
                    return
            except (KafkaException, UnreadableLogError) as error:
                why = str(error)
            if time.monotonic() > deadline:
                raise OverdueError(f"{what}: not within {deadline_s:.0f} s", why=why)
            self.tend()
            time.sleep(TICK_S)

    def stop_all(self) -> dict[int, int | None]:
        """`stop` every worker, side by side; returns the exit codes by slot."""
        alive = {slot: one for slot, one in self.running.items() if one.process.poll() is None}
        for worker in alive.values():
            worker.process.terminate()
        return {slot: self._stopped(slot) for slot in alive}

    def tail(self, slot: int) -> str:
        """The end of a slot's log."""
        return self._ledger.log(slot)[-LOG_TAIL_CHARS:]
