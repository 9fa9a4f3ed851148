"""The process that the servers belong to.

Owns: starting the servers as its children, ending them, the state file, the control socket.
Does not own: what is run (servers.py), whether it answers (health.py), choosing ports (stack.py).
Invariant: no server outlives this process, not even when it is killed: on Linux the kernel sees to
it, elsewhere the next `up` does. This process ends with its owner, at the end of its lifetime, or
when told to. It stays single-threaded: the kernel ties the servers' lives to the starting thread.

Run as `python -m pipeline.dev.local.supervisor ORDERS_FILE`.
"""

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

import msgspec

from pipeline import clock
from pipeline.dev.local import control
from pipeline.dev.local.filelock import hold
from pipeline.dev.local.process import ProcessId, dying_with_parent, identify, this_process
from pipeline.dev.local.state import (
    Layout,
    Orders,
    ServerSpec,
    ServerState,
    StackState,
    write_whole,
)

TICK_S = 0.2
PREDECESSOR_PATIENCE_S = 20.0
SETUP_TIMEOUT_S = 60.0
EXIT_ALREADY_RUNNING = 17


class Server:
    """One server: how to start it, and its process while there is one."""

    def __init__(self, spec: ServerSpec) -> None:
        self.spec = spec
        self._process: subprocess.Popen[bytes] | None = None
        self._setup_exit_code: int | None = None

    def start(self) -> None:
        """Start it unless it runs; a failed set-up counts as its exit."""
        if self._process is not None and self._process.poll() is None:
            return
        self._process = None
        self._setup_exit_code = None
        with Path(self.spec.log).open("ab") as log:
            if self.spec.setup and not Path(self.spec.setup_unless).exists():
                try:
                    self._setup_exit_code = self._spawn(self.spec.setup, log.fileno()).wait(
                        SETUP_TIMEOUT_S
                    )
                except subprocess.TimeoutExpired:
                    self._setup_exit_code = -signal.SIGALRM
                if self._setup_exit_code != 0:
                    return
            self._process = self._spawn(self.spec.argv, log.fileno())

    def signal(self, number: signal.Signals) -> None:
        """Signal it while it runs. It is our child, so its number cannot be another's."""
        if self._process is not None:
            self._process.send_signal(number)

    def wait_or_kill(self, patience_s: float) -> None:
        """Wait for its end, and kill it when that takes longer than `patience_s`."""
        if self._process is None:
            return
        try:
            self._process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def state(self) -> ServerState:
        """What there is to say of it now."""
        state = ServerState(self.spec.name, self.spec.port, self.spec.log)
        if self._process is None:
            return msgspec.structs.replace(state, exit_code=self._setup_exit_code)
        exit_code = self._process.poll()
        process = identify(self._process.pid) if exit_code is None else None
        return msgspec.structs.replace(state, process=process, exit_code=exit_code)

    def _spawn(self, argv: tuple[str, ...], log: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=self.spec.cwd,
            preexec_fn=dying_with_parent(),  # noqa: PLW1509 - this process has one thread
        )


class Supervisor:
    """The main loop: signals, the owner's life, the servers' lives, and requests."""

    def __init__(self, orders: Orders) -> None:
        self._layout = Layout(Path(orders.root))
        self._owner: ProcessId | None = orders.owner
        self._servers = {spec.name: Server(spec) for spec in orders.servers}
        self._stop_patience_s = orders.stop_patience_s
        self._control_path = Path(orders.control)
        self._deadline = time.monotonic() + orders.lifetime_s
        self._started_at_ms = clock.now_ms()
        self._ends_at_ms = self._started_at_ms + int(orders.lifetime_s * 1000)
        self._stopping = False
        self._ending = False
        self._written: StackState | None = None

    def run(self) -> None:
        """Start everything, and come back when everything has ended."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            self._control_path.unlink(missing_ok=True)
            listener.bind(str(self._control_path))
            listener.listen(8)
            try:
                for server in self._servers.values():
                    server.start()
                    self._write_state()
                while not self._must_end():
                    self._serve(listener)
                    self._write_state()
            finally:
                self._end()

    def _end(self) -> None:
        """End the servers and clean up, each step whatever became of the one before."""
        self._ending = True
        try:
            self._write_state()
        finally:
            try:
                self._stop(tuple(self._servers), signal.SIGTERM)
                self._layout.state_file.unlink(missing_ok=True)
            finally:
                shutil.rmtree(self._control_path.parent, ignore_errors=True)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _must_end(self) -> bool:
        if self._stopping or time.monotonic() > self._deadline:
            return True
        if not self._layout.lock_file.exists():  # somebody removed the folder: nobody can find us
            return True
        return self._owner is not None and not self._owner.alive

    def _serve(self, listener: socket.socket) -> None:
        """Answer one request, or let one tick pass."""
        ready, _, _ = select.select([listener], [], [], TICK_S)
        if not ready:
            return
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(TICK_S * 5)
            try:
                request = control.receive(connection, control.Request)
                self._obey(request)
                self._write_state()
                control.send(connection, control.Reply(self._state()))
            except (OSError, msgspec.MsgspecError) as error:  # the client's trouble, not ours
                print(f"a request failed: {error}", file=sys.stderr, flush=True)

    def _obey(self, request: control.Request) -> None:
        """Do what a request asks for."""
        names = (request.server,) if request.server else tuple(self._servers)
        match request.do:
            case "start":
                for name in names:
                    self._servers[name].start()
            case "stop":
                self._stop(names, signal.SIGTERM)
            case "kill":
                self._stop(names, signal.SIGKILL)
            case "disown":
                self._owner = None
            case "end":
                self._stopping = True
            case "state":
                pass

    def _stop(self, names: tuple[str, ...], number: signal.Signals) -> None:
        """End servers side by side."""
        for name in names:
            self._servers[name].signal(number)
        deadline = time.monotonic() + self._stop_patience_s
        for name in names:
            self._servers[name].wait_or_kill(max(0.0, deadline - time.monotonic()))

    def _state(self) -> StackState:
        return StackState(
            supervisor=this_process(),
            servers=tuple(server.state() for server in self._servers.values()),
            control=str(self._control_path),
            started_at_ms=self._started_at_ms,
            ends_at_ms=self._ends_at_ms,
            owner=self._owner,
            ending=self._ending,
        )

    def _write_state(self) -> None:
        state = self._state()
        if state != self._written:
            write_whole(self._layout.state_file, state)
            self._written = state


def main(argv: list[str]) -> int:
    """Run a stack until it is to end.

    Args:
        argv: the path of the orders.

    Returns:
        0, or `EXIT_ALREADY_RUNNING` when the folder has a supervisor.
    """
    orders = msgspec.json.decode(Path(argv[0]).read_bytes(), type=Orders)
    lock_file = Layout(Path(orders.root)).lock_file
    patience = time.monotonic() + PREDECESSOR_PATIENCE_S
    while (lock := hold(lock_file)) is None:  # the folder's last supervisor is just ending
        if time.monotonic() > patience:
            return EXIT_ALREADY_RUNNING
        time.sleep(TICK_S)
    try:
        Supervisor(orders).run()
    finally:
        os.close(lock)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
