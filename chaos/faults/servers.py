"""Brokers and registries that go away.

Owns: clean and hard restarts of the broker, its death while a transaction ends, the registry's
absence.
Does not own: the network between (network.py).
Invariant: whatever was stopped runs again after `heal`.
"""

import re
import threading
from typing import Final

from chaos.errors import OverdueError
from chaos.faults.fault import EFFECT_S, Fault, Scene, SlotFault
from chaos.fleet import Worker
from chaos.proxy import Treatment
from pipeline.dev.local.state import KAFKA

AWAY_S_MAX: Final = 3.0
UNSETTLED: Final = re.compile(r"transaction aborted|producer recreated|broker trouble")


class BrokerClean(Fault):
    """The broker is stopped cleanly and started again."""

    name = "broker_clean"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.pids: list[int | None] = [self.pid()]

    def pid(self) -> int | None:
        """The broker's process."""
        return next(one.pid for one in self.scene.stack.status().servers if one.name == KAFKA)

    def end_broker(self) -> None:
        """End it, one way or the other."""
        self.scene.stack.stop_kafka()

    def inject(self) -> None:
        self.end_broker()
        self.pids.append(self.pid())
        threading.Event().wait(self.scene.rng.uniform(0, AWAY_S_MAX))

    def heal(self) -> None:
        self.scene.stack.start_kafka()
        self.pids.append(self.pid())

    def fired(self) -> bool:
        before, *between, after = self.pids
        return None in between and None not in (before, after) and before != after


class BrokerHard(BrokerClean):
    """The broker is killed with -9 and started again."""

    name = "broker_hard"

    def end_broker(self) -> None:
        self.scene.stack.kill_kafka()


class BrokerAtEndTxn(BrokerClean):
    """The broker is killed just before or just after it is told to end a transaction."""

    name = "broker_at_end_txn"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self._killed = threading.Event()
        self._worker: Worker | None = None
        self._log_before = 0
        self.noticed = False

    def end_broker(self) -> None:
        scene = self.scene
        self._worker = scene.fleet.running[scene.fleet.proxied]
        self._log_before = len(self._worker.log)
        if scene.rng.random() < 0.5:
            treatment = Treatment(before=self._kill)
        else:
            treatment = Treatment(after=self._kill)
        scene.proxy.treat = lambda: None if self._killed.is_set() else treatment
        scene.wait_for(self._killed.is_set, "a transaction's end")

    def _kill(self) -> None:
        if not self._killed.is_set():
            self.scene.stack.kill_kafka()
            self._killed.set()

    def heal(self) -> None:
        self.scene.proxy.treat = None
        super().heal()
        worker = self._worker
        if worker is None:
            return
        try:
            self.scene.wait_for(
                lambda: UNSETTLED.search(worker.log, self._log_before) is not None,
                "the worker's notice",
            )
            self.noticed = True
        except OverdueError:
            return

    def fired(self) -> bool:
        return self._killed.is_set() and self.noticed and super().fired()


class RegistryAway(SlotFault):
    """The registry is away while a worker starts."""

    name = "registry_away"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.waited = False

    def inject(self) -> None:
        fleet = self.scene.fleet
        fleet.hold(self.slot)
        fleet.stop(self.slot)
        self.scene.stack.stop_registry()
        worker = fleet.start(self.slot)
        self.scene.wait_for(lambda: "trying again" in worker.log, "a worker that waits", EFFECT_S)
        self.waited = True

    def heal(self) -> None:
        self.scene.stack.start_registry()
        super().heal()

    def fired(self) -> bool:
        return self.waited
