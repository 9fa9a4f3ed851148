"""One run: a load, faults one after the other, an operator's acts beside them, and the verdict.

Owns: the order of everything, what counts as hanging (D, F), the result.
Does not own: the faults, the acts (acts.py), the comparison with the oracle (judge.py), options and
printing (__main__.py).
Invariant: whatever a fault did, it is healed before the next; what a run left behind is judged only
after everything has stopped.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from confluent_kafka import KafkaException

from chaos.acts import Acts
from chaos.errors import OverdueError
from chaos.faults.fault import Fault, Scene
from chaos.judge import Findings, examine, gather, policy
from chaos.ledger import CHANGELOGS, INPUTS, OUTPUTS
from chaos.load import Load
from chaos.schedule import in_order
from chaos.stores import check_stores
from chaos.watch import Watch
from pipeline.kafka.errors import UnreadableLogError

PROGRESS_S: Final = 120.0
"""After healing, what was in the log by then must be processed within this."""

SLOW_S: Final = 30.0
"""After which it is said how long that took."""

CATCH_UP_S: Final = 120.0
START_S: Final = 240.0
ACTS_S: Final = 1_200.0
"""After the last fault, what is under way of the operator's acts must end within this."""

CHECK_S: Final = 0.5
FAULT_S: Final = 20.0
"""What one fault takes, more or less."""

EVENTS_PER_USER: Final = 25
USERS_MIN: Final = 50
Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """What to run.

    Attributes:
        seconds: how long faults are begun; 0 brings each fault exactly once.
        events_per_s: completions, over all users.
        faults: to choose from, all possible here.
    """

    seed: int
    seconds: float
    events_per_s: int
    faults: Sequence[type[Fault]]


@dataclass
class Result:
    """What came of it.

    Attributes:
        faults: how often each was seen to strike; 0 for one that was injected in vain.
        acts: the operator's, how often each had an effect.
        hung: what did not end or go on in time, one line each.
    """

    seed: int
    minutes: float = 0.0
    events: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    acts: Counter[str] = field(default_factory=Counter)
    findings: Findings = field(default_factory=Findings)
    hung: list[str] = field(default_factory=list)

    @property
    def in_vain(self) -> list[str]:
        """Faults that were injected and never struck, and acts that never had an effect."""
        counts = [*self.faults.items(), *self.acts.items()]
        return sorted(name for name, count in counts if not count)

    @property
    def is_good(self) -> bool:
        """Whether nothing was wrong, every fault struck and every act had its effect."""
        found = self.findings
        return not any((found.lost, found.duplicated, found.wrong_state, self.hung, self.in_vain))

    def as_dict(self) -> dict[str, Any]:
        """The last line."""
        return {
            "seed": self.seed,
            "minutes": round(self.minutes, 1),
            "events": self.events,
            "faults": dict(sorted(self.faults.items())),
            "acts": dict(sorted(self.acts.items())),
            "lost": len(self.findings.lost),
            "duplicated": len(self.findings.duplicated),
            "wrong_state": len(self.findings.wrong_state),
            "hung": len(self.hung),
        }


class Run:
    """Everything between an empty ledger and a result.

    Args:
        scene: its ledger is set up, and nothing runs yet.
        say: told what happens.
    """

    def __init__(self, scene: Scene, options: Options, say: Say) -> None:
        self._scene = scene
        self._options = options
        self._say = say
        self._result = Result(options.seed)
        self._injected: list[Fault] = []
        seconds = options.seconds or FAULT_S * len(options.faults)
        users = max(USERS_MIN, int(options.events_per_s * seconds / EVENTS_PER_USER))
        self._load = Load(scene.ledger, options.seed, users, options.events_per_s)
        self._watch = Watch(scene.ledger)
        self._acts = Acts(scene, options.seed, say)

    def run(self) -> Result:
        """Do it all; ends with every worker stopped."""
        began = time.monotonic()
        self._watch.start()
        self._load.start()
        fleet = self._scene.fleet
        fleet.start_all()
        self._say("the workers are starting")
        for slot in range(fleet.slots):
            self._await(fleet.running[slot].has_partitions, "no partitions at the start", START_S)
        self._await_progress("the start")
        self._acts.start()
        for fault in in_order(self._options.faults, random.Random(self._options.seed)):
            if self._is_enough(time.monotonic() - began):
                break
            self._strike(fault, time.monotonic() - began)
            self._damage_if_due()
        self._end_acts()
        self._load.stop()
        if self._load.replaced:
            self._say(f"{self._load.replaced} producers had gone silent, and were replaced")
        self._say("the producers have stopped; waiting for the workers to catch up")
        self._await_progress("the end")
        self._acts.scrub()
        self._await_stable()
        self._stop_workers()
        self._result.minutes = (time.monotonic() - began) / 60
        self._judge()
        return self._result

    def _is_enough(self, elapsed_s: float) -> bool:
        if self._options.seconds:
            return elapsed_s > self._options.seconds
        return len(self._injected) == len(self._options.faults)

    def _strike(self, kind: type[Fault], elapsed_s: float) -> None:
        """Inject a fault, heal it, and wait until work goes on."""
        self._say(f"{elapsed_s:4.0f} s  {kind.name}")
        fault = kind(self._scene)
        self._injected.append(fault)
        try:
            fault.inject()
        except (OverdueError, KafkaException, UnreadableLogError) as error:
            self._say(f"        no effect: {error}")
        finally:
            fault.heal()
        self._await_progress(kind.name)

    def _damage_if_due(self) -> bool:
        """Damage states if an operator's round has come to that; whether all rounds are over."""
        if self._acts.wants_damage.is_set():
            self._say("        states are damaged, all disks are emptied")
            self._acts.damage()
            self._await_progress("the damage")
        return self._acts.is_over.is_set()

    def _end_acts(self) -> None:
        """Let the operator bring to an end what is under way."""
        self._say("no more faults; waiting for the operator's acts to end")
        self._acts.finish()
        self._await(self._damage_if_due, "the operator's acts did not end", ACTS_S)

    # --- D and F: nothing hangs ------------------------------------------------------------------

    def _await_progress(self, after: str) -> None:
        """Everybody has to be in the group, and what is in the log now be processed, soon."""
        due: dict[tuple[str, int], int] = {}
        began_s = time.monotonic()

        def caught_up() -> bool:
            ledger = self._scene.ledger
            due.update(due or ledger.ends(INPUTS, stable=True))
            return all(done >= due[partition] for partition, done in ledger.committed().items())

        self._await(caught_up, f"what was in the log after {after} was not processed", PROGRESS_S)
        slots, members = self._scene.fleet.slots, self._scene.ledger.members
        self._await(
            lambda: members() == slots,
            f"not every worker is in the group after {after}",
            PROGRESS_S,
        )
        took_s = time.monotonic() - began_s
        if took_s > SLOW_S:
            self._say(f"        work went on only after {took_s:.0f} s")

    def _await_stable(self) -> None:
        """No transaction is open, anywhere."""
        names = (*INPUTS, *OUTPUTS, *CHANGELOGS)
        ledger = self._scene.ledger
        self._await(
            lambda: ledger.ends(names) == ledger.ends(names, stable=True),
            "a transaction is still open",
            CATCH_UP_S,
        )

    def _await(self, met: Callable[[], bool], what: str, deadline_s: float) -> None:
        def answered() -> bool:
            time.sleep(CHECK_S)
            return met()

        try:
            self._scene.wait_for(answered, what, deadline_s)
        except OverdueError as error:
            self._result.hung.append(str(error))
            self._say(f"        HUNG: {error}")

    def _stop_workers(self) -> None:
        fleet = self._scene.fleet
        for slot, code in fleet.stop_all().items():
            if code:
                self._result.hung.append(f"the worker of slot {slot} did not stop: exit {code}")
        self._result.hung += fleet.hung

    # --- the verdict -----------------------------------------------------------------------------

    def _judge(self) -> None:
        scene, result = self._scene, self._result
        self._say("reading what they left behind")
        evidence = gather(scene.ledger)
        result.events = len(evidence.inputs)
        self._await_watch(sum(len(outputs) for outputs in evidence.outputs.values()))
        evidence.seen = self._watch.seen
        result.findings, _ = examine(evidence, policy())
        result.findings.wrong_state += self._acts.wrong
        result.hung += self._acts.hung
        result.acts = self._acts.done
        result.acts["repaired"] += evidence.applied_repairs().total()
        result.findings.wrong_state += [
            f"{coordinates} was delivered twice, differently"
            for coordinates in sorted(self._watch.changed)
        ]
        result.findings.wrong_state += check_stores(scene.ledger, self._data_dirs())
        scene.verdicts = evidence.verdicts()
        for fault in self._injected:
            result.faults[fault.name] += fault.fired()

    def _await_watch(self, records: int) -> None:
        """Let the reader on the side come to the end, too."""
        deadline = time.monotonic() + CATCH_UP_S
        while len(self._watch.seen) < records and time.monotonic() < deadline:
            time.sleep(CHECK_S)
        time.sleep(CHECK_S)
        self._watch.stop()

    def _data_dirs(self) -> list[Path]:
        return [path for path in sorted(self._scene.folder.glob("data-*")) if path.is_dir()]
