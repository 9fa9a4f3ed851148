"""The guards of corrections and rebuilds, each of which can be switched off.

Owns: a name for each guard, how it is switched off, and the faults that bring its lack to light.
Does not own: the guards themselves (pipeline/core/, pipeline/rebuild/), those of the engine
(guards.py), how a lack is looked for (guard.py).
Invariant: as in guard.py.

Guards that are a line in the middle of a function are switched off by a wrapper that undoes what
they do. Three are not here: that a repair which was refused for another reason than `state_changed`
is not sent again (tests/rebuild/test_sending_repairs.py), and two that take more bad luck than
seeds have: that portals are waited for up to the cut, and that all covers of a repaired window are
written anew.
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from pipeline.core import fold_command
from pipeline.core.repair import Repair
from pipeline.core.state import UserState
from pipeline.rebuild import repairs
from pipeline.rebuild.compare import Comparison, UserDifference
from pipeline.rebuild.live import _Table
from pipeline.rebuild.repairs import Replaced
from pipeline.rebuild.replay import Folds
from simulator.faults import OPERATED
from simulator.guard import Guard, Switch, nothing, without
from simulator.process import Killed
from simulator.rebuild import SimCorrections, SimUndo

STORM_S: Final = (40.0, 150.0)


def _any_state(field: str) -> Switch:
    """Have a repair apply to a state of which it does not name this."""
    original = fold_command._examine_repair

    def examine(state: UserState, command: Any, repair: Repair | None, dates: Any) -> Any:
        if repair is not None:
            repair = replace(repair, **{field: getattr(state, field)})
        return original(state, command, repair, dates)

    return without(fold_command, "_examine_repair", examine)


def _as_derived(_: Comparison, __: bytes, derived: UserState) -> UserState:
    return derived


def _folded_again(self: Folds, state: UserState, event: Any, *given: Any) -> Any:
    outcome = self.outcomes[given[1].offset] = fold_command.fold_repair(state, event, *given)
    return outcome


def _newest_of_each() -> AbstractContextManager[None]:
    original = _Table.take_until

    def take_until(self: _Table, _: int) -> Any:
        return original(self, self.newest.sequence)

    return without(_Table, "take_until", take_until)()


@contextmanager
def _undo_afterwards() -> Iterator[None]:
    """Write what repairs replace down once they have had their effect."""
    late: list[tuple[SimUndo, list[UserDifference]]] = []
    add, sent = SimUndo.add, repairs._sent

    def note(self: SimUndo, differences: Iterable[UserDifference]) -> None:
        late.append((self, list(differences)))

    def send(*given: Any) -> Any:
        try:
            effects = sent(*given)
            for undo, differences in late:
                add(undo, differences)
        finally:
            late.clear()
        return effects

    with without(SimUndo, "add", note)(), without(repairs, "_sent", send)():
        yield


def _half_a_line_stays() -> AbstractContextManager[None]:
    def add(self: SimUndo, differences: Iterable[UserDifference]) -> None:
        with self._path.open("ab") as file:
            for one in differences:
                line = one.user_id, Replaced(one.live.sets, one.repair.state.sets)
                file.write(msgspec.json.encode(line) + b"\n")
        try:
            self._tool.at("after the undo", danger=5)
        except Killed:
            self._tear()
            raise

    return without(SimUndo, "add", add)()


def _just_before(replaced: Replaced, live: UserState) -> UserState:
    return replace(live, sets=replace(replaced.before, unlocked=live.sets.unlocked))


def _guard(name: str, off: Switch, *faults: str) -> Guard:
    return Guard(name, 0, off, (OPERATED, *faults), STORM_S)


GUARDS_OF_REBUILDS: Final = (
    _guard("a repair applies to the revision that it names", _any_state("revision")),
    _guard("a repair applies to the digest that it names", _any_state("digest")),
    _guard(
        "portals that were published count as unlocked",
        without(Comparison, "_as_published", _as_derived),
    ),
    _guard("a replay passes repairs over", without(Folds, "repair", _folded_again)),
    _guard("both changelogs are read up to one cut", _newest_of_each, "killed"),
    _guard(
        "a changelog without a checkpoint is not taken for an empty one",
        without(_Table, "lost_it", lambda table: table.source.is_at_end()),
        "changelog recreated in use",
    ),
    _guard("the undo is written before a repair is sent", _undo_afterwards, "rebuild killed"),
    _guard("half a line of an undo is cut off", _half_a_line_stays, "rebuild killed"),
    _guard(
        "a rollback waits until what was sent before is audited",
        without(SimCorrections, "begin_step", nothing),
        "rebuild killed",
        "slow agent",
    ),
    _guard("a rollback leaves what came since", without(repairs, "put_back", _just_before)),
)
"""Each is noticed by a seed among the first few, with its faults."""
