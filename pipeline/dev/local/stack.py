"""The local Kafka and schema registry, as one thing that is up or down.

Owns: up, down, status, restarts of one server, and who may do so when.
Does not own: the servers' settings (servers.py), their processes (supervisor.py).
Invariant: one stack a folder. `up` leaves it running until `down` or its lifetime ends; used as a
context manager, it ends with the process that entered it, even when that is killed.
"""

import contextlib
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import msgspec

from pipeline.dev.local import artifacts, control, launch, quickstart
from pipeline.dev.local.artifacts import Progress
from pipeline.dev.local.filelock import exclusive
from pipeline.dev.local.ports import LOOPBACK, choose, is_free, require_free
from pipeline.dev.local.process import ProcessId, end, gone, this_process
from pipeline.dev.local.servers import (
    REGISTRY_API_PATH,
    Files,
    Ports,
    ProxiedPorts,
    new_cluster_id,
    specs,
)
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
from pipeline.errors import StackError

DEFAULT_ROOT = Path(".local/stack")
DEFAULT_LIFETIME_H = 12.0
_DOWN_TIMEOUT_S = 30.0
_PORT_TRIES = 4

Health = Literal["up", "degraded", "down"]


class ServerStatus(msgspec.Struct, frozen=True):
    """One server of a stack, for people: `pid` is None when it does not run."""

    name: str
    address: str
    pid: int | None
    healthy: bool
    log: str


class StackStatus(msgspec.Struct, frozen=True):
    """A stack, for people. `up` means that every server answered just now."""

    health: Health
    root: str
    bootstrap_servers: str | None
    registry_url: str | None
    servers: tuple[ServerStatus, ...]
    ends_at_ms: int | None


def quiet(message: str, done: int | None = None, total: int | None = None) -> None:
    """Progress that nobody watches."""


class LocalStack:
    """Kafka and a schema registry on loopback, their data in one folder.

    Args:
        root: the stack's folder; made when absent.
        kafka_port: where Kafka is to listen; a free port by default, the last one when still free.
        registry_port: the same for the registry.
        lifetime_h: hours after which the stack ends by itself, more than 0.
        owner: with which process an entered stack ends; the calling one by default.
        proxied: one more listener of Kafka, for a proxy of the caller's.
    """

    def __init__(
        self,
        root: Path = DEFAULT_ROOT,
        *,
        kafka_port: int | None = None,
        registry_port: int | None = None,
        lifetime_h: float = DEFAULT_LIFETIME_H,
        owner: ProcessId | None = None,
        proxied: ProxiedPorts | None = None,
    ) -> None:
        self._layout = Layout(root.expanduser().resolve())
        self._kafka_port = kafka_port
        self._registry_port = registry_port
        self._lifetime_s = lifetime_h * 3600
        self._owner = this_process() if owner is None else owner
        self._proxied = proxied
        self._supervisor: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.up(detach=False)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        state = self._running()
        if state is not None and state.owner == self._owner:
            self.down()

    @property
    def root(self) -> Path:
        """The stack's folder."""
        return self._layout.root

    @property
    def bootstrap_servers(self) -> str:
        """Kafka's address. Raises StackError when the stack is down."""
        return f"{LOOPBACK}:{self._require_running().server(KAFKA).port}"

    @property
    def registry_url(self) -> str:
        """The registry's Confluent-compatible address. Raises StackError when the stack is down."""
        port = self._require_running().server(REGISTRY).port
        return _registry_url(port)

    def up(self, progress: Progress = quiet, *, detach: bool = True) -> bool:
        """Have both servers running and answering.

        Args:
            progress: told about downloads and waiting.
            detach: leave the stack running when this process ends; otherwise it ends with `owner`.

        Returns:
            True when it was started, False when it ran already. What was left behind by a crash is
            cleared first, and a server that died is started again; the data is kept.

        Raises:
            StackError: or one of its kinds. Operator action: as the error says.
        """
        with self._alone(progress):
            state = self._running()
            if state is None:
                self._clear_leftovers()
                cache = artifacts.cache_folder()
                files = quickstart.prepare(artifacts.provide(progress, cache), cache, progress)
                self._start(files, progress)
            elif any(server.process is None for server in state.servers):
                self._ask(state, "start")
                launch.await_answers(self._layout, (KAFKA, REGISTRY), progress)
            if detach:
                self._ask(self._require_running(), "disown")
            return state is None

    def release(self) -> None:
        """Let an entered stack go on after this process. Raises StackError when it is down."""
        self._ask(self._require_running(), "disown")

    def down(self, *, delete_data: bool = False) -> bool:
        """End both servers, and wait until they have ended.

        Args:
            delete_data: remove the stack's folder too: topics, schemas and logs are gone.

        Returns:
            Whether anything ran.

        Raises:
            StackError: a process would not end. Operator action: end the process it names.
        """
        if not self.root.exists():
            return False
        with self._alone(quiet):
            state = self._running()
            if state is not None:
                with contextlib.suppress(OSError):
                    control.ask(state.control, control.Request("end"))
                if not gone(state.supervisor, _DOWN_TIMEOUT_S) and not end(state.supervisor, 0):
                    raise StackError(
                        "the stack's supervisor does not end",
                        why="it did not even end when it was killed",
                        fix=f"look at process {state.supervisor.pid}",
                        pid=state.supervisor.pid,
                    )
            if self._supervisor is not None:
                self._supervisor.wait()
                self._supervisor = None
            self._clear_leftovers()
        if delete_data:
            shutil.rmtree(self.root)
        return state is not None

    def status(self) -> StackStatus:
        """Ask both servers how they are; takes up to two seconds for each that hangs."""
        state = self._running()
        if state is None:
            return StackStatus("down", str(self.root), None, None, (), None)
        servers = tuple(self._server_status(server) for server in state.servers)
        return StackStatus(
            health="up" if all(server.healthy for server in servers) else "degraded",
            root=str(self.root),
            bootstrap_servers=f"{LOOPBACK}:{state.server(KAFKA).port}",
            registry_url=_registry_url(state.server(REGISTRY).port),
            servers=servers,
            ends_at_ms=state.ends_at_ms,
        )

    def kill_kafka(self) -> None:
        """End Kafka as a power cut would (kill -9). The data and the registry stay."""
        self._ask(self._require_running(), "kill", KAFKA)

    def stop_kafka(self) -> None:
        """End Kafka cleanly. The data and the registry stay."""
        self._ask(self._require_running(), "stop", KAFKA)

    def start_kafka(self, progress: Progress = quiet) -> None:
        """Start Kafka again on its port and data, and wait until it answers.

        Raises:
            ServerDiedError: it does not start. Operator action: as the error says.
        """
        self._ask(self._require_running(), "start", KAFKA)
        launch.await_answers(self._layout, (KAFKA,), progress)

    def stop_registry(self) -> None:
        """End the registry cleanly. Its data and Kafka stay."""
        self._ask(self._require_running(), "stop", REGISTRY)

    def start_registry(self, progress: Progress = quiet) -> None:
        """Start the registry again on its port and data, and wait until it answers.

        Raises:
            ServerDiedError: it does not start. Operator action: as the error says.
        """
        self._ask(self._require_running(), "start", REGISTRY)
        launch.await_answers(self._layout, (REGISTRY,), progress)

    def _start(self, files: Files, progress: Progress) -> None:
        """Start a supervisor and wait, with other ports when one was lost to another process."""
        for attempt in range(1, _PORT_TRIES + 1):
            ports = self._ports(remembered=attempt == 1)
            with artifacts.disk_errors(self.root):
                write_whole(self._layout.ports_file, ports)
                servers = specs(self._layout, files, ports, new_cluster_id(), self._proxied)
            self._supervisor = launch.spawn(
                Orders(str(self.root), servers, self._owner, self._lifetime_s)
            )
            answered = False
            try:
                launch.await_answers(self._layout, (KAFKA, REGISTRY), progress, self._supervisor)
                answered = True
                return
            except launch.PortLostError as error:
                if attempt == _PORT_TRIES:
                    raise
                progress(f"{error.what}; trying other ports")
            finally:
                if not answered:  # an interrupt comes by here, too
                    launch.stop(self._supervisor, _DOWN_TIMEOUT_S)
                    self._supervisor = None

    def _ports(self, *, remembered: bool) -> Ports:
        """The ports to start on: those asked for, else the last ones, else free ones."""
        for port, server in ((self._kafka_port, "Kafka"), (self._registry_port, "the registry")):
            if port is not None:
                require_free(port, server)
        last: Ports | None = None
        if remembered:
            with contextlib.suppress(FileNotFoundError, msgspec.MsgspecError):
                last = msgspec.json.decode(self._layout.ports_file.read_bytes(), type=Ports)
        if last is None or not all(map(is_free, msgspec.structs.astuple(last))):
            fixed = {self._kafka_port, self._registry_port}
            if self._proxied is not None:
                fixed |= set(msgspec.structs.astuple(self._proxied))
            last = Ports(*choose(4, random.Random(), fixed))
        return msgspec.structs.replace(
            last,
            kafka=self._kafka_port or last.kafka,
            registry=self._registry_port or last.registry,
        )

    def _running(self) -> StackState | None:
        """The state of the stack when a supervisor runs and goes on running, else None."""
        state = read_state(self._layout)
        if state is None or state.ending or not state.supervisor.alive:
            return None
        return state

    def _require_running(self) -> StackState:
        state = self._running()
        if state is None:
            raise StackError(
                "the local stack is down",
                why=f"no supervisor runs for {self.root}",
                fix="run `awaway local up`",
                root=str(self.root),
            )
        return state

    def _ask(self, state: StackState, do: control.Deed, server: str = "") -> None:
        try:
            control.ask(state.control, control.Request(do, server))
        except (OSError, msgspec.MsgspecError) as error:
            raise StackError(
                "the stack's supervisor does not answer",
                why=str(error),
                fix="run `awaway local down` and `awaway local up`",
                pid=state.supervisor.pid,
            ) from error

    def _clear_leftovers(self) -> None:
        """Remove what a supervisor that was killed could not, and wait for one that is ending."""
        state = read_state(self._layout)
        if state is not None:
            if not gone(state.supervisor, _DOWN_TIMEOUT_S):
                end(state.supervisor, 0)
            for server in state.servers:
                if server.process is not None:
                    end(server.process, _DOWN_TIMEOUT_S)
            shutil.rmtree(Path(state.control).parent, ignore_errors=True)
        self._layout.state_file.unlink(missing_ok=True)

    def _server_status(self, server: ServerState) -> ServerStatus:
        return ServerStatus(
            name=server.name,
            address=f"{LOOPBACK}:{server.port}",
            pid=None if server.process is None else server.process.pid,
            healthy=launch.answers(self._layout, server),
            log=server.log,
        )

    @contextlib.contextmanager
    def _alone(self, progress: Progress) -> Iterator[None]:
        """Keep other starters and stoppers of this folder out for as long as the block runs."""
        with artifacts.disk_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            self._layout.starting_lock_file.touch()
        guard = exclusive(
            self._layout.starting_lock_file,
            lambda: progress("waiting for another start of this stack"),
        )
        with guard:
            yield


def _registry_url(port: int) -> str:
    """Where the registry's Confluent-compatible API is."""
    return f"http://{LOOPBACK}:{port}{REGISTRY_API_PATH}"
