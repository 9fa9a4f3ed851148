"""The simulator's command line.

Owns: options, what is printed where: progress and failures to stderr, traces to stdout, its last
line one JSON object.
Does not own: what a seed does (run.py), what a guard is (guards.py).
Invariant: exit code 0 only when no seed complained, and every fault of the catalogue had an effect
wherever there were seeds enough for it.
"""

import argparse
import json
import sys
import time
from collections import Counter
from typing import Final

from simulator.faults import CATALOGUE
from simulator.guards import GUARDS
from simulator.run import Run, Verdict

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
SEEDS_FOR_ALL_FAULTS: Final = 300
GUARD_SEEDS: Final = 40
HELP: Final = """\
Drive the real engine against a simulated Kafka and disk, in virtual time.

Each seed is a run of its own: one to five workers, two to five partitions, up to four faults from
the catalogue, thrown again and again for half a minute or until each had an effect; then everything
is repaired, and the outcome is compared with a model that knows only inputs and audit entries. The
seed decides every step, so a failing one replays exactly.

In some of the runs an operator is at work, too ("damage and rebuild"): some users' states are
adjusted, damaged, rebuilt by the product's own code and put back; "rebuild killed" kills the
rebuild's process at any of its steps, and another goes on.
"""
EXAMPLES: Final = """\
examples:
  python -m simulator                        a thousand seeds, about a minute of one core
  python -m simulator --first 5000 --seeds 20000
  python -m simulator --seed 77 --trace      one seed, step by step
  python -m simulator --guards               switch each guard of the engine off: who notices?
  python -m simulator --list                 the faults and the guards
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m simulator",
        description=HELP,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=1_000, help="how many (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default: 0)")
    parser.add_argument("--seed", type=int, help="just this one")
    parser.add_argument(
        "--faults", help="instead of the seed's own: names from --list, separated by commas"
    )
    parser.add_argument("--trace", action="store_true", help="print every step; with --seed")
    parser.add_argument("--guards", action="store_true", help="switch each guard off in turn")
    parser.add_argument("--list", action="store_true", help="list the faults and the guards")
    return parser


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def _replay(seed: int, faults: str | None) -> str:
    chosen = f" --faults '{faults}'" if faults else ""
    return f"python -m simulator --seed {seed}{chosen} --trace"


def _report(verdict: Verdict, faults: str | None) -> None:
    """Say what is wrong with a seed that failed, and how to replay it."""
    _say(
        f"seed {verdict.seed} failed: {verdict.slots} slots, {verdict.partitions} partitions,"
        f" {verdict.inputs} inputs, {verdict.ended_at_s} s;"
        f" faults: {', '.join(verdict.chosen) or 'none'}"
    )
    for complaint in verdict.complaints[:8]:
        _say(f"  {complaint}")
    _say(f"  replay: {_replay(verdict.seed, faults)}")


def _run_seeds(options: argparse.Namespace) -> int:
    first = options.first if options.seed is None else options.seed
    count = options.seeds if options.seed is None else 1
    chosen = tuple(options.faults.split(",")) if options.faults else None
    effects: Counter[str] = Counter()
    failed: list[int] = []
    inputs = 0
    started, started_cpu = time.monotonic(), time.process_time()
    for seed in range(first, first + count):
        verdict = Run(seed, keep_trace=options.trace, chosen=chosen).go()
        effects.update(verdict.effects)
        inputs += verdict.inputs
        for at_s, who, what in verdict.trace or ():
            print(f"{at_s:12.6f}  {who:12}  {what}")
        if verdict.complaints:
            failed.append(seed)
            _report(verdict, options.faults)
        done = seed - first + 1
        if done % 250 == 0 and done < count:
            _say(f"  {done} of {count} seeds, {len(failed)} failed")
    silent = [name for name in CATALOGUE if not effects[name]]
    is_whole = chosen is None and count >= SEEDS_FOR_ALL_FAULTS
    if silent and is_whole:
        _say(f"faults that never had an effect: {', '.join(silent)}")
    cpu_s = time.process_time() - started_cpu
    outcome = {
        "seeds": count,
        "first": first,
        "inputs": inputs,
        "seeds_per_minute": round(count / (time.monotonic() - started) * 60),
        "seeds_per_minute_of_one_core": round(count / cpu_s * 60),
        "faults": {name: effects[name] for name in CATALOGUE},
        "killed_at": {
            name.removeprefix("killed at "): effects[name]
            for name in sorted(effects)
            if name.startswith("killed at ")
        },
        "failures": failed,
    }
    print(json.dumps(outcome))
    return EXIT_FAILED if failed or (silent and is_whole) else EXIT_OK


def _run_guards() -> int:
    unnoticed = []
    for guard in GUARDS:
        verdict = guard.noticed(range(GUARD_SEEDS))
        if verdict is None:
            unnoticed.append(guard.name)
            _say(f"rule {guard.rule:2}  {guard.name}: NOT NOTICED in {GUARD_SEEDS} seeds")
        else:
            _say(f"rule {guard.rule:2}  {guard.name}: seed {verdict.seed}: {verdict.complaints[0]}")
    print(json.dumps({"guards": len(GUARDS), "unnoticed": unnoticed}))
    return EXIT_FAILED if unnoticed else EXIT_OK


def main() -> int:
    """Run what was asked for."""
    options = _parser().parse_args()
    if options.list:
        print("faults:")
        print("\n".join(f"  {name}" for name in CATALOGUE))
        print("guards:")
        print("\n".join(f"  rule {guard.rule:2}  {guard.name}" for guard in GUARDS))
        return EXIT_OK
    return _run_guards() if options.guards else _run_seeds(options)


if __name__ == "__main__":
    sys.exit(main())
