"""One mutant before its judges, in a process of its own.

Owns: putting changed code in a function's place, asking the judges, the bounds of a trial.
Does not own: which trials there are and how many at once (field.py), the judges (targets.py).
Invariants: the function that is changed is the one that everybody has, whoever imported it; a trial
ends, whatever the mutant does: by its processor time, by its memory, or at last by the clock.
"""

import gc
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import CodeType, FunctionType
from typing import Any, Final

import greenlet
import pytest
from hypothesis import Phase, settings

from mutants.mutant import Mutant
from mutants.targets import GuardSeeds, Judge, Seeds, Target, Tests

MEMORY_BYTES_MAX: Final = 8 << 30
CPU_S_MAX: Final = 5.0
"""Processor time of one test or one seed, besides what the test takes on the source as it is, ten
times."""
EXAMPLES_MAX: Final = 50
"""Of a property; most faults show in the first few, and a survivor has them all."""

FunctionKey = tuple[str, int]
"""A function: qualified name, and the line on which it begins."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the trials know of the tests.

    Attributes:
        items: all that were collected.
        seconds: that each took, by node id.
        reached: functions of the targets that each called, by node id.
    """

    items: Sequence[pytest.Item]
    seconds: Mapping[str, float]
    reached: Mapping[str, frozenset[str]]

    def chosen(self, paths: Sequence[str], function: str | None) -> list[pytest.Item]:
        """The tests of these paths that call a function, the quickest first."""
        found = [
            item
            for item in self.items
            if item.nodeid.startswith(tuple(paths))
            and (function is None or function in self.reached.get(item.nodeid, {function}))
        ]
        return sorted(found, key=lambda item: self.seconds.get(item.nodeid, 0.0))


def functions_of(module: str) -> dict[FunctionKey, FunctionType]:
    """The functions and methods of a module that is loaded."""
    found: dict[FunctionKey, FunctionType] = {}
    owners: list[Any] = [sys.modules[module]]
    while owners:
        for value in list(vars(owners.pop()).values()):
            if isinstance(value, type) and value.__module__ == module:
                owners.append(value)
            for each in _under(value):
                if each.__module__ == module:
                    code = each.__code__
                    found[code.co_qualname, code.co_firstlineno] = each
    return found


def _under(value: Any) -> Iterator[FunctionType]:
    if isinstance(value, property):
        candidates: tuple[Any, ...] = (value.fget, value.fset, value.fdel)
    elif isinstance(value, staticmethod | classmethod):
        candidates = (value.__func__,)
    else:
        candidates = (getattr(value, "__wrapped__", value),)
    yield from (each for each in candidates if isinstance(each, FunctionType))


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def plant(mutant: Mutant) -> str:
    """Put the mutant's code in its function's place; returns the function's name.

    Raises:
        LookupError: there is no such function.
    """
    functions = functions_of(mutant.module)
    around = [
        location
        for location in functions
        if f"{mutant.scope}.".startswith(f"{location[0]}.") and location[1] <= mutant.line
    ]
    if not around:
        raise LookupError(f"no function to plant it in: {mutant.location}")
    location = max(around, key=lambda each: each[1])
    module = compile(mutant.source, f"{mutant.module} (mutant)", "exec", dont_inherit=True)
    for code in _codes(module):
        if (code.co_qualname, code.co_firstlineno) == location:
            functions[location].__code__ = code
            return f"{mutant.module}:{location[0]}"
    raise LookupError(f"its function is not where it was: {mutant.location}")


def in_fork(mutant: Mutant | None, target: Target, plan: Plan, report: int) -> None:
    """Ask the judges, and write who noticed, in a fork that ends with it.

    Args:
        mutant: None asks them about the source as it is.
        target: whose judges.
        plan: of the tests.
        report: file descriptor for one JSON object: `by` (None when nobody noticed).
    """
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    gc.enable()
    function = None if mutant is None else plant(mutant)
    said = next(_complaints(target.judges, plan, function), None)
    os.write(report, json.dumps({"by": said}).encode())


def _complaints(judges: Sequence[Judge], plan: Plan, function: str | None) -> Iterator[str]:
    for each in judges:
        if isinstance(each, Tests):
            yield from _by_tests(plan.chosen(each.paths, function), plan.seconds)
        else:
            yield from _by_seeds(each)


def _by_seeds(judge: Seeds | GuardSeeds) -> Iterator[str]:
    from simulator.guards import GUARDS  # noqa: PLC0415 — only the engine's targets need it
    from simulator.run import Run  # noqa: PLC0415 — as above

    runs: list[dict[str, Any]] = [{}]
    if isinstance(judge, GuardSeeds):
        runs = [{"chosen": guard.faults, "storm_s": guard.storm_s} for guard in GUARDS]
    for options, seed in product(runs, judge.seeds):
        signal.setitimer(signal.ITIMER_PROF, CPU_S_MAX)
        try:
            complaints = Run(seed, **options).go().complaints
        except Exception as error:  # noqa: BLE001 — whatever a mutant raises is noticed
            complaints = [repr(error)]
        faults = f" --faults '{','.join(options['chosen'])}'" if options else ""
        for said in complaints:
            if not said.startswith("G:"):  # a fault that struck nothing: chance, no complaint
                yield f"seed {seed}{faults}: {said}"


class _Failures:
    """Remembers which test failed first."""

    by: str | None = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test's phase is over."""
        if report.failed:
            self.by = self.by or report.nodeid


def _by_tests(
    items: Sequence[pytest.Item], seconds: Mapping[str, float] | None = None
) -> Iterator[str]:
    if not items:
        return
    failures = _Failures()
    manager = items[0].config.pluginmanager
    manager.register(failures)
    try:
        for item, following in zip(items, [*items[1:], None], strict=True):
            if seconds is not None:
                bound_s = CPU_S_MAX + 10 * seconds.get(item.nodeid, 0.0)
                signal.setitimer(signal.ITIMER_PROF, bound_s)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if failures.by is not None:
                yield failures.by
    finally:
        manager.unregister(failures)


def survey(items: Sequence[pytest.Item], modules: Sequence[str], report: int) -> None:
    """Run the tests on the source as it is; write how long each took and what it called.

    Args:
        items: all tests.
        modules: of the targets.
        report: file descriptor for one JSON object: `failed`, and `tests` by node id, each a pair
            of seconds and names of functions.
    """
    names = {
        function.__code__: f"{module}:{at[0]}"
        for module in modules
        for at, function in functions_of(module).items()
    }
    called: set[str] = set()

    def note(frame: Any, event: str, _: object) -> None:
        if event == "call" and frame.f_code in names:
            called.add(names[frame.f_code])

    found: dict[str, tuple[float, list[str]]] = {}
    failed = None
    for item in items:
        called.clear()
        started = time.process_time()
        sys.setprofile(note)
        greenlet.settrace(lambda *_: sys.setprofile(note))  # the simulator's tasks are greenlets
        failed = next(_by_tests([item]), failed)
        greenlet.settrace(None)
        sys.setprofile(None)
        found[item.nodeid] = time.process_time() - started, sorted(called)
    with os.fdopen(report, "w", closefd=False) as out:
        json.dump({"failed": failed, "tests": found}, out)


def draw_the_same(test: Any) -> None:
    """Have a property draw the same examples in each run, and not look for the shortest."""
    own = getattr(test, "_hypothesis_internal_use_settings", None)
    if own is not None:
        test._hypothesis_internal_use_settings = settings(
            own,
            max_examples=min(own.max_examples, EXAMPLES_MAX),
            database=None,
            deadline=None,
            derandomize=True,
            phases=(Phase.explicit, Phase.generate),
        )
