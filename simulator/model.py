"""The expected outcome, from the inputs and the order in which the audit says they were folded.

Owns: the oracle's own fold, over plain dictionaries.
Does not own: the engine's side of the same rules (agent.py), what is compared (checks.py), users
who are more than a count (truth.py).
Invariant: it reads inputs and audit entries only; it knows no batches, transactions or offsets of
the engine.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from simulator.agent import MILESTONE, POISON, RESET, WINDOW_MS, WINDOWED, is_of_people
from simulator.log import Record
from simulator.people import audit_entry, is_person, peoples_time, unlocked_by, world
from simulator.truth import People

State = dict[bytes, bytes]


@dataclass(slots=True)
class Partition:
    """One partition as the model has it.

    Attributes:
        counts: by user.
        remembered: append time by user and event.
        last: append time of the last one by user.
        next_offsets: by input.
        number: of inputs so far.
        people: users who are more than a count.
    """

    counts: dict[bytes, int] = field(default_factory=dict)
    remembered: dict[tuple[bytes, bytes], int] = field(default_factory=dict)
    last: dict[bytes, int] = field(default_factory=dict)
    next_offsets: dict[str, int] = field(default_factory=dict)
    number: int = 0
    people: People = field(default_factory=People)

    def take(self, record: Record) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        """Fold one input; returns its audit entry, and what it unlocks."""
        user, event = record.key() or b"", record.value() or b""
        self.number += 1
        at_ms = record.timestamp()[1]
        is_windowed = record.topic() == WINDOWED
        self.next_offsets[record.topic()] = record.offset() + 1
        if is_person(user):
            outcome = self.people.take(record, self.number)
            entry = audit_entry(record, self.number, outcome)
            return entry, [(user, portal) for portal in unlocked_by(outcome)]
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
                self.remembered[user, event] = self.last[user] = at_ms
            if count % MILESTONE == 0:
                unlocked.append((user, str(count).encode()))
            if count == RESET:
                del self.counts[user]
        said = f"{record.topic()}|{record.offset()}|{verdict}|{count}|{self.number}"
        return said.encode(), unlocked

    def state(self, now_ms: int) -> State:
        """The local entries that an input appended at `now_ms` has to find."""
        found = {b"u" + user: str(count).encode() for user, count in self.counts.items()}
        for (user, event), at_ms in self.remembered.items():
            if now_ms - at_ms <= WINDOW_MS:
                for kind in (b"si", b"ss"):
                    found[kind + user + b"/" + event] = str(at_ms).encode()
        for user, at_ms in self.last.items():
            if now_ms - at_ms <= WINDOW_MS:
                found[b"sl" + user + b"/"] = str(at_ms).encode()
        found.update(self.people.state(now_ms))
        return found


def found_by(entries: State, now_ms: int) -> State:
    """The entries of a store that an input appended at `now_ms` would find."""
    oldest = peoples_time(now_ms) - world().policies.window_ms
    found: State = {}
    for key, value in entries.items():
        if key.startswith(b"u"):
            found[key] = value
        elif key.startswith(b"s"):
            if is_of_people(key):
                is_found = int.from_bytes(value[:8], "big", signed=True) >= oldest
            else:
                is_found = now_ms - int(value) <= WINDOW_MS
            if is_found:
                found[key] = value
    return found


def in_audited_order(
    inputs: dict[tuple[str, int], Record], audit: Sequence[Record]
) -> list[Record]:
    """The inputs in the order of their audit entries, each of which has one."""
    order = []
    for entry in audit:
        topic, offset, *_ = (entry.value() or b"").decode().split("|")
        order.append(inputs[topic, int(offset)])
    return order


def times_of_next(order: Sequence[Record], end_ms: int) -> list[int]:
    """By number of inputs taken, the append time of the next one that looks for duplicates.

    Args:
        end_ms: where there is none.
    """
    times = [end_ms]
    for record in reversed(order):
        times.append(record.timestamp()[1] if record.topic() == WINDOWED else times[-1])
    return times[::-1]
