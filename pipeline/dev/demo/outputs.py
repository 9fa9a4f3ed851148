"""Everything a run wrote, read back.

Owns: the decoded outputs, and the order in which the inputs were consumed.
Does not own: what they ought to say (expected.py), which input each is about (causes.py).
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from confluent_kafka import Message

from pipeline.dev.demo.causes import coordinates_of
from pipeline.dev.demo.plain_reader import PlainReader
from pipeline.dev.demo.stage import Stage
from pipeline.dev.oracle import Logged

READ_TIMEOUT_S: Final = 60.0
Decoded = dict[str, Any]
Seen = dict[tuple[int, int], tuple[bytes, Decoded]]
"""Audit records by partition and offset: their bytes, and what these say."""


class Outputs(msgspec.Struct):
    """All output records, by topic.

    Attributes:
        kinds: short names of the input topics, by full name.
        audit: in the order of each partition, with the messages they came in.
        progress: the last of each user.
        progress_records: how many there were before compaction.
    """

    kinds: dict[str, str]
    audit: list[tuple[Message, Decoded]] = []
    portals: list[Decoded] = []
    progress: dict[str, Decoded] = {}
    geometry: list[Decoded] = []
    alerts: list[Decoded] = []
    dead_letters: list[Decoded] = []
    progress_records: int = 0

    def figures(self) -> Iterator[Decoded]:
        """Every record that shows a figure."""
        yield from self.portals
        yield from self.geometry
        yield from (record for record in self.progress.values() if record["frame"])

    def in_order(self, log: list[Logged]) -> list[Logged]:
        """Return the log in the order in which it was consumed, as the audit tells it."""
        order = {
            coordinates_of(entry["cause"], self.kinds): (entry["partition"], entry["sequence"])
            for _, entry in self.audit
        }
        unknown = 1 << 62
        return sorted(
            log, key=lambda one: order.get(one.coordinates, (one.partition, unknown + one.offset))
        )


def where(message: Message) -> tuple[int, int]:
    """Return a message's partition and offset."""
    return (int(message.partition() or 0), int(message.offset() or 0))


def read_outputs(stage: Stage, reader: PlainReader, seen: Seen) -> Outputs:
    """Read every output topic to its end.

    Args:
        reader: of all output topics, from their first records.
        seen: of the audit, as it came by; what is the same need not be decoded again.

    Raises:
        DemoError: an end cannot be reached, or a record cannot be read.
    """
    topics = stage.outputs
    outputs = Outputs(kinds={full: short for short, full in stage.inputs.items()})
    lists = {
        topics["portals"]: outputs.portals,
        topics["geometry"]: outputs.geometry,
        topics["reconciliation"]: outputs.alerts,
        topics["deadletters"]: outputs.dead_letters,
    }
    last: dict[bytes, bytes | None] = {}
    for message in reader.rest(READ_TIMEOUT_S):
        topic = str(message.topic())
        if topic == topics["progress"]:
            last[message.key() or b""] = message.value()
            outputs.progress_records += 1
        elif topic == topics["audit"]:
            value, entry = seen.get(where(message), (b"", {}))
            same = value == message.value()
            outputs.audit.append((message, entry if same else reader.decode(message.value())))
        elif topic in lists:  # others are not compared
            lists[topic].append(reader.decode(message.value()))
    outputs.progress = {key.decode(): reader.decode(value) for key, value in last.items()}
    return outputs
