"""Seeds with damage and rebuilds, whatever else goes wrong meanwhile."""

from collections import Counter

import pytest

from simulator.faults import OPERATED
from simulator.run import Run

BESIDE = (
    ("rebuild killed",),
    ("rebuild killed", "killed", "killed during a write"),
    ("changelog compacted", "disk lost"),
    ("broker killed",),
    ("slow agent", "input aborted"),
)


@pytest.mark.parametrize("beside", BESIDE, ids=", ".join)
def test_people_end_as_the_log_says_or_were_damaged_since(beside: tuple[str, ...]) -> None:
    effects: Counter[str] = Counter()
    for seed in range(4):
        chosen = (OPERATED, *beside)
        verdict = Run(seed, chosen=chosen).go()
        assert not verdict.complaints, f"--seed {seed} --faults '{','.join(chosen)}'"
        effects.update(verdict.effects)
    assert effects[OPERATED] >= 4
    assert effects["repaired"] > 0


def test_rebuilds_are_rolled_back_and_killed_at_many_of_their_steps() -> None:
    effects: Counter[str] = Counter()
    for seed in range(20, 32):
        verdict = Run(seed, chosen=(OPERATED, "rebuild killed")).go()
        assert not verdict.complaints, f"--seed {seed} --faults '{OPERATED},rebuild killed'"
        effects.update(verdict.effects)
    assert effects["rolled back"] > 0
    killed_at = [name for name in effects if name.endswith(", in a rebuild")]
    assert len(killed_at) > 3
