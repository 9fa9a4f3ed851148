"""What is mutated, and who has to notice.

Owns: the modules, and for each the tests and seeds, the likeliest to notice first.
Does not own: how a trial goes (trial.py), the named guards (guards.py).
Invariant: no test here needs a server.

The thin adapters of the engine are not mutated, because only tests with real clients can notice:
kafka.py, kafka_config.py, kafka_consumers.py, kafka_producer.py, bounded_call.py (tests/contract on
the real broker, tests/integration), rocks.py (tests/engine/test_rocks.py, tests/integration),
transport.py, thread.py, tables.py, faust_app.py, garbage.py (tests/integration). errors.py,
observer.py and ports.py decide nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Tests:
    """Tests, by their paths; of a property as many examples as are quick."""

    paths: tuple[str, ...]
    cpu_s_max: float = 60.0


@dataclass(frozen=True, slots=True)
class Seeds:
    """Seeds of the simulator, with the faults that each has chosen for itself."""

    seeds: range
    cpu_s_max: float = 30.0


@dataclass(frozen=True, slots=True)
class GuardSeeds:
    """Seeds with the faults that bring the lack of a guard to light, a few for each guard."""

    seeds: range
    cpu_s_max: float = 60.0


Judge = Tests | Seeds | GuardSeeds


@dataclass(frozen=True, slots=True)
class Target:
    """A module and its judges.

    Attributes:
        module: dotted name.
        judges: who is asked whether something is wrong, one after the other until one says so.
    """

    module: str
    judges: tuple[Judge, ...]


_ENGINE: Final = (
    "machine",
    "takeover",
    "last_end",
    "ownership",
    "restore",
    "standby",
    "replay",
    "rewrite",
    "store",
    "packed",
    "batch",
    "marker",
    "marking",
    "agreement",
    "recorded",
    "changelog_watch",
    "opening",
    "stall",
    "pace",
    "engine_config",
    "tablespec",
)
_SEEDS: Final = Seeds(range(40))
_GUARD_SEEDS: Final = GuardSeeds(range(1))
_ENGINE_TESTS: Final = Tests(("tests/engine", "tests/simulator/test_unseen_guards.py"))

_CORE: Final = (
    "portals",
    "dedupe",
    "streak",
    "runs",
    "traces",
    "keys",
    "sets",
    "settling",
    "bridging",
)
_CORE_TESTS: Final = Tests(("tests/core", "tests/oracle"))


TARGETS: Final = (
    *(Target(f"pipeline.engine.{name}", (_ENGINE_TESTS, _SEEDS, _GUARD_SEEDS)) for name in _ENGINE),
    *(Target(f"pipeline.core.{name}", (_CORE_TESTS,)) for name in _CORE),
)
"""Every module that is mutated."""


def all_judges(targets: Iterable[Target]) -> Target:
    """Each judge of these targets but tests, once: the tests were run when they were surveyed."""
    judges = dict.fromkeys(judge for target in targets for judge in target.judges)
    return Target("as it is", tuple(judge for judge in judges if not isinstance(judge, Tests)))
