"""The benchmark's command line.

Owns: options, the stack's life, what is printed where: progress to stderr, the report to stdout,
its last line one JSON object.
Does not own: what is run (suite.py).
Invariant: exit code 0 only when everything that was asked for was measured and right.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.ground import Ground
from bench.report import delay_lines, json_line, table
from bench.suite import PEERS, Found, Options, Suite
from pipeline.clock import now_ms
from pipeline.dev.local.stack import LocalStack
from pipeline.dev.workload.steady import EVENTS_PER_USER_MAX, Steady
from pipeline.errors import EXIT_OK, AwawayError, UsageError

ROOT = Path(".local")
SHORT_NAMES = {
    "raw": "raw_loop",
    "raw-stdlib": "raw_loop_stdlib",
    "faust": "faust_naive",
    "collapsed": "ours_collapsed",
    "two": "ours_two_workers",
    "latency": "latency",
}


def _say(what: str) -> None:
    print(f"  {what}", file=sys.stderr, flush=True)


class _StackProgress:
    """Says each thing that the stack does once, not each second of waiting for it."""

    def __init__(self) -> None:
        self._said = ""

    def __call__(
        self,
        message: str,
        done: int | None = None,  # noqa: ARG002 - part of the stack's protocol
        total: int | None = None,  # noqa: ARG002
    ) -> None:
        what = message.partition(" (")[0]
        if what != self._said:
            self._said = what
            _say(what)


def _chosen(only: str) -> frozenset[str]:
    everything = {*PEERS, "latency"}
    if not only:
        return frozenset(everything)
    names = {SHORT_NAMES.get(name, name) for name in only.split(",")}
    if unknown := names - everything:
        raise UsageError(f"{', '.join(sorted(unknown))}: not one of {sorted(everything)}")
    return frozenset(names)


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Compare the pipeline with its peers on the same data and one local broker.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--events", type=_positive, default=400_000, help="completions in the input")
    add("--users", type=_positive, help="users in it; a tenth of --events if not given")
    add("--faust-events", type=_positive, default=20_000, help="the naive Faust app's part")
    add("--latency-seconds", type=int, default=30, help="how long to count delays; 0: not")
    add("--latency-rate", type=_positive, default=1_000, help="events a second for that")
    add("--rounds", type=_positive, default=1, help="runs of each peer; the median counts")
    add("--seed", type=int, default=108, help="of the data")
    add(
        "--only",
        default="",
        help="some of raw,raw-stdlib,ours,collapsed,two,faust,latency; all if not given",
    )
    add("--profile", action="store_true", help="sample the worker in one more run")
    add("--bootstrap-servers", help="a running Kafka, instead of one of the run's own")
    add("--registry-url", help="a running registry, with that")
    add("--keep", action="store_true", help="leave the folder with logs and data")
    return parser.parse_args(argv)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError("1 and up")
    return number


def _options(arguments: argparse.Namespace) -> Options:
    chosen = _chosen(arguments.only)
    users = arguments.users or max(1, arguments.events // 10)
    if arguments.events > users * EVENTS_PER_USER_MAX:
        raise UsageError(f"at most {EVENTS_PER_USER_MAX} events a user, or sessions grow too short")
    return Options(
        steady=Steady(arguments.events, users, now_ms(), seed=arguments.seed),
        faust_events=arguments.faust_events,
        peers=chosen - {"latency"},
        rounds=arguments.rounds,
        latency_seconds=arguments.latency_seconds if "latency" in chosen else 0,
        latency_events_per_s=arguments.latency_rate,
        profile=arguments.profile,
    )


@contextmanager
def _ground(arguments: argparse.Namespace, folder: Path) -> Iterator[Ground]:
    given = arguments.bootstrap_servers, arguments.registry_url
    if any(given):
        if not all(given):
            raise UsageError("--bootstrap-servers and --registry-url go together")
        yield Ground(*given, folder)
        return
    stack = LocalStack(folder / "stack")
    stack.up(_StackProgress(), detach=False)
    with stack:
        yield Ground(stack.bootstrap_servers, stack.registry_url, folder)


def main(argv: list[str]) -> int:
    """Run the benchmark.

    Args:
        argv: the arguments, without the program's name.

    Returns:
        The exit code: 0 measured and right, 1 failed, 2 usage.
    """
    arguments = _arguments(argv)
    ROOT.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=ROOT)).resolve()
    try:
        options = _options(arguments)
        with _ground(arguments, folder) as ground:
            found = Suite(ground, options, _say).run()
    except AwawayError as error:
        print(f"{error}\n{error.fix}".strip(), file=sys.stderr)
        return error.exit_code
    finally:
        if arguments.keep:
            _say(f"kept {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    _print(found, options)
    return EXIT_OK


def _print(found: Found, options: Options) -> None:
    if found.rows:
        print("\n".join(table(found.rows)))
    if found.latency is not None:
        print()
        print("\n".join(delay_lines(found.latency, options.latency_events_per_s)))
    if found.profile:
        print("\nwhere the worker's time goes (collapsing off):")
        print("\n".join(found.profile))
    print(json_line(found.rows, found.latency))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
