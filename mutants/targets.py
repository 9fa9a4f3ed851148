"""What is mutated, and who has to notice.

Owns: the rooms of the pipeline that are judged, and for each the tests and seeds, the likeliest to
notice first.
Does not own: how a trial goes (trial.py), which mutants are guards (markers.py).
Invariants: no test here needs a server; a name that is left out is there.

The thin adapters of the engine are left out, because only tests with real clients can notice: those
of Kafka (tests/contract on the real broker, tests/integration), of RocksDB (tests/engine,
tests/integration), of Faust and its threads (tests/integration). Others decide nothing. Of a module
that is left out the guards alone are tried.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mutants.markers import markers_of


@dataclass(frozen=True, slots=True)
class Tests:
    """Tests, by their paths; of a property as many examples as are quick."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Seeds:
    """Seeds of the simulator, with the faults that each has chosen for itself."""

    seeds: range


@dataclass(frozen=True, slots=True)
class GuardSeeds:
    """Seeds with the faults that bring the lack of a guard to light, a few for each guard."""

    seeds: range


Judge = Tests | Seeds | GuardSeeds


@dataclass(frozen=True, slots=True)
class Target:
    """A module and its judges.

    Attributes:
        module: dotted name.
        judges: who is asked whether something is wrong, one after the other until one says so.
        is_whole: whether all its mutants are tried, or its guards alone.
    """

    module: str
    judges: tuple[Judge, ...]
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Room:
    """Modules below a folder, which have the same judges.

    Attributes:
        name: dotted.
        judges: of all its modules.
        left_out: modules and folders in it that are not mutated, by their last names; the room's
            own name for all.
    """

    name: str
    judges: tuple[Judge, ...]
    left_out: tuple[str, ...]


class LeftOutError(Exception):
    """Nothing in a room has a name that is left out of it.

    Operator action: give the module's new name in mutants/targets.py, or take it away there.
    """


_ENGINE_LEFT_OUT: Final = (
    *("kafka", "faust", "rocks"),
    *("errors", "observer", "ports"),
)
_CORE_LEFT_OUT: Final = (
    *("assets", "audit", "calendar", "commands", "completion", "errors", "fold", "fold_command"),
    *(
        "identity",
        "outcome",
        "policy",
        "progress",
        "reading",
        "records",
        "rejection",
        "rulebook",
        "state",
    ),
    *("texts", "zones", "geometry"),
)
_ENGINE_JUDGES: Final = (
    Tests(
        ("tests/engine", "tests/simulator/test_unseen_guards.py", "tests/worker/test_scrubbing.py")
    ),
    Seeds(range(40)),
    GuardSeeds(range(1)),
)
ROOMS: Final = (
    Room("pipeline.engine", _ENGINE_JUDGES, _ENGINE_LEFT_OUT),
    Room("pipeline.core", (Tests(("tests/core", "tests/oracle")),), _CORE_LEFT_OUT),
    Room("pipeline.codec", (Tests(("tests/codec/test_inputs.py",)),), ("codec",)),
)


def targets_in(root: Path, rooms: Sequence[Room] = ROOMS) -> list[Target]:
    """Every module of the rooms that is mutated whole or has a guard.

    Raises:
        LeftOutError: see there.
        MarkerError: see there.
    """
    found = []
    for room in rooms:
        gone = set(room.left_out)
        for path in sorted((root / room.name.replace(".", "/")).rglob("*.py")):
            module = ".".join(path.relative_to(root).with_suffix("").parts)
            names = module.removeprefix(room.name.rpartition(".")[0]).split(".")
            gone.difference_update(names)
            is_whole = path.stem != "__init__" and not {*room.left_out} & {*names}
            guards = [each for each in markers_of(module, path.read_text()) if each.kind == "guard"]
            if is_whole or guards:
                found.append(Target(module, room.judges, is_whole))
        if gone:
            raise LeftOutError(f"{room.name}: nothing there is called {', '.join(sorted(gone))}")
    return found


def all_judges(targets: Iterable[Target]) -> Target:
    """Each judge of these targets but tests, once: the tests were run when they were surveyed."""
    judges = dict.fromkeys(judge for target in targets for judge in target.judges)
    return Target("as it is", tuple(judge for judge in judges if not isinstance(judge, Tests)))
