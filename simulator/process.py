"""A worker's process, as the operating system sees it: running, frozen or dead.

Owns: death and freezing, at every step and call.
Does not own: what the process does (worker.py), its disk (disk.py).
Invariant: once dead, whatever of it is still on a stack can do nothing more: each of its calls ends
it again.
"""

from collections.abc import Callable
from typing import Final

from simulator.faults import Dice
from simulator.world import World

SESSION_S: Final = 10.0
"""Session time-out of a member, in seconds."""

BRIEF_S: Final = (0.5, 7.0)
"""Shortest and longest seconds of a freeze within the session."""

LONG_S: Final = (11.0, 25.0)
"""Shortest and longest seconds of a freeze past the session."""


class Killed(BaseException):
    """The process was killed."""


class Process:
    """A process of one worker.

    Attributes:
        name: unlike any other's.
        slot: that it works under.
        is_dead: whether it was killed, or has ended.
        cut_off_until: time until which nothing reaches the broker from it, nor back.
        frozen_until: time until which it does nothing.
    """

    def __init__(self, world: World, dice: Dice, name: str, slot: str) -> None:
        self.world = world
        self.dice = dice
        self.name = name
        self.slot = slot
        self.is_dead = False
        self.cut_off_until = 0.0
        self.frozen_until = 0.0
        self.at_death: list[Callable[[], None]] = []

    @property
    def is_silent(self) -> bool:
        """Whether the broker hears nothing of it now."""
        now = self.world.now
        return self.is_dead or now < self.frozen_until or now < self.cut_off_until

    def at(self, step: str) -> None:
        """Take a step, at which a fault may strike.

        Raises:
            Killed: it did.
        """
        if self.is_dead:
            raise Killed
        world = self.world
        world.tell(self.name, step)
        fault = self.dice.at_step()
        if fault == "killed":
            world.effects[f"killed at {step}"] += 1
            self.kill()
            raise Killed
        if fault:
            self.freeze(world.between(*(BRIEF_S if fault == "frozen briefly" else LONG_S)))
            self.rest(0.0)

    def freeze(self, seconds: float) -> None:
        """Stop for some seconds, then go on without noticing."""
        self.world.tell(self.name, f"frozen for {seconds:.1f} s")
        if seconds < SESSION_S:
            self.world.effects["frozen briefly"] += 1
        self.frozen_until = max(self.frozen_until, self.world.now + seconds)

    def rest(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            Killed: it was, meanwhile.
        """
        self.world.sleep(seconds)
        while not self.is_dead and self.world.now < self.frozen_until:
            self.world.sleep(self.frozen_until - self.world.now)
        if self.is_dead:
            raise Killed

    def kill(self) -> None:
        """End it at once."""
        if self.is_dead:
            return
        self.world.tell(self.name, "killed")
        self.world.effects["killed"] += 1
        self.end()

    def end(self) -> None:
        """End the process; its locks are released."""
        self.is_dead = True
        for call in self.at_death:
            call()
