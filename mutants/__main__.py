"""The mutation run's command line.

Owns: options, what is printed where: progress and survivors to stderr, its last line one JSON
object.
Does not own: what is tried and how it counts (harvest.py), arguments (argued.py).
Invariant: exit code 0 only when the source as it is passes, every mutant was noticed or is argued,
and every argument is about one.
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

from mutants.argued import read
from mutants.guards import switched_off
from mutants.harvest import Harvest
from mutants.targets import TARGETS, Target

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
ROOT: Final = Path(__file__).resolve().parent.parent
ARGUED: Final = ROOT / "mutants" / "argued.yaml"


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


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def chosen(targets: Sequence[Target], only: Sequence[str]) -> list[Target]:
    """The targets whose names end in one of the words; all without words."""
    return [
        target
        for target in targets
        if not only or any(f".{target.module}".endswith(f".{word}") for word in only)
    ]


def engine_guards() -> list[str]:
    """Guards of the engine that no seed misses when they are off (simulator/guards.py)."""
    _say("switching the engine's guards off")
    done = subprocess.run(
        [sys.executable, "-m", "simulator", "--guards"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    unnoticed: list[str] = json.loads(done.stdout.splitlines()[-1])["unnoticed"]
    return unnoticed


def tell(run: Harvest, wrong: str | None, started: float, unnoticed: list[str]) -> int:
    """Print what came out, survivors first; returns the exit code.

    Args:
        run: that is over.
        wrong: with the source as it is.
        started: monotonic seconds.
        unnoticed: guards of the engine.
    """
    if wrong is not None:
        _say(f"the source as it is does not pass: {wrong}")
    for argument in run.rotten:
        _say(f"an argument about no mutant: {argument.module}: {argument.was}")
    for name in unnoticed:
        _say(f"a guard of the engine that nobody misses: {name}")
    for mutant in sorted(run.survivors, key=lambda each: (each.module, each.line)):
        _say(f"survived: {mutant.told()}")
    outcome = {
        "mutants": len(run.work),
        "noticed": sum(run.noticed.values()),
        "argued": len(run.argued),
        "survived": len(run.survivors),
        "guards_unnoticed": len(unnoticed),
        "arguments_about_nothing": len(run.rotten),
        "noticed_by": dict(run.noticed.most_common()),
        "seconds": round(time.monotonic() - started),
    }
    print(json.dumps(outcome))
    is_clean = wrong is None and not (run.survivors or run.rotten or unnoticed)
    return EXIT_OK if is_clean else EXIT_FAILED


def main() -> int:
    """Run what was asked for."""
    options = _parser().parse_args()
    started = time.monotonic()
    targets = chosen(TARGETS, options.only)
    if not targets:
        _say(f"no such module: {' '.join(options.only)}")
        return EXIT_FAILED
    is_whole = not options.only
    modules = {target.module for target in targets}
    arguments = [each for each in read(ARGUED) if is_whole or each.module in modules]
    run = Harvest(ROOT, targets, arguments, switched_off(ROOT) if is_whole else [])
    if options.sample is not None:
        run.sample(options.sample, options.seed)
    if options.list:
        for mutant, _ in run.work:
            print(mutant.told())
        return EXIT_OK
    if options.afresh:
        run.forget()
    unnoticed = engine_guards() if is_whole and options.sample is None else []
    return tell(run, run.run(options.jobs), started, unnoticed)


if __name__ == "__main__":
    sys.exit(main())
