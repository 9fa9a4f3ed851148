"""Makes explanations from the API's own index.

Owns: the index and the store as evidence, the bound on explanations at the same time.
Does not own: the explanation (ops/explain/explanation.py), the index (index.py).
Invariant: an explanation runs on a thread and reads a bounded amount, so it never slows reads.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

from pipeline.api.dependencies import Dependencies
from pipeline.api.outcomes.index import PAGE_MAX
from pipeline.api.outcomes.rows import TOPICS
from pipeline.codec.partitioner import partition_of
from pipeline.core.records import (
    RecordCoordinates,
)
from pipeline.ops.explain.explanation import explain
from pipeline.ops.explain.records import Explanation, Findings, Looked, RawInput

ENTRIES_MAX: Final = 5_000
"""Max entries of a user that an explanation reads."""

AT_ONCE: Final = 2
"""Max explanations at the same time."""


class IndexEvidence:
    """The API's evidence about a user; the inputs themselves are read from Kafka."""

    def __init__(self, deps: Dependencies) -> None:
        self._deps = deps

    def findings(self, user_id: str, day: date | None = None) -> Findings:  # noqa: ARG002
        """Return everything about a user within the history, at most the latest `ENTRIES_MAX`."""
        deps = self._deps
        found = Findings()
        before, read = b"", 0
        prefix = deps.settings.topic_prefix
        while read < ENTRIES_MAX:
            entries, before = deps.outcomes.of_user(user_id, before=before, limit=PAGE_MAX)
            read += len(entries)
            for entry in entries:
                place = RecordCoordinates(f"{prefix}{entry.topic}", entry.partition, entry.offset)
                found.add(place, entry.record)
            if not before:
                break
        held = deps.source.store.get(user_id)
        if held is not None:
            place = RecordCoordinates(deps.settings.topic("progress"), held.partition, held.offset)
            found.progress = (place, deps.source.decode(held.value))
        found.looked = self._looked(bool(before))
        return found

    def inputs(self, places: Sequence[RecordCoordinates]) -> Mapping[RecordCoordinates, RawInput]:
        """Read inputs by their places."""
        return self._deps.inputs.read(places)

    def _looked(self, is_cut: bool) -> list[Looked]:
        deps = self._deps
        since_ms = deps.now_ms() - deps.settings.api_history_days * 86_400_000
        note = f"the latest {ENTRIES_MAX:,} entries only" if is_cut else ""
        if deps.outcomes.complete_at_ms is None:
            note = "the index is still being filled"
        return [Looked(deps.settings.topic(name), -1, 0, 0, since_ms, note) for name in TOPICS]


class Explainer:
    """Makes explanations, a few at a time."""

    def __init__(self, deps: Dependencies) -> None:
        self._deps = deps
        self._evidence = IndexEvidence(deps)
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def explain(self, user_id: str, day: date | None) -> Explanation:
        """Explain a user's days, see ops/explain/explanation.py.

        Raises:
            UnreadableLogError: the brokers do not answer.
            RegistryUnavailableError: the registry does not answer.
        """
        deps = self._deps
        partitions = max(1, deps.source.freshness.partitions)
        home = (partition_of(user_id.encode(), partitions), partitions)
        async with self._turn:
            return await asyncio.to_thread(
                explain, self._evidence, deps.policies, user_id, day, deps.now_ms(), home
            )
