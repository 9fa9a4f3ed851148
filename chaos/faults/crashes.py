"""kill -9, at each step between broker and disk.

Owns: dying at a step, while restoring, in a rebalance, at any moment.
Does not own: the steps, which the engine names (machine.py).
Invariant: each has struck when the process died of SIGKILL at the step that its log names last.
"""

import shutil
import signal
import time
from typing import ClassVar

from chaos.faults.fault import Fault, Scene, SlotFault
from chaos.fleet import Worker
from chaos.planted_worker import CRASHING


class Crash(SlotFault):
    """A worker that kills itself at a step. Attributes: step: the engine's name of it."""

    step: ClassVar[str]

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.deaths = 0

    def inject(self) -> None:
        nth = self.scene.rng.randint(1, 4)
        self.note(self.replaced({"crash": {"step": self.step, "nth": nth}}))

    def note(self, worker: Worker) -> None:
        """Wait for a death, and count it when it was the right one."""
        code = self.await_end(worker)
        self.deaths += code == -signal.SIGKILL and f"{CRASHING} {self.step}" in worker.log

    def fired(self) -> bool:
        return self.deaths > 0


class CrashBeforeBegin(Crash):
    """Nothing of the poll is in Kafka."""

    name = "crash_before_begin"
    step = "begin"


class CrashMidProduce(Crash):
    """Outputs are in librdkafka's queue, some of them in the log."""

    name = "crash_mid_produce"
    step = "fold"


class CrashAfterFlush(Crash):
    """Every output is in the log, the offsets are not."""

    name = "crash_after_flush"
    step = "send_offsets"


class CrashBeforeCommit(Crash):
    """Outputs and offsets are in the transaction, which is open."""

    name = "crash_before_commit"
    step = "commit"


class CrashBeforeApply(Crash):
    """Committed, and nothing of it on the disk."""

    name = "crash_before_apply"
    step = "apply"


class CrashInWrite(Crash):
    """Committed, and the write to the disk is cut."""

    name = "crash_in_write"
    step = "write"


class CrashInRestore(Crash):
    """Three deaths while an empty disk is being restored."""

    name = "crash_in_restore"
    step = "restore"

    def inject(self) -> None:
        fleet = self.scene.fleet
        fleet.hold(self.slot)
        fleet.kill(self.slot)
        shutil.rmtree(fleet.data_dir(self.slot), ignore_errors=True)
        for nth in (1, 2, 1):
            plan = {"crash": {"step": self.step, "nth": nth}}
            self.note(fleet.start(self.slot, plan))

    def fired(self) -> bool:
        return self.deaths == 3


class CrashInRevoke(Crash):
    """A rebalance is under way, and a member dies giving its partitions back."""

    name = "crash_in_revoke"
    step = "revoke"

    def inject(self) -> None:
        fleet = self.scene.fleet
        victim = self.replaced({"crash": {"step": self.step, "nth": 1}})
        self.scene.wait_for(victim.has_partitions, "the victim's partitions")
        fleet.start(fleet.slots)  # one member more: everybody gives back
        self.note(victim)

    def heal(self) -> None:
        super().heal()
        self.scene.fleet.release(self.scene.fleet.slots)


class KillAtRandom(Fault):
    """Three plain workers in turn, killed at no particular moment."""

    name = "kill_at_random"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.codes: list[int] = []

    def inject(self) -> None:
        fleet = self.scene.fleet
        for _ in range(3):
            slot = self.scene.any_slot()
            self.scene.wait_for(fleet.running[slot].has_partitions, "a worker's partitions")
            time.sleep(self.scene.rng.random())
            self.codes.append(fleet.kill(slot))
            fleet.start(slot)

    def heal(self) -> None:
        self.scene.fleet.tend()

    def fired(self) -> bool:
        return self.codes.count(-signal.SIGKILL) == 3
