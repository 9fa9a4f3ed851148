"""The supervisor on servers that only sleep: quick proofs of who ends with whom, and when."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.dev.local import control, launch
from pipeline.dev.local.process import ProcessId, gone, identify, send_signal, this_process
from pipeline.dev.local.stack import LocalStack
from pipeline.dev.local.state import Layout, Orders, ServerSpec, StackState, read_state

SLEEP = (sys.executable, "-c", "import time; time.sleep(60)")
STUBBORN = (
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('ready', flush=True); time.sleep(60)",
)


def spec(
    layout: Layout, argv: tuple[str, ...] = SLEEP, setup: tuple[str, ...] = (), name: str = "kafka"
) -> ServerSpec:
    return ServerSpec(
        name=name,
        argv=argv,
        port=1,
        log=str(layout.log(name)),
        cwd=str(layout.root),
        setup=setup,
        setup_unless=str(layout.root / "set-up"),
    )


@contextmanager
def supervised(
    layout: Layout,
    *servers: ServerSpec,
    owner: ProcessId | None = None,
    lifetime_s: float = 60.0,
    stop_patience_s: float = 10.0,
) -> Iterator["subprocess.Popen[bytes]"]:
    supervisor = launch.spawn(
        Orders(str(layout.root), servers, owner or this_process(), lifetime_s, stop_patience_s)
    )
    try:
        yield supervisor
    finally:
        launch.stop(supervisor, 20)


def until(layout: Layout, holds: Callable[[StackState], bool]) -> StackState:
    """The first state for which something holds."""
    deadline = time.monotonic() + 20
    while True:
        state = read_state(layout)
        if state is not None and holds(state):
            return state
        assert time.monotonic() < deadline, state
        time.sleep(0.02)


def started(state: StackState) -> bool:
    return all(server.process is not None for server in state.servers)


def server_processes(state: StackState) -> list[ProcessId]:
    return [server.process for server in state.servers if server.process is not None]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path)


def test_its_lifetime_ends_a_stack_that_everybody_forgot(layout: Layout) -> None:
    with supervised(layout, spec(layout), lifetime_s=1.0) as supervisor:
        state = until(layout, started)
        assert state.ends_at_ms - state.started_at_ms == 1000
        control.ask(state.control, control.Request("disown"))
        assert supervisor.wait(10) == 0
        assert not any(process.alive for process in server_processes(state))
    assert read_state(layout) is None
    assert not Path(state.control).parent.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_a_killed_supervisor_takes_its_servers_along(layout: Layout) -> None:
    servers = (spec(layout), spec(layout, name="registry"))
    with supervised(layout, *servers) as supervisor:
        state = until(layout, started)
        supervisor.kill()
        assert all(gone(process, 10) for process in server_processes(state))
    assert LocalStack(layout.root).status().health == "down"
    assert not LocalStack(layout.root).down()
    assert not layout.state_file.exists()
    assert not Path(state.control).parent.exists()


def test_what_a_killed_supervisor_left_is_ended_by_the_next_down(layout: Layout) -> None:
    left = subprocess.Popen(SLEEP)
    with supervised(layout, spec(layout)) as supervisor:
        state = until(layout, started)
        supervisor.kill()
        supervisor.wait()
    process = identify(left.pid)
    assert process is not None
    text = layout.state_file.read_text()
    (old,) = server_processes(state)
    layout.state_file.write_text(
        text.replace(str(old.pid), str(process.pid)).replace(old.started, process.started)
    )
    LocalStack(layout.root).down()
    assert left.wait(5) == -signal.SIGTERM


def test_a_number_that_another_process_has_now_is_left_alone() -> None:
    other = subprocess.Popen(SLEEP)
    try:
        present = identify(other.pid)
        assert present is not None
        former = ProcessId(other.pid, "another start")
        assert not former.alive
        assert not send_signal(former, signal.SIGKILL)
        assert present.alive
    finally:
        other.kill()
        other.wait()
    assert not present.alive
    assert not send_signal(present, signal.SIGKILL)


def test_the_stack_ends_with_its_owner_unless_it_was_released(layout: Layout) -> None:
    first, second = subprocess.Popen(SLEEP), subprocess.Popen(SLEEP)
    owner = identify(first.pid)
    with supervised(layout, spec(layout), owner=owner) as supervisor:
        state = until(layout, started)
        assert state.owner == owner
        first.kill()
        first.wait()
        assert supervisor.wait(10) == 0
        assert not any(process.alive for process in server_processes(state))
    with supervised(layout, spec(layout), owner=identify(second.pid)) as supervisor:
        state = until(layout, started)
        LocalStack(layout.root).release()
        second.kill()
        second.wait()
        with pytest.raises(subprocess.TimeoutExpired):
            supervisor.wait(1)
        assert all(process.alive for process in server_processes(state))


def test_a_server_that_ignores_a_polite_end_is_killed(layout: Layout) -> None:
    with supervised(layout, spec(layout, STUBBORN), stop_patience_s=0.5) as supervisor:
        state = until(layout, started)
        while "ready" not in layout.log("kafka").read_text():
            time.sleep(0.02)
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(20) == 0
        assert not any(process.alive for process in server_processes(state))


def test_one_server_can_be_killed_and_started_again(layout: Layout) -> None:
    servers = (spec(layout), spec(layout, name="registry"))
    with supervised(layout, *servers):
        state = until(layout, started)
        killed = control.ask(state.control, control.Request("kill", "kafka"))
        assert killed.server("kafka").process is None
        assert killed.server("kafka").exit_code == -signal.SIGKILL
        assert killed.server("registry") == state.server("registry")
        assert read_state(layout) == killed
        again = control.ask(state.control, control.Request("start", "kafka"))
        assert again.server("kafka").process not in {None, state.server("kafka").process}
        assert again.server("registry") == state.server("registry")


def test_a_set_up_is_done_once_and_its_failure_is_the_servers(layout: Layout) -> None:
    mark = f"from pathlib import Path; Path({str(layout.root / 'set-up')!r}).open('a').write('x')"
    for _ in range(2):
        with supervised(layout, spec(layout, setup=(sys.executable, "-c", mark))):
            until(layout, started)
    assert (layout.root / "set-up").read_text() == "x"
    (layout.root / "set-up").unlink()
    failing = spec(layout, setup=(sys.executable, "-c", "raise SystemExit('no such disk')"))
    with supervised(layout, failing):
        state = until(layout, lambda state: state.server("kafka").exit_code is not None)
    assert state.server("kafka").process is None
    error = launch.server_died(state.server("kafka"))
    assert "no such disk" in error.why
    assert error.fields["exit_code"] == 1


def test_a_stack_whose_folder_was_removed_ends(layout: Layout) -> None:
    with supervised(layout, spec(layout)) as supervisor:
        state = until(layout, started)
        shutil.rmtree(layout.root)
        supervisor.wait(10)
        assert not any(process.alive for process in server_processes(state))
        assert not Path(state.control).parent.exists()


def test_a_second_supervisor_waits_for_the_folder_and_nonsense_stops_nothing(
    layout: Layout,
) -> None:
    with supervised(layout, spec(layout)):
        state = until(layout, started)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(state.control)
            client.sendall(b"nonsense\n")
            assert client.recv(10) == b""
        assert control.ask(state.control, control.Request("state")) == state
        os.kill(state.supervisor.pid, signal.SIGTERM)
        with supervised(layout, spec(layout)) as successor:
            later = until(layout, lambda found: found.supervisor.pid == successor.pid)
            assert later.supervisor != state.supervisor
