"""The mutation run's command line.

Owns: options, what is printed where: progress and survivors to stderr, its last line one JSON
object.
Does not own: what is tried and how it counts (harvest.py), what is marked in the source
(markers.py).
Invariant: exit code 0 only when the source as it is passes, every guard was noticed, and every
mutant was killed or is argued.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mutants.harvest import Harvest, say
from mutants.markers import MarkerError
from mutants.targets import LeftOutError, Target, targets_in

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
ROOT: Final = Path(__file__).resolve().parent.parent


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mutants",
        description="Sow small faults into the engine and the rules, one at a time: who notices?",
    )
    parser.add_argument("only", nargs="*", help="modules, as machine or core.dedupe; default all")
    parser.add_argument("--sample", type=int, help="try so many at most, drawn by --seed")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: 0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="trials at once")
    parser.add_argument("--afresh", action="store_true", help="forget what earlier runs found")
    parser.add_argument("--list", action="store_true", help="list the mutants, try none")
    return parser


def chosen(targets: Sequence[Target], only: Sequence[str]) -> list[Target]:
    """The targets whose names end in one of the words; all without words."""
    return [
        target
        for target in targets
        if not only or any(f".{target.module}".endswith(f".{word}") for word in only)
    ]


def engine_guards() -> tuple[int, list[str]]:
    """How many guards the simulator switches off, and those that no seed misses then.

    Raises:
        RuntimeError: it did not get through; what it said is on stderr.
    """
    say("switching the engine's guards off")
    done = subprocess.run(
        [sys.executable, "-m", "simulator", "--guards"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if not done.stdout:
        raise RuntimeError("the simulator did not get through its guards (simulator/guards.py)")
    said = json.loads(done.stdout.splitlines()[-1])
    return said["guards"], said["unnoticed"]


def tell(run: Harvest, wrong: str | None, started: float, engine: tuple[int, list[str]]) -> int:
    """Print what came out, survivors first; returns the exit code.

    Args:
        run: that is over.
        wrong: with the source as it is.
        started: monotonic seconds.
        engine: the simulator's guards: how many, and which nobody missed.
    """
    if wrong is not None:
        say(f"the source as it is does not pass: {wrong}")
    for mutant in sorted(run.survivors, key=lambda each: (each.module, each.line)):
        say(f"survived: {mutant.described()}")
    unnoticed = [*engine[1], *(guard.described() for guard in run.unnoticed)]
    for guard in unnoticed:
        say(f"a guard that nobody misses: {guard}")
    outcome = {
        "mutants": len(run.work),
        "killed": sum(run.killed.values()),
        "argued": len(run.argued),
        "survived": len(run.survivors),
        "guards": engine[0] + len(run.guards),
        "guards_unnoticed": len(unnoticed),
        "killed_by": dict(run.killed.most_common()),
        "seconds": round(time.monotonic() - started),
    }
    print(json.dumps(outcome))
    return EXIT_OK if wrong is None and not (run.survivors or unnoticed) else EXIT_FAILED


def main() -> int:
    """Run what was asked for."""
    options = _parser().parse_args()
    started = time.monotonic()
    try:
        every = targets_in(ROOT)
        targets = chosen(every, options.only)
        run = Harvest(ROOT, targets, every)
    except (LeftOutError, MarkerError) as error:
        say(str(error))
        return EXIT_FAILED
    if not targets:
        say(f"no such module: {' '.join(options.only)}")
        return EXIT_FAILED
    if options.sample is not None:
        run.sample(options.sample, options.seed)
    if options.list:
        for mutant, _ in run.work:
            print(mutant.described())
        return EXIT_OK
    if options.afresh:
        run.forget()
    is_whole = not options.only and options.sample is None
    engine = engine_guards() if is_whole else (0, [])
    return tell(run, run.run(options.jobs), started, engine)


if __name__ == "__main__":
    sys.exit(main())
