"""Free loopback ports.

Owns: which port a server gets, and whether a port is free.
Does not own: what listens there (servers.py), what happens when it is taken meanwhile (stack.py).
Invariant: chosen ports lie outside the range that the system hands to outgoing connections, so that
a client that reconnects while a server is away can neither take its port nor reach itself.
"""

import random
import socket
from collections.abc import Collection

from pipeline.errors import PortInUseError, StackError

LOOPBACK = "127.0.0.1"
PORT_MIN = 20_000
PORT_MAX = 31_999
_TRIES_MAX = 200


def is_free(port: int) -> bool:
    """Whether a server could listen on a loopback port now.

    Args:
        port: 1 to 65535.

    Returns:
        True when a bind succeeds; the answer can be stale a moment later.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def choose(
    count: int, chance: random.Random, taken: Collection[int | None] = ()
) -> tuple[int, ...]:
    """Pick different free ports.

    Args:
        count: how many, at most a few dozen.
        chance: the source of randomness; two stacks that start at once should not share it.
        taken: ports that are free but not to be had.

    Returns:
        `count` different ports between `PORT_MIN` and `PORT_MAX`.

    Raises:
        StackError: the range is exhausted. Operator action: end what holds these ports.
    """
    found: list[int] = []
    for _ in range(_TRIES_MAX):
        port = chance.randint(PORT_MIN, PORT_MAX)
        if port not in found and port not in taken and is_free(port):
            found.append(port)
            if len(found) == count:
                return tuple(found)
    raise StackError(
        "no free port was found for the local stack",
        why=f"{_TRIES_MAX} ports between {PORT_MIN} and {PORT_MAX} were tried",
        fix="end the processes that hold them, or name ports with --kafka-port and --registry-port",
    )


def require_free(port: int, server: str) -> None:
    """Refuse a port that somebody asked for by number when it is taken.

    Args:
        port: 1 to 65535.
        server: for whom, as people call it.

    Raises:
        PortInUseError: something listens there. Operator action: stop it, or leave the choice free.
    """
    if not is_free(port):
        raise PortInUseError(
            f"port {port} is in use, so {server} cannot listen there",
            why=f"another process listens on {LOOPBACK}:{port}",
            fix="stop that process, name another port, or leave the port out to get a free one",
            port=port,
            server=server,
        )
