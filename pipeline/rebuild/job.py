"""A rebuild as a whole: its folder, its steps, all its partitions.

Owns: writing the rebuild's folder, its steps and their order, running the partitions in processes
of their own, the diff and its digest.
Does not own: the form of the files (ops/rebuilds.py), one partition (partition.py), repairs
(repairs.py), steps in the audit (operations.py), how it is shown (cli/).
Invariants: each file is written whole or not at all. Whoever is killed leaves a folder with which
the same command goes on; the live pipeline does not know of it. Only users of the diff whose digest
was approved are repaired. Nothing of a step is done before it is in the log.

Beside the files of ops/rebuilds.py a folder has `undo-<partition>` (repairs.py; `rolled-back-…`
once it was used), `policy.yaml` where one is tried, `derived/` and `live/` (the stores).
"""

import multiprocessing
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from functools import partial
from hashlib import sha256
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import Final

import msgspec

from pipeline import clock
from pipeline.errors import EXIT_FAILED, AwawayError
from pipeline.hard_exit import exit_hard
from pipeline.kafka.principal import principal_of
from pipeline.ops.rebuild_diffs import Diff, ShownDifference, diff_in, diff_lines
from pipeline.ops.rebuilds import Progress, Rebuild, Step, folder_of, progress_in, rebuild_in
from pipeline.ops.skips import check_notes
from pipeline.rebuild.operations import enter
from pipeline.rebuild.partition import PartitionRebuild
from pipeline.rebuild.record import shown
from pipeline.rebuild.repairs import Order, Result, Sender, Undo, put_right, roll_back
from pipeline.rebuild.setup import Setup
from pipeline.settings.load import load_settings
from pipeline.settings.worker import Settings
from pipeline.whole_file import write_whole

LOOK_S: Final = 0.25
"""Seconds between two looks at the partitions' progress."""


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
        self.folder = folder_of(settings, rebuild_id)
        self.settings = settings
        self.config = config
        self.actor = principal_of(settings.kafka_client())
        self.stamp: Callable[[], int] = lambda: 0  # of commands, where time is simulated; 0 is now

    @property
    def policy(self) -> Path | None:
        """The policy that is tried, if one is."""
        path = self.folder / "policy.yaml"
        return path if path.exists() else None

    def read(self) -> Rebuild:
        """What the rebuild is now; raises as `rebuild_in`."""
        return rebuild_in(self.folder)

    def progress(self) -> list[Progress]:
        """How far each partition is that has begun."""
        return progress_in(self.folder)

    def diff(self) -> Diff:
        """The diff of the last comparison.

        Raises:
            RebuildError: there is none yet.
        """
        found = diff_in(self.folder)
        if found is None:
            raise RebuildError(
                f"{self.folder.name} has not compared anything yet",
                fix=f"`awaway rebuild start --id {self.folder.name}` goes on with it",
            )
        return found

    def begin(self, partitions: Sequence[int], user_id: str | None, policy: Path | None) -> None:
        """Write down a new rebuild, which nobody has started yet."""
        self.folder.mkdir(parents=True)
        if policy is not None:
            shutil.copyfile(policy, self.folder / "policy.yaml")
        group, tries = self.settings.group_id, policy is not None
        name, now = self.folder.name, clock.now_ms()
        self._write(Rebuild(name, group, "replaying", list(partitions), user_id, tries, now))

    def compare(
        self,
        processes: int,
        watch: Callable[[list[Progress]], None],
        reason: str = "",
        ticket: str = "",
    ) -> Diff:
        """Replay what is not replayed yet, compare, and write the diff.

        Args:
            processes: that share the partitions.
            watch: is given the progress several times a second.
            reason, ticket: for the audit; empty where nobody gave them.

        Raises:
            ReplayError, UnreadableLogError and whatever else a partition met.
            NotSentError: the step cannot be written into the log.
        """
        rebuild = self.read()
        tries = ", trying a policy" if rebuild.tries_policy else ""
        about = f"{rebuild.id}: {rebuild.scope}{tries}"
        step = self._enter(rebuild, Step(0, self.actor, "start", reason, ticket, about))
        rebuild.state = "replaying"
        self._write(rebuild)
        began_s = time.monotonic()
        found = self._on_each(rebuild.partitions, processes, watch)
        users = sorted((one for rows, _ in found for one in rows), key=lambda one: one.user_id)
        names = [(one.user_id, one.summary) for one in users]
        rebuild.digest = sha256(msgspec.json.encode(names)).hexdigest()[:16]
        rebuild.differing = dict(Counter(one.why for one in users))
        diff = Diff(rebuild.id, rebuild.digest, users)
        write_whole(self.folder / "diff.jsonl", diff_lines(diff))
        rebuild.seconds += time.monotonic() - began_s
        rebuild.inputs += sum(inputs for _, inputs in found)
        self._end(rebuild, step, "compared", f"found {_counted(len(users))}, digest {diff.digest}")
        return diff

    def repair(
        self,
        back: bool,
        reason: str,
        ticket: str,
        say: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> list[Result]:
        """Put right the users of the diff, or put them back.

        Args:
            back: roll back what was repaired.
            reason, ticket: for the audit.
            say: is told how many users are done, of how many.

        Raises:
            UsageError: there is no reason or no ticket that the audit can keep.
            NotSentError, NotReadBackError, NotAuditedError: the step is not in the audit.
        """
        check_notes(reason, ticket)
        rebuild = self.read()
        wanted: dict[int, list[str]] = self.repaired() if back else {}
        for one in () if back else self.diff().users:
            wanted.setdefault(one.partition, []).append(one.user_id)
        total = sum(map(len, wanted.values()))
        what = "rollback" if back else "approve"
        about = rebuild.id if back else f"{rebuild.id}: diff {rebuild.digest}, {_counted(total)}"
        asked = Step(0, self.actor, what, reason, ticket, about)
        step = self._enter(rebuild, asked, wanted)
        rebuild.state = "repairing"
        self._write(rebuild)
        order = Order(rebuild.id + ("-back" if back else ""), self.actor, reason, ticket)
        results = self._carry_out(rebuild, wanted, order, say)
        failed = sum(len(result.failed) for result in results)
        if failed:
            return results  # it stays under way: the same command goes on with who is left
        for partition in wanted if back else ():
            path = self.undo(partition)
            path.rename(path.with_name(f"rolled-back-{partition}-{step.at}"))
        changed = sum(len(result.repaired) for result in results)
        state = "rolled_back" if back else "approved"
        self._end(rebuild, step, state, f"changed {_counted(changed)}")
        return results

    def _carry_out(
        self,
        rebuild: Rebuild,
        wanted: dict[int, list[str]],
        order: Order,
        say: Callable[[int, int], None],
    ) -> list[Result]:
        """Repair users, or put them back, one partition after the other."""
        setup = Setup(self.settings, self.policy)
        carry_out = roll_back if order.rebuild_id != rebuild.id else put_right
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
        return results

    def undo(self, partition: int) -> Path:
        """The file of what repairs replaced in a partition."""
        return self.folder / f"undo-{partition}"

    def repaired(self) -> dict[int, list[str]]:
        """Users by partition of whom something was replaced, and not put back."""
        found = {one: list(Undo(self.undo(one)).all()) for one in self.read().partitions}
        return {partition: users for partition, users in found.items() if users}

    def abort(self, reason: str = "", ticket: str = "") -> None:
        """Drop what was derived; the record of the rebuild stays.

        Raises:
            RebuildError: there are repairs that may not be done yet.
            NotSentError: the step cannot be written into the log.
        """
        rebuild = self.read()
        if rebuild.state == "repairing" and self.repaired():
            raise RebuildError(
                "repairs are under way, or were cut short",
                fix=f"`awaway rebuild approve {rebuild.id}` goes on with them, `rollback` takes"
                " them back",
            )
        step = self._enter(rebuild, Step(0, self.actor, "abort", reason, ticket, rebuild.id))
        for name in ("derived", "live"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        self._end(rebuild, step, "aborted", "its stores are deleted")

    def _write(self, rebuild: Rebuild) -> None:
        write_whole(self.folder / "rebuild.json", msgspec.json.encode(rebuild))

    def _enter(
        self, rebuild: Rebuild, asked: Step, changing: Collection[int] | None = None
    ) -> Step:
        """Have a step in the log; it goes on where the same was asked before and did not end.

        Args:
            changing: partitions with users who will change; None where nobody does.
        """
        if not rebuild.steps or not rebuild.steps[-1].is_cut_short(asked):
            asked.at = clock.now_ms()
            rebuild.steps.append(asked)
            self._write(rebuild)
        step = rebuild.steps[-1]
        partitions = changing or rebuild.partitions
        if set(partitions) - step.places.keys():
            with Setup(self.settings, self.policy).corrections() as corrections:
                note = partial(self._write, rebuild)
                is_awaited = changing is not None
                enter(corrections, rebuild, partitions, self.stamp(), note, is_awaited=is_awaited)
        return step

    def _end(self, rebuild: Rebuild, step: Step, state: str, outcome: str) -> None:
        step.ended, step.outcome = clock.now_ms(), outcome
        rebuild.state = state
        self._write(rebuild)

    def _on_each(
        self,
        partitions: Sequence[int],
        processes: int,
        watch: Callable[[list[Progress]], None],
    ) -> list[tuple[list[ShownDifference], int]]:
        """Compare partitions, each in a process of its own."""
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(max(1, processes), spawn, _end_with_parent) as pool:
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


def _end_with_parent() -> None:
    """Let this process end when the one that began it is killed; else it waits for work for ever.

    It would keep a partition's stores open meanwhile, in the way of whoever goes on.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait_for([parent.sentinel])
        exit_hard(EXIT_FAILED)

    threading.Thread(target=watch, name="parent", daemon=True).start()


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


def _counted(users: int) -> str:
    return f"{users:,} user{'' if users == 1 else 's'}"
