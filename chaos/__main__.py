"""The chaos run's command line.

Owns: options, the stack's and the workers' lives, what is printed where: progress to stderr, one
JSON object as the last line of stdout.
Does not own: what is run (run.py), which faults there are (schedule.py).
Invariant: exit code 0 only when nothing was lost, repeated, wrong or hung, every fault that was
chosen struck and every act had an effect; whatever ends the run, its processes end with it.
"""

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chaos.faults.fault import Fault, Scene
from chaos.fleet import Fleet
from chaos.ground import prepared
from chaos.run import Options, Result, Run
from chaos.schedule import CATALOGUE, chosen, impossible
from pipeline.clock import now_ms
from pipeline.errors import EXIT_FAILED, EXIT_OK, AwawayError, UsageError

ROOT = Path(".local")
EXIT_INTERRUPTED = 130
SHOWN_MAX = 10

DESCRIPTION = """\
Hurt real workers on a real broker in every way we know, one fault after the other in an order that
the seed decides, while producers go on. Beside the faults states are damaged, and an operator
corrects users and puts states right by rebuilds, which are killed on the way. Then judge what all
this left behind by an independent model.

It starts a Kafka, a registry, workers and a proxy of its own on loopback, in a folder of its own
below .local, and ends them all, also on Ctrl-C. Nothing outside is touched.
"""

EPILOG = """\
The last line of stdout is one JSON object:
  faults       how often each fault was seen to strike, by its effect
  acts         how often each act of the operator had an effect; a round takes two minutes and more
  lost         inputs, portals, dead letters or alerts that ought to be there and are not
  duplicated   those that are there too often
  wrong_state  verdicts, progress, order, audit chains, changelogs or local stores that are wrong
  hung         what did not end, or did not go on after it was healed, within its time

Exit codes: 0 all four are zero, every chosen fault struck and every act had an effect, 1 not so,
2 usage. A round of acts that is under way at the end is brought to its end without further faults.
The same seed brings the same faults in the same order; the moments at which they strike differ.

examples:
  make chaos                         five minutes, three workers, a seed of the day
  make chaos SEED=7 MINUTES=20       again with seed 7, for longer
  python -m chaos --all              each fault once
  python -m chaos --faults broker_hard,crash_in_write --keep
"""


def _say(what: str) -> None:
    print(f"  {what}", file=sys.stderr, flush=True)


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m chaos",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--seed", type=int, help="of faults, their order and the records; the clock's if not given")
    add("--minutes", type=_minutes, default=5.0, help="how long faults are begun (5)")
    add("--all", action="store_true", help="each fault once, however long it takes")
    add("--workers", type=_workers, default=3, help="worker processes, 1 to 5 (3)")
    add("--rate", type=_positive, default=100, help="completions a second (100)")
    add("--faults", default="", help="choose from these only, by name, with commas")
    add("--list", action="store_true", help="list the faults and leave")
    add("--keep", action="store_true", help="leave the folder with logs and data")
    return parser.parse_args(argv)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("1 and up")
    return number


def _workers(text: str) -> int:
    number = _positive(text)
    if number > 5:
        raise argparse.ArgumentTypeError("1 to 5")
    return number


def _minutes(text: str) -> float:
    minutes = float(text)
    if not 0 < minutes <= 24 * 60:
        raise argparse.ArgumentTypeError("above 0, a day at most")
    return minutes


def _choice(arguments: argparse.Namespace) -> list[type[Fault]]:
    faults = chosen([name for name in arguments.faults.split(",") if name])
    left_out = impossible(faults)
    for name, why in left_out.items():
        _say(f"not on this machine: {name}: {why}")
    possible = [fault for fault in faults if fault.name not in left_out]
    if not possible:
        raise UsageError("no fault is left to choose from")
    return possible


@contextmanager
def _scene(arguments: argparse.Namespace, seed: int, folder: Path) -> Iterator[Scene]:
    """Servers, topics and a proxy; the workers are not started yet."""
    _say("starting Kafka and the registry")
    with prepared(folder) as ground:
        ledger = ground.ledger("chaos.")
        fleet = Fleet(ledger, arguments.workers, ground.proxy.address, _say)
        try:
            yield Scene(
                ground.stack, ledger, fleet, ground.proxy, random.Random(seed), ledger.folder
            )
        finally:
            ledger.close()


def _print(result: Result) -> None:
    found = result.findings
    for what, lines in (
        ("lost", found.lost),
        ("duplicated", found.duplicated),
        ("wrong state", found.wrong_state),
        ("hung", result.hung),
        ("never had an effect", result.in_vain),
    ):
        for line in lines[:SHOWN_MAX]:
            _say(f"{what}: {line}")
        if len(lines) > SHOWN_MAX:
            _say(f"{what}: and {len(lines) - SHOWN_MAX} more")
    print(json.dumps(result.as_dict()), flush=True)


def main(argv: list[str]) -> int:
    """Run it.

    Args:
        argv: the arguments, without the program's name.

    Returns:
        The exit code: 0 all is well, 1 not so, 2 usage.
    """
    arguments = _arguments(argv)
    if arguments.list:
        for name, fault in CATALOGUE.items():
            print(f"{name:24} {(fault.__doc__ or '').splitlines()[0]}")
        return EXIT_OK
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    seed = arguments.seed if arguments.seed is not None else now_ms() % 100_000
    ROOT.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="chaos-", dir=ROOT)).resolve()
    keep = True
    try:
        faults = _choice(arguments)
        _say(f"seed {seed}, {len(faults)} faults to choose from, {arguments.workers} workers")
        seconds = 0.0 if arguments.all else arguments.minutes * 60
        options = Options(seed, seconds, arguments.rate, faults)
        with _scene(arguments, seed, folder) as scene:
            result = Run(scene, options, _say).run()
    except AwawayError as error:
        print(f"{error}\n{error.fix}".strip(), file=sys.stderr)
        keep = arguments.keep
        return error.exit_code
    except KeyboardInterrupt:
        keep = arguments.keep
        return EXIT_INTERRUPTED
    else:
        keep = arguments.keep or not result.is_good
        _print(result)
        return EXIT_OK if result.is_good else EXIT_FAILED
    finally:
        if keep:
            _say(f"kept {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
