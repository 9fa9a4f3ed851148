"""What the routes are given.

Owns: the list of parts, by type.
Does not own: the parts, and how they are made (wiring.py).
Invariant: a route reaches the world only through these; a test can give each its own.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from starlette.requests import HTTPConnection

from pipeline.core.geometry.catalogue import GoldenCatalogue
from pipeline.core.rulebook import PolicyBook
from pipeline.settings.api import ApiSettings

if TYPE_CHECKING:
    from pipeline.api.console.sampling import Sampler
    from pipeline.api.console.watch import Watch
    from pipeline.api.figures import Pictures
    from pipeline.api.http.access import Access
    from pipeline.api.http.auth import Principal
    from pipeline.api.ingest.producing import CompletionProducer
    from pipeline.api.live.stream import Live
    from pipeline.api.outcomes.index import Outcomes
    from pipeline.api.reads.materialise import Materialiser
    from pipeline.api.reads.user_read import Reads
    from pipeline.observability.api_prometheus import ApiMetrics
    from pipeline.ops.explain.log import InputReader


class Authorize(Protocol):
    """Who asks, if they may; it does no IO."""

    def __call__(self, connection: HTTPConnection, user_id: str | None, scope: str) -> "Principal":
        """Raises ProblemError 401 or 403.

        Args:
            user_id: whom it is about; None: whether they may for everybody.
        """
        ...


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
        source: the store of progress, and how fresh it is; `source.listeners` are told of changes.
        reads: one user's record, fresh enough.
        access: whom every request is charged to. completions: sends them to the brokers.
        outcomes: what became of each input. live: the streams.
        watch, sampler: what happened lately, for the console. inputs: by their offsets.
        stopping: set when the process is to end: what streams must end by itself then.
    """

    settings: ApiSettings
    now_ms: Callable[[], int]
    catalogue: GoldenCatalogue
    policies: PolicyBook
    authorize: Authorize
    metrics: "ApiMetrics"
    source: "Materialiser"
    reads: "Reads"
    pictures: "Pictures"
    stopping: asyncio.Event
    access: "Access"
    completions: "CompletionProducer"
    outcomes: "Outcomes"
    live: "Live"
    watch: "Watch"
    sampler: "Sampler"
    inputs: "InputReader"
