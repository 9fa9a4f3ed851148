"""Local stores that are old, gone or cannot be written, and changelogs recreated.

Owns: putting an old folder back, deleting changelogs, filling a disk.
Does not own: crashes while writing (crashes.py), the comparison of stores (stores.py).
Invariant: afterwards the slot runs on its own folder, with space to write.
"""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from chaos.errors import OverdueError
from chaos.faults.fault import Fault, Scene, SlotFault
from chaos.ledger import CHANGELOGS, ROOT
from pipeline.ops.topics import sync as topic_ops
from pipeline.ops.topics.file import Target, load_topics

MORE_RECORDS: Final = 200
DISK_BYTES: Final = 32 << 20
BALLAST_BYTES: Final = 1 << 16
RESTORED: Final = re.compile(r'"records": ([1-9]\d*), "restore_s"')


class OldSnapshot(SlotFault):
    """A worker's folder is put back to what it was some transactions ago."""

    name = "old_snapshot"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.restored = False

    def inject(self) -> None:
        fleet, ledger = self.scene.fleet, self.scene.ledger
        folder, snapshot = fleet.data_dir(self.slot), self.scene.folder / "snapshot"
        self.scene.wait_for(fleet.hold(self.slot).has_partitions, "the worker's partitions")
        fleet.stop(self.slot)
        shutil.rmtree(snapshot, ignore_errors=True)
        shutil.copytree(folder, snapshot)
        before = sum(ledger.committed().values())
        worker = fleet.start(self.slot)
        self.scene.wait_for(worker.has_partitions, "the worker's partitions")
        self.scene.wait_for(
            lambda: sum(ledger.committed().values()) > before + MORE_RECORDS, "more records"
        )
        fleet.stop(self.slot)
        shutil.rmtree(folder)
        snapshot.rename(folder)
        again = fleet.start(self.slot)
        self.scene.wait_for(
            lambda: RESTORED.search(again.log) is not None, "records restored from the changelog"
        )
        self.restored = True

    def fired(self) -> bool:
        return self.restored


class ChangelogRemade(Fault):
    """Everybody stops; the changelogs are deleted and recreated, empty."""

    name = "changelog_remade"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.lengths: list[int] = []

    def inject(self) -> None:
        fleet, ledger = self.scene.fleet, self.scene.ledger
        self.scene.wait_for(lambda: ledger.members() == fleet.slots, "a group of usual size")
        for slot in range(fleet.slots):
            self.scene.wait_for(fleet.running[slot].has_partitions, "everybody's partitions")
        for slot in range(fleet.slots):
            fleet.hold(slot)
        fleet.stop_all()
        self._note_lengths()
        names = [ledger.topic(name) for name in CHANGELOGS]
        for future in ledger.admin.delete_topics(names).values():
            future.result()
        self.scene.wait_for(
            lambda: not set(names) & ledger.admin.list_topics(timeout=10).topics.keys(),
            "the changelogs' end",
        )
        self._make_again()
        self._note_lengths()

    def _make_again(self) -> None:
        ledger = self.scene.ledger
        target = Target(prefix=ledger.prefix, partitions=ledger.partitions)
        topic_ops.apply(ledger.admin, load_topics(ROOT / "topics.yaml"), target)

    def _note_lengths(self) -> None:
        def noted() -> bool:
            self.lengths.append(sum(self.scene.ledger.ends(CHANGELOGS).values()))
            return True

        self.scene.wait_for(noted, "the changelogs' leaders")

    def heal(self) -> None:
        self._make_again()
        for slot in range(self.scene.fleet.slots):
            self.scene.fleet.release(slot)

    def fired(self) -> bool:
        return len(self.lengths) == 2 and self.lengths[0] > self.lengths[1] == 0


class DiskFull(SlotFault):
    """A small disk fills while a worker runs on it; it has to stop, and goes on with more space."""

    name = "disk_full"

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.mount = scene.folder / "small-disk"
        self.is_mounted = False
        self.refused = False

    @classmethod
    def impossible(cls) -> str:
        with tempfile.TemporaryDirectory(prefix="awaway-chaos-") as folder:
            tried = _mount(Path(folder))
            if tried.returncode == 0:
                _unmount(Path(folder))
                return ""
            return f"a small file system cannot be mounted ({tried.stderr.strip()})"

    def inject(self) -> None:
        fleet = self.scene.fleet
        fleet.hold(self.slot)
        fleet.stop(self.slot)
        self.mount.mkdir(exist_ok=True)
        mounted = _mount(self.mount)
        if mounted.returncode != 0:
            raise OverdueError("the small disk is not there", why=mounted.stderr)
        self.is_mounted = True
        first = fleet.start(self.slot, DATA_DIR=str(self.mount))
        self.scene.wait_for(first.has_partitions, "partitions on a small disk")
        self._fill()
        fleet.stop(self.slot)
        self._fill()
        second = fleet.start(self.slot, DATA_DIR=str(self.mount))
        self.await_end(second)
        self.refused = "StoreUnwritableError" in second.log
        (self.mount / "ballast").unlink()
        third = fleet.start(self.slot, DATA_DIR=str(self.mount))
        self.scene.wait_for(third.has_partitions, "partitions, with space again")

    def _fill(self) -> None:
        with (self.mount / "ballast").open("ab", buffering=0) as ballast:
            try:
                while ballast.write(b"\x00" * BALLAST_BYTES) == BALLAST_BYTES:
                    pass
            except OSError:
                return

    def heal(self) -> None:
        self.scene.fleet.stop(self.slot)
        if self.is_mounted:
            _unmount(self.mount)
        super().heal()

    def fired(self) -> bool:
        return self.refused


def _mount(place: Path) -> "subprocess.CompletedProcess[str]":
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "awaway-chaos", str(place)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _unmount(place: Path) -> None:
    subprocess.run(["umount", "-l", str(place)], capture_output=True, check=True)
