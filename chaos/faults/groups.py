"""Members that come and go, and members that share what they should not.

Owns: rebalance storms, rolling restarts, several workers on one data folder.
Does not own: deaths (crashes.py).
Invariant: afterwards every slot runs on its own folder again.
"""

import signal
from typing import Final

from chaos.faults.fault import Fault, Scene
from chaos.fleet import Worker

STORM_WORKERS: Final = 5


class RebalanceStorm(Fault):
    """One worker, then five, then one again."""

    name = "rebalance_storm"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.sizes: list[int] = []

    def inject(self) -> None:
        fleet = self.scene.fleet
        for slot in range(fleet.slots):
            fleet.hold(slot)
        for slot in range(1, fleet.slots):
            fleet.stop(slot)
        self._await_members(1)
        for slot in range(1, STORM_WORKERS):
            fleet.hold_new(slot)
            fleet.start(slot)
        self._await_members(STORM_WORKERS)
        for slot in range(STORM_WORKERS - 1, 0, -1):
            if self.scene.rng.random() < 0.5:
                fleet.kill(slot)
            else:
                fleet.stop(slot)
        self._await_members(1)

    def _await_members(self, wanted: int) -> None:
        self.scene.wait_for(
            lambda: self.scene.ledger.members() == wanted, f"a group of {wanted} members"
        )
        self.sizes.append(wanted)

    def heal(self) -> None:
        for slot in range(max(STORM_WORKERS, self.scene.fleet.slots)):
            self.scene.fleet.release(slot)

    def fired(self) -> bool:
        return self.sizes == [1, STORM_WORKERS, 1]


class RollingRestart(Fault):
    """Every worker is stopped and started again, one after the other."""

    name = "rolling_restart"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.codes: list[int | None] = []

    def inject(self) -> None:
        fleet = self.scene.fleet
        for slot in range(fleet.slots):
            self.scene.wait_for(fleet.hold(slot).has_partitions, "the old worker's partitions")
            self.codes.append(fleet.stop(slot))
            again = fleet.start(slot)
            self.scene.wait_for(again.has_partitions, "the new worker's partitions")
            fleet.release(slot)

    def heal(self) -> None:
        for slot in range(self.scene.fleet.slots):
            self.scene.fleet.release(slot)

    def fired(self) -> bool:
        return self.codes == [0] * self.scene.fleet.slots


class SharedFolder(Fault):
    """All workers on one data folder; then one is frozen, and its partitions move to the others."""

    name = "shared_folder"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.slot = scene.any_slot()
        self.owner: Worker | None = None
        self.others: list[Worker] = []

    def inject(self) -> None:
        fleet = self.scene.fleet
        self.owner = owner = fleet.hold(self.slot)
        self.scene.wait_for(owner.has_partitions, "the owner's partitions")
        shared = str(fleet.data_dir(self.slot))
        slots = [slot for slot in range(fleet.slots) if slot != self.slot] or [fleet.slots]
        for slot in slots:
            if slot in fleet.running:
                fleet.hold(slot)
                fleet.stop(slot)
            else:
                fleet.hold_new(slot)
            self.others.append(fleet.start(slot, DATA_DIR=shared))
        for other in self.others:
            self.scene.wait_for(other.has_partitions, "partitions in a shared folder")
        owner.process.send_signal(signal.SIGSTOP)
        self.scene.wait_for(self.fired, "a store that is open in another process")

    def heal(self) -> None:
        fleet = self.scene.fleet
        if self.owner is not None:
            self.owner.process.send_signal(signal.SIGCONT)
        for other in self.others:
            fleet.stop(other.slot)
            fleet.release(other.slot)
        fleet.release(self.slot)

    def fired(self) -> bool:
        return any("StoreLockedError" in other.log for other in self.others)
