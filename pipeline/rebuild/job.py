"""A rebuild as a whole: its folder, its steps, all its partitions.

Owns: what a rebuild's folder says of it, running the partitions in processes of their own, the diff
and its digest.
Does not own: one partition (partition.py), repairs (repairs.py), how it is shown (cli/).
Invariants: each file is written whole or not at all. Whoever is killed leaves a folder with which
the same command goes on; the live pipeline does not know of it. Only users of the diff whose digest
was approved are repaired.

Layout of `<data_dir>/rebuilds/<group>/<id>/`: `rebuild.json` (`Rebuild`), `progress-<partition>`
(`Progress`), `diff.json` (`Diff`), `undo-<partition>` (repairs.py; `rolled-back-…` once it was
used), `policy.yaml` where one is tried, `derived/` and `live/` (the stores).
"""

import multiprocessing
import re
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from pipeline import clock
from pipeline.core.rejection import quoted
from pipeline.errors import AwawayError, UsageError
from pipeline.kafka.principal import principal_of
from pipeline.ops.skips import check_notes
from pipeline.rebuild.partition import PartitionRebuild
from pipeline.rebuild.record import (
    Diff,
    Progress,
    Rebuild,
    ShownDifference,
    Step,
    shown,
)
from pipeline.rebuild.repairs import Order, Result, Sender, Undo, put_right, roll_back
from pipeline.rebuild.setup import Setup
from pipeline.settings.load import load_settings
from pipeline.settings.worker import Settings
from pipeline.whole_file import write_whole

LOOK_S: Final = 0.25
"""Seconds between two looks at the partitions' progress."""

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")


class RebuildError(AwawayError):
    """A rebuild cannot do what was asked.

    **Operator action**: as the message says; nothing was changed.
    """


class Job:
    """One rebuild.

    Args:
        settings: of a worker of the generation that is live.
        config: the file that they came from, for the processes.

    Raises:
        UsageError: the id cannot be one.
    """

    def __init__(self, settings: Settings, rebuild_id: str, config: Path | None) -> None:
        if not _ID.fullmatch(rebuild_id):
            raise UsageError(
                f"{quoted(rebuild_id)} is no id of a rebuild",
                fix="`awaway rebuild list` shows them",
            )
        self.folder = root_of(settings) / rebuild_id
        self.settings = settings
        self.config = config
        self.actor = principal_of(settings.kafka_client())
        self.stamp: Callable[[], int] = lambda: 0  # of repairs, where time is simulated; 0 is now

    @property
    def policy(self) -> Path | None:
        """The policy that is tried, if one is."""
        path = self.folder / "policy.yaml"
        return path if path.exists() else None

    def read(self) -> Rebuild:
        """What the rebuild is now.

        Raises:
            UsageError: there is none of that id.
        """
        try:
            return msgspec.json.decode((self.folder / "rebuild.json").read_bytes(), type=Rebuild)
        except FileNotFoundError:
            raise UsageError(
                f"there is no rebuild {self.folder.name} here",
                fix="`awaway rebuild list` shows those of this data folder and generation",
            ) from None

    def begin(self, partitions: Sequence[int], user_id: str | None, policy: Path | None) -> Rebuild:
        """Write down a new rebuild."""
        self.folder.mkdir(parents=True)
        if policy is not None:
            shutil.copyfile(policy, self.folder / "policy.yaml")
        begun = Step(clock.now_ms(), self.actor, "start")
        group = self.settings.group_id
        tries = policy is not None
        rebuild = Rebuild(
            self.folder.name, group, "replaying", list(partitions), user_id, tries, [begun]
        )
        self.write(rebuild)
        return rebuild

    def write(self, rebuild: Rebuild) -> None:
        """Write down what the rebuild is now."""
        write_whole(self.folder / "rebuild.json", msgspec.json.encode(rebuild))

    def move(self, rebuild: Rebuild, state: str, step: Step) -> None:
        """Write down that somebody brought the rebuild into a state."""
        rebuild.state = state
        rebuild.steps.append(step)
        self.write(rebuild)

    def progress(self) -> list[Progress]:
        """How far each partition is that has begun."""
        return [
            msgspec.json.decode(path.read_bytes(), type=Progress)
            for path in sorted(self.folder.glob("progress-*"))
        ]

    def diff(self) -> Diff:
        """The diff of the last comparison.

        Raises:
            RebuildError: there is none yet.
        """
        path = self.folder / "diff.json"
        if not path.exists():
            raise RebuildError(
                f"{self.folder.name} has not compared anything yet",
                fix=f"`awaway rebuild start --id {self.folder.name}` goes on with it",
            )
        return msgspec.json.decode(path.read_bytes(), type=Diff)

    def compare(self, processes: int, watch: Callable[[list[Progress]], None]) -> Diff:
        """Replay what is not replayed yet, compare, and write the diff.

        Args:
            processes: that share the partitions.
            watch: is given the progress several times a second.

        Raises:
            ReplayError, UnreadableLogError and whatever else a partition met.
        """
        rebuild = self.read()
        began_s = time.monotonic()
        found = self._on_each(rebuild.partitions, processes, watch)
        users = sorted((one for rows, _ in found for one in rows), key=lambda one: one.user_id)
        names = [(one.user_id, one.summary) for one in users]
        digest = sha256(msgspec.json.encode(names)).hexdigest()[:16]
        diff = Diff(rebuild.id, digest, users)
        write_whole(self.folder / "diff.json", msgspec.json.encode(diff))
        rebuild.seconds += time.monotonic() - began_s
        rebuild.inputs += sum(inputs for _, inputs in found)
        compared = Step(clock.now_ms(), self.actor, f"compare: {len(users)} users, {digest}")
        self.move(rebuild, "compared", compared)
        return diff

    def repair(
        self, back: bool, step: Step, say: Callable[[int, int], None] = lambda _done, _total: None
    ) -> list[Result]:
        """Put right the users of the diff, or put them back.

        Args:
            back: roll back what was repaired.
            step: who asks, and why.
            say: is told how many users are done, of how many.

        Raises:
            UsageError: there is no reason or no ticket that the audit can keep.
        """
        check_notes(step.reason, step.ticket)
        rebuild = self.read()
        self.move(rebuild, "repairing", step)
        wanted: dict[int, list[str]] = self.repaired() if back else {}
        for one in () if back else self.diff().users:
            wanted.setdefault(one.partition, []).append(one.user_id)
        order = Order(rebuild.id + ("-back" if back else ""), step.actor, step.reason, step.ticket)
        setup = Setup(self.settings, self.policy)
        carry_out = roll_back if back else put_right
        results: list[Result] = []
        total, before = sum(map(len, wanted.values())), 0
        for partition, users in sorted(wanted.items()):
            say(before, total)
            undo = Undo(self.undo(partition))
            with (
                setup.corrections() as corrections,
                PartitionRebuild(setup, partition, self.folder, rebuild.user_id) as its,
            ):
                sender = Sender(corrections, order, stamp=self.stamp)
                results.append(carry_out(its, users, sender, undo))
            before += len(users)
        say(total, total)
        if back and not any(result.failed for result in results):
            for partition in wanted:
                path = self.undo(partition)
                path.rename(path.with_name(f"rolled-back-{partition}-{step.at}"))
        if any(result.failed for result in results):
            return results  # it stays under way: the same command goes on with who is left
        done = Step(clock.now_ms(), step.actor, "rolled back" if back else "approved")
        self.move(rebuild, "rolled_back" if back else "approved", done)
        return results

    def undo(self, partition: int) -> Path:
        """The file of what repairs replaced in a partition."""
        return self.folder / f"undo-{partition}"

    def repaired(self) -> dict[int, list[str]]:
        """Users by partition of whom something was replaced, and not put back."""
        found = {one: list(Undo(self.undo(one)).all()) for one in self.read().partitions}
        return {partition: users for partition, users in found.items() if users}

    def abort(self) -> None:
        """Drop what was derived; the record of the rebuild stays."""
        rebuild = self.read()
        if rebuild.state == "repairing":
            raise RebuildError(
                "repairs are under way, or were cut short",
                fix=f"`awaway rebuild approve {rebuild.id}` goes on with them, `rollback` takes"
                " them back",
            )
        for name in ("derived", "live"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        self.move(rebuild, "aborted", Step(clock.now_ms(), self.actor, "abort"))

    def _on_each(
        self,
        partitions: Sequence[int],
        processes: int,
        watch: Callable[[list[Progress]], None],
    ) -> list[tuple[list[ShownDifference], int]]:
        """Compare partitions, each in a process of its own."""
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(max(1, processes), spawn) as pool:
            futures = [
                pool.submit(compare_partition, self.config, self.folder.name, one)
                for one in partitions
            ]
            waiting = set(futures)
            while waiting:
                _, waiting = wait(waiting, LOOK_S, FIRST_COMPLETED)
                watch(self.progress())
        return [future.result() for future in futures]


def compare_partition(
    config: Path | None, rebuild_id: str, partition: int
) -> tuple[list[ShownDifference], int]:
    """Replay and compare one partition, in a process of its own; also count the inputs replayed."""
    job = Job(load_settings(config), rebuild_id, config)
    setup = Setup(job.settings, job.policy)
    with PartitionRebuild(setup, partition, job.folder, job.read().user_id) as rebuild:
        rebuild.catch_up(_Noted(job.folder, partition))
        return [shown(one) for one in rebuild.differences()], rebuild.done


class _Noted:
    """Writes a partition's progress down, a few times a second."""

    def __init__(self, folder: Path, partition: int) -> None:
        self._path = folder / f"progress-{partition}"
        self._progress = Progress(partition, 0, 0, clock.now_ms(), 0, -1)
        self._written_s = 0.0

    def __call__(self, done: int, total: int) -> None:
        progress = self._progress
        if progress.first < 0:
            progress.first = done
        progress.done, progress.total, progress.at = done, total, clock.now_ms()
        if done < total and time.monotonic() - self._written_s < LOOK_S:
            return
        self._written_s = time.monotonic()
        write_whole(self._path, msgspec.json.encode(progress))


def root_of(settings: Settings) -> Path:
    """The folder of the rebuilds of one topic prefix and generation."""
    return settings.data_dir / "rebuilds" / settings.group_id


def all_of(settings: Settings) -> list[Rebuild]:
    """The rebuilds of a data folder, the newest first."""
    found = [
        msgspec.json.decode(path.read_bytes(), type=Rebuild)
        for path in root_of(settings).glob("*/rebuild.json")
    ]
    return sorted(found, key=lambda one: one.steps[0].at, reverse=True)
