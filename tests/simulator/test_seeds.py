"""Seeds that have to pass, and that a seed is the same run every time."""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from simulator.run import Run

ROOT = Path(__file__).resolve().parents[2]
SEEDS = 120


def test_seeds_pass_and_their_faults_had_effects() -> None:
    effects: Counter[str] = Counter()
    chosen: set[str] = set()
    for seed in range(SEEDS):
        verdict = Run(seed).go()
        assert not verdict.complaints, f"python -m simulator --seed {seed} --trace"
        assert verdict.inputs > 30
        effects.update(verdict.effects)
        chosen.update(verdict.chosen)
        assert all(verdict.effects[name] for name in verdict.chosen)
    assert len(chosen) > 25
    assert effects["killed"] > 50


@pytest.mark.parametrize("copies", ["late copy of a request", "done too late"])
def test_requests_that_arrive_late_do_no_harm(copies: str) -> None:
    for seed in range(12):
        verdict = Run(seed, chosen=(copies, "slow agent")).go()
        assert not verdict.complaints, f"--seed {seed} --faults '{copies},slow agent'"


def test_a_changelog_recreated_under_restarts() -> None:
    for seed in range(6):
        chosen = ("changelog recreated", "agent fails", "frozen past the session")
        verdict = Run(seed, chosen=chosen).go()
        assert not verdict.complaints, f"--seed {seed} --faults '{','.join(chosen)}'"


def test_a_seed_replays_exactly_in_another_process() -> None:
    script = (
        "import hashlib, sys; from simulator.run import Run; v = Run(7, keep_trace=True).go();"
        "print(hashlib.sha256(repr(v.trace).encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("1", "2")
    }
    here = Run(7, keep_trace=True).go()
    assert here.trace
    assert digests == {hashlib.sha256(repr(here.trace).encode()).hexdigest()}
    other = Run(8, keep_trace=True).go()
    assert other.trace != here.trace


def test_the_command_line_says_how_to_replay_a_failure() -> None:
    command = [sys.executable, "-m", "simulator", "--seeds", "3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    outcome = json.loads(done.stdout.splitlines()[-1])
    assert outcome["seeds"] == 3
    assert outcome["failures"] == []
    broken = (
        "import sys; from simulator.__main__ import main; from simulator.guards import GUARDS;"
        "sys.argv[1:] = ['--seeds', '3', '--faults', 'input aborted'];"
        "guard = next(g for g in GUARDS if g.name == 'inputs are read committed');\n"
        "with guard.off(): sys.exit(main())"
    )
    failed = subprocess.run(
        [sys.executable, "-c", broken], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert failed.returncode == 1
    seed = json.loads(failed.stdout.splitlines()[-1])["failures"][0]
    assert f"--seed {seed} --faults 'input aborted' --trace" in failed.stderr
