"""What must come out, from the inputs and the order in which the audit says they were taken.

Owns: the oracle's own fold, over plain dictionaries.
Does not own: the engine's side of the same rules (agent.py), what is compared (checks.py).
Invariant: it reads inputs and audit entries only; it knows no batches, transactions or offsets of
the engine.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from simulator.agent import MILESTONE, POISON, RESET, WINDOW_MS, WINDOWED
from simulator.log import Record

State = dict[bytes, bytes]


@dataclass(slots=True)
class Partition:
    """One partition as the model has it.

    Attributes:
        counts: by user.
        remembered: append time by user and event.
        next_offsets: by input.
        number: of inputs so far.
        now_ms: append time of the last input of which duplicates are told.
    """

    counts: dict[bytes, int] = field(default_factory=dict)
    remembered: dict[tuple[bytes, bytes], int] = field(default_factory=dict)
    next_offsets: dict[str, int] = field(default_factory=dict)
    number: int = 0
    now_ms: int = 0

    def take(self, record: Record) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        """Fold one input; returns its audit entry, and what it unlocks."""
        user, event = record.key() or b"", record.value() or b""
        self.number += 1
        at_ms = record.timestamp()[1]
        is_windowed = record.topic() == WINDOWED
        if is_windowed:
            self.now_ms = at_ms
        self.next_offsets[record.topic()] = record.offset() + 1
        unlocked: list[tuple[bytes, bytes]] = []
        count = self.counts.get(user, 0)
        last = self.remembered.get((user, event))
        if event.startswith(POISON):
            verdict = "dead"
        elif is_windowed and last is not None and at_ms - last <= WINDOW_MS:
            verdict = "duplicate"
        else:
            verdict = "accepted"
            count += 1
            self.counts[user] = count
            if is_windowed:
                self.remembered[user, event] = at_ms
            if count % MILESTONE == 0:
                unlocked.append((user, str(count).encode()))
            if count == RESET:
                del self.counts[user]
        entry = f"{record.topic()}|{record.offset()}|{verdict}|{count}|{self.number}"
        return entry.encode(), unlocked

    def state(self) -> State:
        """The local entries that must be there, without the ones that have expired."""
        found = {b"u" + user: str(count).encode() for user, count in self.counts.items()}
        for (user, event), at_ms in self.remembered.items():
            if self.now_ms - at_ms <= WINDOW_MS:
                for kind in (b"si", b"ss"):
                    found[kind + user + b"/" + event] = str(at_ms).encode()
        return found

    def unexpired(self, entries: State) -> State:
        """Entries of a store as far as they can be compared with `state`."""
        return {
            key: value
            for key, value in entries.items()
            if not key.startswith((b"\x00", b"s"))
            or (key.startswith(b"s") and self.now_ms - int(value) <= WINDOW_MS)
        }


def in_audited_order(
    inputs: dict[tuple[str, int], Record], audit: Sequence[Record]
) -> Iterator[Record]:
    """The inputs in the order of their audit entries; entries without an input are passed over."""
    for entry in audit:
        topic, offset, *_ = (entry.value() or b"").decode().split("|")
        record = inputs.get((topic, int(offset)))
        if record is not None:
            yield record
