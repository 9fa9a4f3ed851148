"""Asking a supervisor for something.

Owns: the requests, the reply, and their way over a Unix socket: one JSON line each.
Does not own: what the supervisor does about them.
Invariant: one request a connection; a client that goes away or talks nonsense stops nothing.
"""

import socket
from typing import Literal, TypeVar

import msgspec

from pipeline.dev.local.state import StackState

REPLY_TIMEOUT_S = 90.0
_LINE_BYTES_MAX = 65_536

Deed = Literal["state", "start", "stop", "kill", "disown", "end"]


class Request(msgspec.Struct, frozen=True):
    """What to do, to one server or, without a name, to all."""

    do: Deed
    server: str = ""


class Reply(msgspec.Struct, frozen=True):
    """The state after it was done."""

    state: StackState


T = TypeVar("T", Request, Reply)


def ask(control_path: str, request: Request) -> StackState:
    """Ask the supervisor that listens at a path.

    Args:
        control_path: from the state file.
        request: what to do; it is done when this returns.

    Returns:
        The state after it.

    Raises:
        OSError: nobody listens there any more, or no answer came in `REPLY_TIMEOUT_S`.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(REPLY_TIMEOUT_S)
        connection.connect(control_path)
        send(connection, request)
        return receive(connection, Reply).state


def send(connection: socket.socket, message: Request | Reply) -> None:
    """Send one message as a line."""
    connection.sendall(msgspec.json.encode(message) + b"\n")


def receive(connection: socket.socket, kind: type[T]) -> T:
    """Receive one message.

    Raises:
        OSError: the peer went away or took too long.
        msgspec.MsgspecError: it is not what was expected.
    """
    line = b""
    while not line.endswith(b"\n") and len(line) < _LINE_BYTES_MAX:
        chunk = connection.recv(4096)
        if not chunk:
            raise ConnectionResetError("the peer closed the connection")
        line += chunk
    return msgspec.json.decode(line, type=kind)
