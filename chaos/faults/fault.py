"""What a fault is, and what it may lay hands on.

Owns: the base class and the scene.
Does not own: the faults themselves, their order (schedule.py).
Invariant: a fault has struck when its effect was seen in logs, exit codes or topics, never because
it was injected.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final

from chaos.fleet import Fleet, Worker
from chaos.ledger import Ledger
from chaos.proxy import Proxy
from pipeline.dev.local.stack import LocalStack
from pipeline.dev.oracle.events import Coordinates

SESSION_S: Final = 6.0
TRANSACTION_S: Final = 5.0
EFFECT_S: Final = 120.0
"""A worker starts, restores and folds within this on a busy machine; it costs nothing else."""


@dataclass
class Scene:
    """Everything of one run.

    Attributes:
        verdicts: by coordinates, what the audit says at the end of the run; empty until then.
    """

    stack: LocalStack
    ledger: Ledger
    fleet: Fleet
    proxy: Proxy
    rng: random.Random
    folder: Path
    verdicts: dict[Coordinates, str] = field(default_factory=dict)

    def wait_for(self, met: Callable[[], bool], what: str, deadline_s: float = EFFECT_S) -> None:
        """Tend the fleet until a condition holds; OverdueError when it does not in time."""
        self.fleet.wait_for(met, what, deadline_s)

    def any_slot(self) -> int:
        """One of the usual slots, by chance."""
        return self.rng.randrange(self.fleet.slots)


class Fault(ABC):
    """One fault, injected and healed once.

    Attributes:
        name: as it is counted.
    """

    name: ClassVar[str]

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    @classmethod
    def impossible(cls) -> str:
        """Why this machine cannot have the fault; empty when it can."""
        return ""

    @abstractmethod
    def inject(self) -> None:
        """Do it, and return when it has had its effect.

        Raises:
            OverdueError: there was no effect.
        """

    @abstractmethod
    def heal(self) -> None:
        """Undo it, whatever became of `inject`: afterwards every usual slot runs again."""

    @abstractmethod
    def fired(self) -> bool:
        """Whether its effect was seen; asked after the run."""


class SlotFault(Fault):
    """A fault of one worker, which is held meanwhile.

    Attributes:
        slot: whose.
    """

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene)
        self.slot = scene.any_slot()

    def heal(self) -> None:
        self.scene.fleet.release(self.slot)

    def replaced(self, plan: dict[str, object], **settings: str) -> Worker:
        """A worker with something planted, in the place of the slot's own."""
        fleet = self.scene.fleet
        fleet.hold(self.slot)
        if self.scene.rng.random() < 0.5:
            fleet.kill(self.slot)
        else:
            fleet.stop(self.slot)
        return fleet.start(self.slot, plan, **settings)

    def await_end(self, worker: Worker) -> int:
        """Wait until a worker has ended; returns its exit code."""
        self.scene.wait_for(
            lambda: worker.process.poll() is not None, f"the end of {self.name}'s worker"
        )
        return worker.process.returncode
