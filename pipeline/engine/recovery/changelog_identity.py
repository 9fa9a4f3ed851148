"""Detect changelogs that are no longer the topics that this worker restored from.

Owns: asking for the topics' UUIDs now and then, without waiting, and comparing them.
Does not own: what follows (ownership.py), what a restore makes of it (restore.py).

Why: a topic that is deleted and recreated under a running worker accepts what the worker writes as
if nothing had happened, and lacks all that came before. Each checkpoint names the topic that its
writer meant, so nobody takes such a changelog for complete (replay.py); but until the worker
notices, a partition whose disk is lost cannot be restored. So it looks often.
"""

from collections.abc import Mapping
from typing import Final

from pipeline.engine.config import EngineConfig
from pipeline.engine.errors import BrokerError
from pipeline.engine.observer import EngineObserver
from pipeline.engine.ports import Cluster

LOOK_EVERY_S: Final = 5.0
"""Seconds between two looks."""

GONE_LOOK_EVERY_S: Final = 0.5
"""Seconds between two looks while a changelog is gone: usually it is recreated soon."""


class ChangelogIdentity:
    """Compares the changelogs' UUIDs. Not thread-safe; the engine's thread drives it."""

    def __init__(self, config: EngineConfig, cluster: Cluster, observer: EngineObserver) -> None:
        self._changelogs = [table.changelog for table in config.tables]
        self._cluster = cluster
        self._observer = observer
        self._now = config.clock
        self._look_at = 0.0

    def recreated(self, known: Mapping[str, str]) -> list[str]:
        """Return the changelogs that are now another topic than the known one.

        Args:
            known: UUIDs by name, as of the last restore; empty before the first.

        Returns:
            Their names; one that is gone is not among them, as it may still come back.
        """
        if not known or self._now() < self._look_at:
            return []
        try:
            found = self._cluster.topic_ids_soon(self._changelogs)
        except BrokerError:  # whoever needs an answer reports it
            self._look_at = self._now() + LOOK_EVERY_S
            return []
        if found is None:
            return []
        self._look_at = self._now() + LOOK_EVERY_S
        if gone := [name for name in self._changelogs if name not in found]:
            self._look_at = self._now() + GONE_LOOK_EVERY_S
            self._observer.changelogs_lost(gone, is_back=False)
        changed = [name for name in found if found[name] != known.get(name)]
        if changed:
            self._observer.changelogs_lost(changed, is_back=True)
        return changed
