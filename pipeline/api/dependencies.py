"""What the routes are given, and what runs beside them.

Owns: the list of a route's dependencies by type, the protocol of a service.
Does not own: how they are made (wiring.py), what only the console needs (console/dependencies.py).
Invariant: a route reaches the world only through its dependencies, so a test can give each its own.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from starlette.requests import HTTPConnection

from pipeline.api.figures import Pictures
from pipeline.api.http.access import Access
from pipeline.api.http.auth import Principal, TokenScope
from pipeline.api.ingest.adjusting import Adjuster
from pipeline.api.ingest.producing import InputProducer
from pipeline.api.live.stream import Live
from pipeline.api.outcomes.index import Outcomes
from pipeline.api.reads.materialise import Materialiser
from pipeline.api.reads.user_read import Reads
from pipeline.core.geometry.catalogue import GoldenCatalogue
from pipeline.core.rulebook import PolicyBook
from pipeline.observability.api_prometheus import ApiMetrics
from pipeline.ops.explain.log import InputReader
from pipeline.settings.api import ApiSettings


class Authorize(Protocol):
    """Says who asks, if they may; it does no IO."""

    def __call__(
        self, connection: HTTPConnection, user_id: str | None, scope: TokenScope
    ) -> Principal:
        """Authorise one request.

        Args:
            user_id: the user whom the request is about; None: all users.

        Raises:
            ProblemError: 401 or 403.
        """
        ...


class Service(Protocol):
    """Something that runs as long as the process: a reader of a topic, a producer."""

    async def start(self) -> None:
        """Begin; returns soon. It is called once, in the event loop that serves."""
        ...

    async def stop(self) -> None:
        """End within a few seconds; a service that was never started may be stopped, too."""
        ...


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Everything that a route may use.

    Attributes:
        now_ms: the time of day, ms since the epoch.
        catalogue: the ids of the drawn frames.
        policies: the rules by which figures are derived from a user's dates.
        source: the store of progress and its freshness; it tells `source.listeners` of changes.
        reads: finds one user's record that is fresh enough.
        stopping: is set when the process is about to end; streams end by themselves then.
        access: charges every request to whoever sent it.
        completions: sends completions to the brokers.
        commands: sends commands to the brokers.
        adjuster: takes corrections.
        outcomes: the index of what became of each input.
        live: the streams of users.
        inputs: reads inputs by their offsets.
    """

    settings: ApiSettings
    now_ms: Callable[[], int]
    catalogue: GoldenCatalogue
    policies: PolicyBook
    authorize: Authorize
    metrics: ApiMetrics
    source: Materialiser
    reads: Reads
    pictures: Pictures
    stopping: asyncio.Event
    access: Access
    completions: InputProducer
    commands: InputProducer
    adjuster: Adjuster
    outcomes: Outcomes
    live: Live
    inputs: InputReader
