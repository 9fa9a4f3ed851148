"""What every test can ask for.

Owns: one Kafka and one registry for a whole run, stacks of a test's own, names that never collide;
which tests are traced for coverage.
Does not own: topics and schemas, which each test makes under its own prefix.
Invariant: whatever ends the run, even a kill, its servers end with it.
"""

import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, is_hypothesis_test, settings

from pipeline.dev.local.process import ProcessId, identify, this_process
from pipeline.dev.local.stack import LocalStack
from tests.machine_semaphore import MachineSemaphore
from tests.properties import AT_RANDOM
from tests.sharing import Scheduling

_FOLDER_PREFIX = "awaway-tests-"
_COVERING = ("tests/core/", "tests/codec/", "tests/geometry/")
"""Where the tests are that have to cover core and codec."""
# A busy machine is not a fault of the code: properties judge what comes out, not how soon.
settings.register_profile(
    "busy-machine",
    deadline=None,
    derandomize=not AT_RANDOM,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile("busy-machine")

_RUN = pytest.StashKey[tuple[Path, ProcessId]]()
_SEMAPHORE = pytest.StashKey[MachineSemaphore]()


def pytest_configure(config: pytest.Config) -> None:
    """Agree on the run's folder, and on the process with which its servers die."""
    config.stash[_SEMAPHORE] = MachineSemaphore()
    # A run in the background is started with interrupts off, which what tests start would inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    given = getattr(config, "workerinput", None)
    if given is not None:
        owner = ProcessId(given["owner_pid"], given["owner_started"])
        config.stash[_RUN] = (Path(given["run_folder"]), owner)
        return
    _remove_leftovers()
    folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDER_PREFIX}{os.getpid()}-"))
    config.stash[_RUN] = (folder, this_process())


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Tell a parallel worker what the run agreed on."""
    folder, owner = node.config.stash[_RUN]  # type: ignore[attr-defined]
    node.workerinput.update(  # type: ignore[attr-defined]
        run_folder=str(folder), owner_pid=owner.pid, owner_started=owner.started
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling | None:
    """Say which tests one process runs after each other, in a run that goes by file."""
    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the servers and what is run for coverage; start with the servers' files.

    Those take longest, side by side.
    """
    long_files = set()
    for item in items:
        if {"stack", "own_stack"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.kafka)
            long_files.add(item.path)
        elif _is_covering(item):
            item.add_marker(pytest.mark.covering)
    items.sort(key=lambda item: item.path not in long_files)


def _is_covering(item: pytest.Item) -> bool:
    """Whether it is one of the examples that must reach every line, traced, by themselves.

    Tracing doubles the time of a property. And none may run in a process with what is traced: what
    a cached function returned once, it does not work out again.
    """
    is_property = is_hypothesis_test(getattr(item, "function", None))
    return item.nodeid.startswith(_COVERING) and not is_property


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Run each test under a permit of the machine's semaphore; its time-out begins there."""
    with item.config.stash[_SEMAPHORE].held(alone=item.get_closest_marker("alone") is not None):
        return (yield)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """End the run's servers; keep only their logs, and only when something failed."""
    if hasattr(session.config, "workerinput"):
        return
    folder, _ = session.config.stash[_RUN]
    LocalStack(folder / "stack").down()
    if exitstatus == pytest.ExitCode.OK:
        shutil.rmtree(folder)
    else:
        shutil.rmtree(folder / "stack" / "data", ignore_errors=True)


@pytest.fixture(scope="session")
def stack(pytestconfig: pytest.Config) -> LocalStack:
    """The run's Kafka and registry: one for all tests and all parallel workers.

    Do not stop or restart anything here; `own_stack` is for that.
    """
    folder, owner = pytestconfig.stash[_RUN]
    shared = LocalStack(folder / "stack", owner=owner)
    shared.up(detach=False)
    return shared


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[LocalStack]:
    """A stack of this test's own, up, which it may stop, kill and start at will."""
    with LocalStack(tmp_path / "stack") as running:
        yield running


@pytest.fixture
def topic_prefix() -> str:
    """A topic prefix that no other test has, such as `t3f2a9c01.`; good for group ids, too."""
    return f"t{uuid.uuid4().hex[:8]}."


def _remove_leftovers() -> None:
    """Remove the folders of runs that were killed, or that kept their logs; their pid is gone."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER_PREFIX}*"):
        pid = folder.name.removeprefix(_FOLDER_PREFIX).partition("-")[0]
        if pid.isdigit() and identify(int(pid)) is None:
            shutil.rmtree(folder, ignore_errors=True)
