"""What a running stack writes down about itself.

Owns: the layout of a stack's folder, the state file, the supervisor's orders, and their JSON.
Does not own: processes (process.py), what the servers are (servers.py).
Invariant: the state file is replaced whole, by the supervisor alone; readers see old or new.
"""

from pathlib import Path

import msgspec

from pipeline import whole_file
from pipeline.dev.local.process import ProcessId

KAFKA = "kafka"
REGISTRY = "registry"


class Layout(msgspec.Struct, frozen=True):
    """Where things are inside a stack's folder."""

    root: Path

    @property
    def state_file(self) -> Path:
        """The state of the running stack; absent when it is down."""
        return self.root / "state.json"

    @property
    def orders_file(self) -> Path:
        """What the supervisor was told to run."""
        return self.root / "orders.json"

    @property
    def ports_file(self) -> Path:
        """The ports of the last start, taken again when they are free."""
        return self.root / "ports.json"

    @property
    def lock_file(self) -> Path:
        """Held by the supervisor for its whole life: one stack a folder."""
        return self.root / "supervisor.lock"

    @property
    def starting_lock_file(self) -> Path:
        """Held by whoever is starting or stopping the stack."""
        return self.root / "starting.lock"

    @property
    def data(self) -> Path:
        """The servers' data; nothing else is kept between two starts."""
        return self.root / "data"

    def log(self, name: str) -> Path:
        """The log of a server or of the supervisor."""
        return self.root / "logs" / f"{name}.log"


class ServerSpec(msgspec.Struct, frozen=True):
    """One server as the supervisor runs it.

    `setup` is run to its end before `argv` when `setup_unless` does not exist yet.
    """

    name: str
    argv: tuple[str, ...]
    port: int
    log: str
    cwd: str
    setup: tuple[str, ...] = ()
    setup_unless: str = ""


class Orders(msgspec.Struct, frozen=True):
    """All that a supervisor needs to know.

    `owner` is the process with which the stack dies, until the supervisor is told otherwise;
    `stop_patience_s` is what a server may take over a clean end; `control` is the socket's path.
    """

    root: str
    servers: tuple[ServerSpec, ...]
    owner: ProcessId
    lifetime_s: float
    stop_patience_s: float = 10.0
    control: str = ""


class ServerState(msgspec.Struct, frozen=True):
    """One server: its process while there is one, its exit code since it ended."""

    name: str
    port: int
    log: str
    process: ProcessId | None = None
    exit_code: int | None = None


class StackState(msgspec.Struct, frozen=True):
    """What the supervisor last said. Instants in ms since 1970-01-01."""

    supervisor: ProcessId
    servers: tuple[ServerState, ...]
    control: str
    started_at_ms: int
    ends_at_ms: int
    owner: ProcessId | None
    ending: bool = False

    def server(self, name: str) -> ServerState:
        """One server's state, by name."""
        return next(server for server in self.servers if server.name == name)


def write_whole(path: Path, value: msgspec.Struct) -> None:
    """Replace a JSON file so that no reader sees half of it.

    Args:
        path: its folder exists.
        value: any record of this module.
    """
    whole_file.write_whole(path, msgspec.json.format(msgspec.json.encode(value)))


def read_state(layout: Layout) -> StackState | None:
    """The state of the stack in a folder.

    Returns:
        None when there is no state file, or an unreadable one (from another version, say).
    """
    try:
        return msgspec.json.decode(layout.state_file.read_bytes(), type=StackState)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
