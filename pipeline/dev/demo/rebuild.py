"""State that is damaged under live traffic, found, and put right while nobody notices.

Owns: the order of the steps, as an operator would take them; what came of them.
Does not own: scrub and rebuild (pipeline/rebuild/), the damage (damage.py), who reads meanwhile
(polling.py), what is sent meanwhile (traffic.py).
"""

import json
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec

from pipeline.dev.demo.comparing import Differences
from pipeline.dev.demo.damage import damage, some
from pipeline.dev.demo.errors import DemoError
from pipeline.dev.demo.outputs import Outputs
from pipeline.dev.demo.polling import Polling
from pipeline.dev.demo.stage import Say, Stage
from pipeline.dev.demo.traffic import Traffic
from pipeline.dev.demo.worker_process import WorkerProcess, environment
from pipeline.dev.workload.ground_truth import InputRecord
from pipeline.dev.workload.people import DAY_MS
from pipeline.errors import EXIT_FAILED, EXIT_OK
from pipeline.rebuild.job import Job
from pipeline.settings.worker import Settings

SHARE_BEFORE: Final = 0.7
"""Of the month's inputs that have flowed when states are damaged."""

BYSTANDERS_MAX: Final = 20
"""Users who are read beside those who are damaged."""

SHOWN_MAX: Final = 5
"""Users of the diff who are shown."""

_BACK_S_MAX: Final = 120.0
_COMMAND_S_MAX: Final = 600.0
_TURN_S: Final = 0.1


class Rebuilt(msgspec.Struct):
    """What became of the damage.

    Attributes:
        corrupted, found: users who were damaged, and whom the scrub found.
        unlike: users whom either the scrub found or the rebuild, and not both.
        left: whom a scrub finds after all.
        reads, reader_errors, steps_back: of who read meanwhile; see `Polling`.
        pause_s: the longest time without progress of a partition during the repairs.
        rate: inputs replayed per second.
    """

    corrupted: list[str]
    found: list[str]
    rate: float
    pause_s: float = 0.0
    unlike: list[str] = msgspec.field(default_factory=list)
    left: list[str] = msgspec.field(default_factory=list)
    reads: int = 0
    reader_errors: int = 0
    steps_back: int = 0
    duplicate_portals: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return it for programs."""
        names = ("reads", "reader_errors", "steps_back", "duplicate_portals")
        return {
            "corrupted": len(self.corrupted),
            "found": len(self.found),
            **{name: getattr(self, name) for name in names},
            "pause_s": round(self.pause_s, 3),
            "rate": round(self.rate, 1),
        }

    def judge(self, outputs: Outputs, found: Differences) -> None:
        """Note what did not go as it ought to."""
        told = [(one["user_id"], one["lap"], one["portal"]) for one in outputs.portals]
        self.duplicate_portals = len(told) - len(set(told))
        for user_id in set(self.corrupted) ^ set(self.found):
            what = "not found" if user_id in self.corrupted else "found without being damaged"
            found.note("rebuild_wrong", f"{user_id} was {what}")
        for user_id in self.unlike:
            found.note("rebuild_wrong", f"scrub and rebuild do not agree about {user_id}")
        for user_id in self.left:
            found.note("rebuild_wrong", f"the state of {user_id} differs after the repairs")
        for name in ("reader_errors", "steps_back"):
            if getattr(self, name):
                found.note("rebuild_wrong", f"{name}: {getattr(self, name)}")


def split(records: Sequence[InputRecord]) -> tuple[list[InputRecord], list[InputRecord]]:
    """The month before the damage, and the rest of it."""
    at = int(len(records) * SHARE_BEFORE)
    return list(records[:at]), list(records[at:])


def corrupt_and_rebuild(
    stage: Stage,
    worker: WorkerProcess,
    records: tuple[Sequence[InputRecord], Sequence[InputRecord]],
    users: int,
    say: Say,
) -> Rebuilt:
    """Damage states, find the users, and put them right.

    Args:
        worker: has processed the first part of the records, and runs.
        records: what was sent, and what is sent meanwhile.
        users: of the demo.

    Returns:
        What came of it; the worker runs, and the broker has all records.

    Raises:
        DemoError: it could not be carried out.
    """
    before, rest = records
    accepted = {one.key.decode() for one in before if one.verdict == "accepted" and one.key}
    bystanders = sorted(accepted)[:BYSTANDERS_MAX]
    days_left = (rest[-1].append_time_ms - rest[0].append_time_ms) // DAY_MS + 1
    say("letting somebody read progress all the while")
    with Polling(stage, bystanders) as polling, Traffic(stage, rest) as traffic:
        say("damaging states, and starting the worker on an empty disk")
        worker.stop()
        changelog = stage.settings.topic(f"{stage.settings.generation}.streaks-changelog")
        choose = some(users, days_left)
        corrupted = damage(stage.settings.kafka_client(), changelog, choose)
        polling.users = [*corrupted, *bystanders]
        worker.move(stage.run_dir / "new-disk")
        worker.start()
        _await_worker(worker, traffic)
        rebuilt = _rebuild(stage, corrupted, traffic, say)
        rebuilt.reads, rebuilt.reader_errors = polling.reads, polling.errors
        rebuilt.steps_back = polling.steps_back
    traffic.check()
    return rebuilt


def _await_worker(worker: WorkerProcess, traffic: Traffic) -> None:
    """Wait until the worker has processed something."""
    deadline_s = time.monotonic() + _BACK_S_MAX
    while not traffic.audited:
        worker.check()
        traffic.check()
        if time.monotonic() > deadline_s:
            raise DemoError("the worker does nothing on its new disk", why=worker.log_tail())
        time.sleep(_TURN_S)


def _rebuild(stage: Stage, corrupted: list[str], traffic: Traffic, say: Say) -> Rebuilt:
    operator = stage.settings.model_copy(update={"data_dir": stage.run_dir / "operator"})
    say(f"scrubbing; {len(corrupted)} users are damaged")
    findings = _findings(operator)
    found = [one["user_id"] for one in findings]
    partitions = sorted({one["partition"] for one in findings})
    say(f"{len(found)} users found; rebuilding their partitions")
    asked = [word for number in partitions for word in ("--partition", str(number))]
    compared = _command(operator, "rebuild", "start", *asked)
    rebuild, users = compared["rebuild"], compared["diff"]["users"]
    rebuilt = Rebuilt(corrupted, found, rebuild["inputs"] / max(rebuild["seconds"], 1e-3))
    rebuilt.unlike = sorted({one["user_id"] for one in users} ^ set(found))
    say(f"{len(users)} users differ; approving {compared['diff']['digest']}")
    for one in users[:SHOWN_MAX]:
        was, will = one["before"], one["after"]
        say(f"  {one['user_id']}: longest run {was['longest_days']} -> {will['longest_days']} days")
    job = Job(operator, rebuild["id"], None)
    job.stamp = traffic.append_time_ms
    traffic.measure()
    job.repair(False, "the disk lied", "DEMO-1")
    rebuilt.pause_s = traffic.measured()
    say("scrubbing once more")
    rebuilt.left = [one["user_id"] for one in _findings(operator)]
    return rebuilt


def _findings(settings: Settings) -> list[Any]:
    """Whom `awaway scrub` finds."""
    found: list[Any] = _command(settings, "scrub", codes=(EXIT_OK, EXIT_FAILED))["findings"]
    return found


def _command(settings: Settings, *words: str, codes: Collection[int] = (EXIT_OK,)) -> Any:
    """Run a command of `awaway`, and return what it prints.

    Args:
        codes: with which it may end.
    """
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli.main", *words, "-o", "json"],
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=_COMMAND_S_MAX,
        check=False,
    )
    answer = json.loads(done.stdout or "{}")
    # An error ends with 1, as a finding does.
    if done.returncode not in codes or not answer or "what" in answer:
        raise DemoError(
            f"`awaway {' '.join(words)}` ended with code {done.returncode}",
            why=(done.stdout + done.stderr)[-2_000:],
        )
    return answer
