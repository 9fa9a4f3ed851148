"""What the routes are given.

Owns: the list of parts, by type.
Does not own: the parts, and how they are made (wiring.py).
Invariant: a route reaches the world only through these; a test can give each its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from starlette.requests import HTTPConnection

from pipeline.config_api import ApiSettings
from pipeline.core.geometry.catalogue import GoldenCatalogue
from pipeline.core.rulebook import PolicyBook

Authorize = Callable[[HTTPConnection, str | None, str], object]
"""`(request, user_id, scope)` gives the principal, or raises ProblemError 401 or 403. Without a
user id: whether the principal has the scope for everybody. It does no IO."""


class Service(Protocol):
    """Something that runs as long as the process: a reader of a topic, a producer."""

    async def start(self) -> None:
        """Begin; returns soon. Called once, in the event loop that serves."""
        ...

    async def stop(self) -> None:
        """End within a few seconds; what was not started may be stopped."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that a route may use.

    Attributes:
        now_ms: the time of day, ms since the epoch.
        catalogue: ids of the drawn frames.
        policies: for what is derived from a user's dates.
        authorize: see Authorize.
    """

    settings: ApiSettings
    now_ms: Callable[[], int]
    catalogue: GoldenCatalogue
    policies: PolicyBook
    authorize: Authorize
