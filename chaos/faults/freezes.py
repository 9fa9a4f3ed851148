"""Workers that stand still, or are too slow.

Owns: freezing for less and for longer than the session, a batch that outlives its transaction, a
batch that outlives the poll interval, a second worker in the same slot.
Does not own: workers that die (crashes.py).
Invariant: each has struck when the worker's own log, or its peers', says what it meant to them.
"""

import re
import signal
import time
from typing import Final

from chaos.faults.fault import SESSION_S, TRANSACTION_S, Scene, SlotFault
from chaos.fleet import Worker

LEFT_BEHIND: Final = re.compile(
    r"partitions (lost|revoked)|transaction aborted|(producer|consumer) recreated|another worker"
)
RENEWED: Final = re.compile(r"transaction aborted|producer recreated")
POLL_INTERVAL_S: Final = 10


class FreezeShort(SlotFault):
    """SIGSTOP for less than the session: nobody else notices."""

    name = "freeze_short"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.worker: Worker | None = None
        self.was_stopped = False

    def inject(self) -> None:
        self.worker = worker = self.scene.fleet.hold(self.slot)
        self.scene.wait_for(worker.has_partitions, "the worker's partitions")
        worker.process.send_signal(signal.SIGSTOP)
        time.sleep(self.scene.rng.uniform(1.0, SESSION_S * 0.6))
        self.was_stopped = worker.is_stopped()

    def heal(self) -> None:
        if self.worker is not None:
            self.worker.process.send_signal(signal.SIGCONT)
        super().heal()

    def fired(self) -> bool:
        return self.was_stopped


class FreezeLong(FreezeShort):
    """SIGSTOP for longer than the session: a zombie comes back to partitions it no longer has."""

    name = "freeze_long"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.noticed = False

    def inject(self) -> None:
        self.worker = worker = self.scene.fleet.hold(self.slot)
        self.scene.wait_for(worker.has_partitions, "the worker's partitions")
        worker.process.send_signal(signal.SIGSTOP)
        frozen_log = len(worker.log)
        time.sleep(SESSION_S + self.scene.rng.uniform(2.0, 5.0))
        self.was_stopped = worker.is_stopped()
        worker.process.send_signal(signal.SIGCONT)
        self.scene.wait_for(
            lambda: LEFT_BEHIND.search(worker.log, frozen_log) is not None,
            "the zombie's notice that it was left behind",
        )
        self.noticed = True

    def fired(self) -> bool:
        return self.was_stopped and self.noticed


class SlowAgent(SlotFault):
    """One batch takes longer than its transaction may."""

    name = "slow_agent"
    plan_s = TRANSACTION_S + 3
    sign = RENEWED

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.has_struck = False

    def settings(self) -> dict[str, str]:
        """More settings of the slow worker."""
        return {}

    def inject(self) -> None:
        nth = self.scene.rng.randint(2, 5)
        worker = self.replaced({"slow_once": {"nth": nth, "s": self.plan_s}}, **self.settings())
        self.scene.wait_for(
            lambda: self.sign.search(worker.log) is not None, "a sign of the slow batch"
        )
        self.has_struck = True

    def heal(self) -> None:
        """It goes on with its work as any other, so it is stopped like one."""
        self.scene.fleet.stop(self.slot)
        super().heal()

    def fired(self) -> bool:
        return self.has_struck


class PollTooLate(SlowAgent):
    """One batch takes longer than the interval between polls: the group moves on meanwhile."""

    name = "max_poll_exceeded"
    plan_s = POLL_INTERVAL_S + 4.0
    sign = re.compile("maximum poll interval", re.IGNORECASE)

    def settings(self) -> dict[str, str]:
        return {"MAX_POLL_INTERVAL_MS": str(POLL_INTERVAL_S * 1000)}


class SlotTaken(SlotFault):
    """A second worker under the same transactional id: the first has to stop."""

    name = "slot_taken"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.first: Worker | None = None

    def inject(self) -> None:
        fleet = self.scene.fleet
        self.first = first = fleet.hold(self.slot)
        self.scene.wait_for(first.has_partitions, "the first worker's partitions")
        fleet.start(self.slot, DATA_DIR=str(fleet.data_dir(self.slot)) + "-twin")
        self.await_end(first)

    def heal(self) -> None:
        self.scene.fleet.stop(self.slot)
        if self.first is not None and self.first.process.poll() is None:
            self.first.process.kill()
        super().heal()

    def fired(self) -> bool:
        if self.first is None or self.first.process.poll() != 1:
            return False
        return "SlotTakenError" in self.first.log
