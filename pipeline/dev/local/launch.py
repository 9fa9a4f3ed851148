"""Starting a supervisor and waiting until its servers answer.

Owns: the spawn, its environment, the wait, and telling why a start failed.
Does not own: when to start (stack.py), what the supervisor does (supervisor.py).
Invariant: a start that fails, or is interrupted, leaves no process behind.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

import pipeline
from pipeline.dev.local import health
from pipeline.dev.local.artifacts import Progress
from pipeline.dev.local.process import end, identify
from pipeline.dev.local.state import (
    KAFKA,
    REGISTRY,
    Layout,
    Orders,
    ServerState,
    StackState,
    read_state,
    write_whole,
)
from pipeline.errors import ServerDiedError, StackError

START_TIMEOUT_S = 120.0
LOG_TAIL_LINES = 20
_POLL_S = 0.1
_TITLES = {KAFKA: "Kafka", REGISTRY: "the schema registry"}
_PORT_TAKEN_SIGNS = ("Address already in use", "already bound", "Failed to bind")
# Variables that would change what the servers do behind the back of servers.py.
_ENVIRONMENT_DROPPED = (
    *("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "CLASSPATH"),
    *("QUARKUS_", "APICURIO_", "REGISTRY_", "KAFKA_"),
)


class PortLostError(ServerDiedError):
    """A port was taken by another process between its choice and the server's bind.

    Operator action: none while the stack chooses ports: it tries others. Otherwise as for
    PortInUseError.
    """


def spawn(orders: Orders) -> subprocess.Popen[bytes]:
    """Start a supervisor that dies with its owner, until it is told `disown`.

    Args:
        orders: what it is to run, in a folder that exists; the socket's path is added here.

    Returns:
        The supervisor, a child of the calling process in a session of its own: a Ctrl-C in the
        caller's terminal does not reach it.
    """
    layout = Layout(Path(orders.root))
    control = Path(tempfile.mkdtemp(prefix="awaway-")) / "control"  # a socket's path must be short
    write_whole(layout.orders_file, msgspec.structs.replace(orders, control=str(control)))
    for name in (KAFKA, REGISTRY, "supervisor"):
        _rotate(layout.log(name))
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(_ENVIRONMENT_DROPPED)
    }
    package_home = str(Path(pipeline.__file__).parent.parent)
    environment["PYTHONPATH"] = os.pathsep.join(
        [package_home, *filter(None, [environment.get("PYTHONPATH")])]
    )
    with layout.log("supervisor").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline.dev.local.supervisor", str(layout.orders_file)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=layout.root,
            env=environment,
            start_new_session=True,
        )


def stop(supervisor: subprocess.Popen[bytes], patience_s: float) -> None:
    """End a supervisor that this process started, with all its servers."""
    process = identify(supervisor.pid)
    if process is not None:
        end(process, patience_s)
    supervisor.wait()


def await_answers(
    layout: Layout,
    names: tuple[str, ...],
    progress: Progress,
    supervisor: subprocess.Popen[bytes] | None = None,
) -> StackState:
    """Wait until servers answer.

    Args:
        layout: the stack's folder.
        names: which servers.
        progress: told once a second.
        supervisor: when the caller has just started it.

    Returns:
        The state, in which these servers run.

    Raises:
        PortLostError, ServerDiedError, StackError: as they say.
    """
    started = time.monotonic()
    waiting = list(names)
    shown = -1
    while True:
        seconds = time.monotonic() - started
        state = read_state(layout)
        if supervisor is not None and supervisor.poll() is not None:
            raise _supervisor_died(layout, supervisor.returncode)
        if state is not None:
            for name in names:
                if state.server(name).exit_code is not None:
                    raise server_died(state.server(name))
            waiting = [name for name in waiting if not answers(layout, state.server(name))]
            if not waiting:
                return state
        if seconds > START_TIMEOUT_S:
            raise _too_slow(layout, waiting[0])
        if int(seconds) > shown:
            shown = int(seconds)
            progress(f"waiting for {' and '.join(_TITLES[name] for name in waiting)} ({shown} s)")
        time.sleep(_POLL_S)


def answers(layout: Layout, server: ServerState) -> bool:
    """Whether a server runs and does its work."""
    if server.process is None or not server.process.alive:
        return False
    if server.name == REGISTRY:
        return health.registry_answers(server.port)
    cluster = health.kafka_cluster(server.port)
    return cluster is not None and cluster == _own_cluster(layout)


def server_died(server: ServerState) -> ServerDiedError:
    """A server's end as an error that carries the tail of its log."""
    tail = log_tail(Path(server.log))
    lost = any(sign in tail for sign in _PORT_TAKEN_SIGNS)
    return (PortLostError if lost else ServerDiedError)(
        f"{_TITLES[server.name]} ended by itself with exit code {server.exit_code}",
        why=tail or "its log is empty",
        fix=f"see {server.log}, mend the cause, and run `awaway local up` again",
        server=server.name,
        port=server.port,
        exit_code=server.exit_code,
        log_path=server.log,
    )


def log_tail(log: Path) -> str:
    """The last lines of a log that say something, at most `LOG_TAIL_LINES`; empty without any.

    Java's stack frames and its complaints about deprecated internals are left out.
    """
    if not log.exists():
        return ""
    lines = log.read_text(errors="replace").splitlines()
    telling = [line for line in lines if not line.startswith(("\tat ", "\t...", "WARNING: "))]
    return "\n".join(telling[-LOG_TAIL_LINES:])


def _supervisor_died(layout: Layout, exit_code: int) -> StackError:
    log = layout.log("supervisor")
    return StackError(
        f"the stack's supervisor ended with exit code {exit_code}",
        why=log_tail(log) or "its log is empty",
        fix=f"see {log}",
        log_path=str(log),
        exit_code=exit_code,
    )


def _too_slow(layout: Layout, name: str) -> ServerDiedError:
    log = layout.log(name)
    return ServerDiedError(
        f"{_TITLES[name]} did not answer within {START_TIMEOUT_S:.0f} s",
        why=log_tail(log) or "its log is empty; the machine may be overloaded",
        fix=f"see {log}; end other work on this machine and try again",
        server=name,
        log_path=str(log),
    )


def _own_cluster(layout: Layout) -> str | None:
    """The cluster id in this stack's data, so that another's broker is not taken for ours."""
    properties = layout.data / KAFKA / "meta.properties"
    if not properties.exists():
        return None
    for line in properties.read_text().splitlines():
        key, _, value = line.partition("=")
        if key == "cluster.id":
            return value
    return None


def _rotate(log: Path) -> None:
    """Keep the last run's log beside the new one."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        shutil.move(log, log.with_suffix(".log.1"))
