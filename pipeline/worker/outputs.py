"""From outcomes to output records: their topic, key and bytes.

Owns: which encoder and which topic each record has.
Does not own: what is in an outcome (core/fold.py), when a record is produced (processing.py).
Invariant: pure; the same outcome gives the same records.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipeline.codec.avro import AvroEncoder
from pipeline.core.audit import link
from pipeline.core.fold import Outcome
from pipeline.core.records import AuditEntry, DeadLetter, ProgressUpdated


@dataclass(frozen=True, slots=True)
class OutputTopics:
    """Names of the output topics, prefix included."""

    portals: str
    progress: str
    geometry: str
    reconciliation: str
    deadletters: str
    audit: str


class Outputs:
    """Encodes every record that the pipeline publishes.

    Args:
        topics: the output topics.
        encoders: by record name.

    Attributes:
        progress, dead_letter: encode such a record.
    """

    def __init__(self, topics: OutputTopics, encoders: Mapping[str, AvroEncoder]) -> None:
        self.topics = topics
        self._portal = encoders["PortalUnlocked"].encode
        self._geometry = encoders["GeometryUpdated"].encode
        self._alert = encoders["ReconciliationAlert"].encode
        self.progress: Callable[[ProgressUpdated], bytes] = encoders["ProgressUpdated"].encode
        self.dead_letter: Callable[[DeadLetter], bytes] = encoders["DeadLetter"].encode
        self._audit = encoders["AuditEntry"]

    def encode(self, outcome: Outcome) -> list[tuple[str, bytes, bytes]]:
        """Encode an outcome's portal, geometry and alert records, each as (topic, key, value)."""
        topics = self.topics
        encoded = []
        for unlock in outcome.unlocks:
            encoded.append((topics.portals, unlock.user_id.encode(), self._portal(unlock)))
        for frame in outcome.geometry:
            encoded.append((topics.geometry, frame.user_id.encode(), self._geometry(frame)))
        for alert in outcome.alerts:
            encoded.append((topics.reconciliation, alert.user_id.encode(), self._alert(alert)))
        return encoded

    def audit(self, entry: AuditEntry) -> tuple[bytes, bytes]:
        """Encode an audit entry with the hash that seals it; returns the bytes and the hash.

        Args:
            entry: with `prev_hash`; its `hash` is ignored.
        """
        body = self._audit.encode_body_before_last(entry)
        sealed = link(entry.prev_hash, body)
        return self._audit.frame_with_last(body, sealed), sealed
