"""What an operator does while everything else breaks: corrections, and rebuilds of damaged states.

Owns: the acts of a round and their order, damaging states, which acts had an effect.
Does not own: running commands (shell.py), the users (cohort.py), the faults (faults/), what must
follow (judge.py).
Invariants: the acts are the product's own commands. What a fault makes impossible is asked again,
as an operator would, and has to end in bounded time. A round that was begun ends with everybody
put right, before the run is judged.

States are damaged between two faults, as that takes all workers; all else goes on beside them.
"""

import random
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any, Final

import msgspec
from confluent_kafka import KafkaException

from chaos.cohort import Cohort
from chaos.errors import OverdueError
from chaos.faults.fault import Scene
from chaos.ledger import CHANGELOGS
from chaos.sender import Sender
from chaos.shell import TICK_S, Shell
from pipeline.dev.demo.damage import damage
from pipeline.errors import EXIT_FAILED, EXIT_OK, AwawayError

ACTS: Final = (
    "credit-day", "revoke-day", "withdraw", "claim-key", "return-key",
    "damaged", "approve", "rollback", "repaired", "killed", "scrub",
)  # fmt: skip
"""What is counted, of each how often it had an effect. damaged: users. repaired: repairs that were
applied. killed: commands that were killed and then gone on with."""

WHY: Final = ("--reason", "the disk lied", "--ticket", "CHAOS-1", "--yes")
EFFECT_S: Final = "30"
KILL_S_MAX: Final = 2.0
"""Seconds for which a command that has begun is let go on before it is killed."""


class Acts:
    """An operator, on a thread of its own, round after round.

    Args:
        scene: its workers run.
        seed: of all choices.
        say: told of each act.

    Attributes:
        done: how often each act had an effect.
        hung: what did not come to its end, one line each. wrong: what must not be, and was found.
        wants_damage: the round goes on once `damage` was called.
        is_over: no round is under way, and none will be.
    """

    def __init__(self, scene: Scene, seed: int, say: Callable[[str], None]) -> None:
        self._scene = scene
        self._say = say
        self._rng = random.Random(f"{seed} acts")
        self._sender = Sender(scene.ledger)
        self._shell = Shell(scene.ledger, scene.folder / "operator", self._meanwhile)
        self._cohort: Cohort | None = None
        self._is_last = threading.Event()
        self._thread = threading.Thread(target=self._run, name="operator", daemon=True)
        self.wants_damage = threading.Event()
        self.is_over = threading.Event()
        self.done: Counter[str] = Counter(dict.fromkeys(ACTS, 0))
        self.hung: list[str] = []
        self.wrong: list[str] = []

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def finish(self) -> None:
        """Let the round that is under way be the last."""
        self._is_last.set()

    def damage(self) -> None:
        """Damage the states that are to be: everybody stops, and starts on an empty disk."""
        fleet, ledger, cohort = self._scene.fleet, self._scene.ledger, self._cohort
        if cohort is None:
            return
        for slot in range(fleet.slots):
            fleet.hold(slot)
        try:
            fleet.stop_all()
            client = {"bootstrap.servers": ledger.bootstrap}
            hit = damage(client, ledger.topic(CHANGELOGS[0]), cohort.chosen)
            for slot in range(fleet.slots):
                shutil.rmtree(fleet.data_dir(slot), ignore_errors=True)
            self.done["damaged"] += len(hit)
            self.wants_damage.clear()
        except (AwawayError, KafkaException) as error:
            self._say(f"        nothing is damaged yet: {error}")
        finally:
            for slot in range(fleet.slots):
                fleet.release(slot)

    def scrub(self) -> None:
        """Look whether anybody differs; called once all is over and processed."""
        try:
            found = self._shell.run("scrub", codes=(EXIT_OK, EXIT_FAILED))["findings"]
        except OverdueError as error:
            self.hung.append(str(error))
            return
        self.done["scrub"] += 1
        self.wrong += [f"scrub: {one['user_id']}: {one['what']}, {one['why']}" for one in found]

    # --- a round ---------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            for number in count(1):
                self._round(number)
                if self._is_last.is_set():
                    break
        except OverdueError as error:
            self.hung.append(str(error))
        except Exception as error:  # noqa: BLE001 - told at the end of the run
            self.hung.append(f"the operator's acts broke off: {error!r}")
        finally:
            self._cohort = None
            self._sender.flush()
            self.is_over.set()

    def _round(self, number: int) -> None:
        self._cohort = cohort = Cohort(f"act{number}", self._sender, self._rng)
        cohort.begin()
        credited, claiming, revoked, *_ = cohort.users
        self._correct(cohort, "credit-day", credited, cohort.date(20))
        self._correct(cohort, "claim-key", claiming, cohort.key(claiming))
        self._correct(cohort, "revoke-day", revoked, cohort.date(2))
        self.wants_damage.set()
        while self.wants_damage.is_set():
            self._meanwhile()
            time.sleep(TICK_S)
        cohort.go_on()
        name = self._begin()
        found = self._compare(name)
        unseen = set(cohort.users) - {one["user_id"] for one in found["users"]}
        self.wrong += [f"{one} was damaged, and no rebuild finds it" for one in sorted(unseen)]
        self._carry_out("approve", name, "approved", "--digest", found["digest"])
        self._correct(cohort, "withdraw", revoked, cohort.request("revoke-day"))
        self._correct(cohort, "return-key", claiming, cohort.key(claiming))
        self._carry_out("rollback", name, "rolled_back")
        found = self._compare(name)
        back = {one["user_id"] for one in found["users"]} & set(cohort.users)
        self.done["rollback"] += bool(back)
        self._carry_out("approve", name, "approved", "--digest", found["digest"])
        self.done["approve"] += 1

    def _correct(self, cohort: Cohort, correction: str, user_id: str, about: str) -> None:
        """Ask for a correction under one id, until its effect is read back."""
        self._say(f"        act: {correction} {user_id} {about}")
        asked = ("--request-id", cohort.request(correction), "--wait", EFFECT_S)
        self._shell.run("adjust", correction, user_id, about, *asked, *WHY)
        self.done[correction] += 1

    def _begin(self) -> str:
        """Begin a rebuild, and kill it; returns its id."""
        known = self._rebuilds()
        words = ("rebuild", "start", "--processes", "1")
        self._say("        act: rebuild start, killed")

        def is_begun() -> bool:
            return bool(self._rebuilds() - known)

        def was_begun() -> bool:
            after_s = self._rng.uniform(0, KILL_S_MAX)
            self.done["killed"] += self._shell.kill(*words, begun=is_begun, after_s=after_s)
            return is_begun()

        self._shell.until(was_begun, words)
        return (self._rebuilds() - known).pop()

    def _compare(self, name: str) -> Any:
        """Go on with a rebuild; returns its diff."""
        self._say(f"        act: rebuild start --id {name}")
        return self._shell.run("rebuild", "start", "--id", name, "--processes", "1")["diff"]

    def _carry_out(self, act: str, name: str, state: str, *more: str) -> None:
        """Have users repaired or put back; the command is killed once, and given again."""
        words = ("rebuild", act, name, *more, *WHY)
        self._say(f"        act: rebuild {act} {name}")
        self.done["killed"] += self._shell.kill(
            *words,
            begun=lambda: self._state(name) == "repairing",
            after_s=self._rng.uniform(0, KILL_S_MAX),
        )

        def is_done() -> bool:
            return self._state(name) == state or self._shell.give(*words) == EXIT_OK

        self._shell.until(is_done, words)

    def _rebuilds(self) -> set[str]:
        return {one.parent.name for one in self._shell.folder.glob("rebuilds/*/*/rebuild.json")}

    def _state(self, name: str) -> str:
        (path,) = self._shell.folder.glob(f"rebuilds/*/{name}/rebuild.json")
        state: str = msgspec.json.decode(path.read_bytes())["state"]
        return state

    def _meanwhile(self) -> None:
        if self._cohort is not None:
            self._cohort.practise()
