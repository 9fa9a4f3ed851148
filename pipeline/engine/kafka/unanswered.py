"""Admin clients whose questions have no answer yet.

Owns: holding them.
Does not own: why (pipeline/kafka/__init__.py), the questions (cluster.py, group.py).
Invariant: a client is held until all that it was asked has an answer, even after who asked is gone,
as at the end of a worker: an answer that reaches a client while it is freed ends the process.
"""

import threading
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka.admin import AdminClient

_changing: Final = threading.Lock()
_held: Final[list[tuple[AdminClient, list["Future[Any]"]]]] = []


def hold(client: AdminClient, asked: Iterable["Future[Any]"]) -> None:
    """Hold a client until these questions have their answers, and let go of those that have."""
    with _changing:
        waiting = [one for one in _held if not all(answer.done() for answer in one[1])]
        _held[:] = [*waiting, (client, list(asked))]


def held() -> list[AdminClient]:
    """The clients that are held, those asked first first."""
    with _changing:
        return [client for client, _ in _held]
