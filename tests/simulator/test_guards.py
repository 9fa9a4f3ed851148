"""Each guard of the engine is missed when it is off."""

import pytest

from simulator.guard import Guard
from simulator.guards import GUARDS, UNSEEN
from simulator.run import Run
from tests.simulator.test_seeds import ROOT

SEEDS = range(40)
LATE = {
    "half a line of an undo is cut off",
    "a rollback waits until what was sent before is audited",
    "the undo is written before a repair is sent",
}
"""Guards whose lack shows after many seeds only."""

CASES = [
    pytest.param(guard, id=guard.name, marks=[pytest.mark.verify] if guard.name in LATE else [])
    for guard in GUARDS
]


@pytest.mark.parametrize("guard", CASES)
def test_a_guard_that_is_off_is_noticed(guard: Guard) -> None:
    verdict = guard.noticed(SEEDS)
    assert verdict is not None
    healthy = Run(verdict.seed, chosen=guard.faults, storm_s=guard.storm_s).go()
    assert not [said for said in healthy.complaints if not said.startswith("G:")]


def test_what_no_seed_can_show_names_a_test_that_does() -> None:
    assert UNSEEN
    assert {path for path in UNSEEN.values() if not (ROOT / path).exists()} == set()
