"""Members that come and go, and members that share what they should not.

Owns: rebalance storms, rolling restarts, two workers on one data folder.
Does not own: deaths (crashes.py).
Invariant: afterwards every slot runs on its own folder again.
"""

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
    """One worker more, on the data folder of another."""

    name = "shared_folder"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.second: Worker | None = None

    def inject(self) -> None:
        fleet = self.scene.fleet
        slot = self.scene.any_slot()
        self.scene.wait_for(fleet.running[slot].has_partitions, "the first worker's partitions")
        fleet.hold_new(fleet.slots)
        self.second = second = fleet.start(fleet.slots, DATA_DIR=str(fleet.data_dir(slot)))
        self.scene.wait_for(lambda: second.process.poll() is not None, "the second worker's end")

    def heal(self) -> None:
        self.scene.fleet.release(self.scene.fleet.slots)

    def fired(self) -> bool:
        if self.second is None or self.second.process.poll() != 1:
            return False
        return "StoreLockedError" in self.second.log
