"""A repair through the worker's own path: the state, the window and every record that follows."""

from functools import cache
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.codec.partitioner import partition_of
from pipeline.codec.published import PublishedReader
from pipeline.codec.repairs import encode_repair
from pipeline.codec.state import decode_state, encode_seen
from pipeline.core.dedupe import SeenCompletion
from pipeline.core.records import (
    AuditEntry,
    Command,
    DeadLetter,
    PortalUnlocked,
    PracticeCompleted,
    ProgressUpdated,
    Record,
)
from pipeline.core.repair import Repair, WindowRecords
from pipeline.core.sets import Sets
from pipeline.core.state import EMPTY, Unlocked, UserState
from pipeline.dev.memory_engine import (
    PARTITIONS,
    SEEN,
    TOPIC,
    USERS,
    CountingProducer,
    as_producer,
    checked_in_schemas,
    new_processor,
    open_partitions,
)
from pipeline.dev.memory_engine import Record as Consumed
from pipeline.dev.workload.ground_truth import InputRecord
from pipeline.dev.workload.wire import json_command, json_completion
from pipeline.engine.batch import Batch, TableView
from pipeline.worker.breaker import Breaker
from tests.core.scenes import DAY, NOW, TODAY, USER, command, completion, credit, repair_of
from tests.properties import examples

R = TypeVar("R", bound=Record)
KEY = USER.encode()
PARTITION = partition_of(KEY, PARTITIONS)
SCHEMAS = checked_in_schemas()
LOST = completion(3, NOW - DAY)
KNOWN = (completion(1, NOW - 3 * DAY), completion(2, NOW - 2 * DAY), completion(4, NOW))


class KeepingProducer(CountingProducer):
    """Keeps records by topic."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, list[tuple[bytes | None, bytes | None]]] = {}

    def produce(
        self, topic: str, partition: int, key: bytes | None, value: bytes | None, *_: object
    ) -> None:
        assert partition == PARTITION
        self.kept.setdefault(topic, []).append((key, value))

    def of(self, topic: str, kind: type[R]) -> list[R]:
        """The records of an output topic."""
        schema = SCHEMAS[kind.__name__]
        reader = PublishedReader(kind, schema, lambda _: schema.tree)
        return [reader.read(value or b"") for _, value in self.kept.get(f"awaway.{topic}", [])]


class Partition:
    """The user's partition, and the records of its last batch."""

    def __init__(self, *, collapse: bool = True) -> None:
        self.processor = new_processor(lambda _: None, collapse=collapse)
        self.opened = open_partitions(None)[PARTITION]
        self.said = KeepingProducer()

    def take(self, *events: PracticeCompleted | Command) -> KeepingProducer:
        """Process inputs of one topic as one batch."""
        self.said = KeepingProducer()
        are_commands = isinstance(events[0], Command)
        records: list[Any] = []
        for offset, event in enumerate(events):
            encode: Any = json_command if are_commands else json_completion
            kind: Any = "commands" if are_commands else "completions"
            record = InputRecord(kind, PARTITION, KEY, encode(event), NOW, (), "")
            records.append(Consumed(record, PARTITION, offset, NOW))
        topic = "awaway.commands" if are_commands else TOPIC
        batch = Batch(topic, records, self.opened, as_producer(self.said))
        process = self.processor.commands if are_commands else self.processor.completions
        process(batch)
        return self.said

    @property
    def user(self) -> UserState:
        """The user's stored state."""
        raw = TableView(USERS, self.opened.state, as_producer(self.said)).get(KEY)
        return EMPTY if raw is None else decode_state(raw)

    def seen(self, key: bytes) -> bytes | None:
        """What the window holds under a key."""
        return TableView(SEEN, self.opened.state, as_producer(self.said)).get(key)


def repairing(repair: Repair, request_id: str = "repair-1") -> Command:
    return command(request_id, "repair", payload=encode_repair(repair))


def window_of(said: KeepingProducer) -> WindowRecords:
    """Return the changelog records of the window."""
    return tuple((key or b"", value) for key, value in said.kept["seen-changelog"])


@pytest.fixture
def live() -> Partition:
    """Return a partition that lost a completion."""
    partition = Partition()
    partition.take(*KNOWN)
    return partition


@pytest.fixture
def derived() -> Partition:
    """Return a partition that has them all; the last is the one that the other lost."""
    partition = Partition()
    partition.take(*KNOWN)
    partition.take(LOST)
    return partition


def test_a_repair_is_carried_out_with_all_that_follows(live: Partition, derived: Partition) -> None:
    before = live.user
    said = live.take(repairing(repair_of(derived.user, before, window=window_of(derived.said))))
    # The state, and its record in the changelog.
    assert live.user.sets == derived.user.sets
    assert live.user.revision == before.revision + 1
    ((key, value),) = said.kept["streaks-changelog"]
    assert (key, decode_state(value or b"")) == (KEY, live.user)
    # Progress.
    (progress,) = said.of("progress", ProgressUpdated)
    assert (progress.revision, progress.streak_days) == (before.revision + 1, 4)
    assert progress.dates.practised[0].start == TODAY - 3
    assert progress.cause.id == "repair-1"
    # The portal that was missed, and no other.
    (portal,) = said.of("portals", PortalUnlocked)
    assert (portal.portal, portal.origin) == ("vesica-piscis", "rebuild")
    # One audit entry.
    (entry,) = said.of("audit", AuditEntry)
    assert (entry.action, entry.verdict, entry.actor) == ("repair", "applied", "lea")
    assert (entry.reason, entry.ticket) == ("the app was down", "T-1")
    assert (entry.digest_before, entry.digest_after) == (before.digest, live.user.digest)
    assert (entry.revision, entry.unlock_ids) == (before.revision + 1, (portal.unlock_id,))
    assert said.of("deadletters", DeadLetter) == []


def test_a_state_that_cannot_be_decoded_is_what_a_repair_is_for(
    live: Partition, derived: Partition
) -> None:
    TableView(USERS, live.opened.state, as_producer(live.said)).put(KEY, b"no state")
    said = live.take(repairing(repair_of(derived.user, EMPTY)))
    assert live.user.sets.practised == derived.user.sets.practised
    assert [entry.verdict for entry in said.of("audit", AuditEntry)] == ["applied"]


def test_what_was_lost_is_a_duplicate_afterwards(live: Partition, derived: Partition) -> None:
    records = window_of(derived.said)
    assert [key for key, _ in records] == [b"iana\0c3"]
    assert live.seen(b"iana\0c3") is None
    said = live.take(repairing(repair_of(derived.user, live.user, window=records)))
    assert window_of(said) == records
    for key in (b"iana\0c3", b"sana\0s3"):
        assert live.seen(key) == derived.seen(key) is not None
    (entry,) = live.take(LOST).of("audit", AuditEntry)
    assert entry.verdict == "exact"


def test_what_never_was_may_come_after_it_was_taken_out(live: Partition) -> None:
    other = Partition()
    other.take(*KNOWN[:2])
    keys = (b"iana\0c4", b"sana\0s4")
    assert None not in [live.seen(key) for key in keys]
    gone = tuple((key, None) for key in keys)
    said = live.take(repairing(repair_of(other.user, live.user, window=gone)))
    assert window_of(said) == gone
    assert [live.seen(key) for key in keys] == [None, None]
    (entry,) = live.take(KNOWN[2]).of("audit", AuditEntry)
    assert (entry.verdict, entry.local_date) == ("accepted", TODAY)


@pytest.mark.parametrize("collapse", [True, False])
def test_the_second_of_one_batch_finds_another_state(collapse: bool, derived: Partition) -> None:
    live = Partition(collapse=collapse)
    live.take(*KNOWN)
    repair = repair_of(derived.user, live.user)
    said = live.take(repairing(repair), repairing(repair, "repair-2"))
    entries = said.of("audit", AuditEntry)
    assert [entry.verdict for entry in entries] == ["applied", "dead_letter"]
    assert entries[1].rejection == "state_changed"
    assert len(said.of("progress", ProgressUpdated)) == len(said.kept["streaks-changelog"]) == 1


@pytest.mark.parametrize(
    ("revisions", "key", "reason"),
    [(1, b"iana\0c3", "state_changed"), (0, b"ibob\0c3", "bad_repair")],
)
def test_one_that_is_rejected_leaves_a_dead_letter_and_nothing_else(
    live: Partition, derived: Partition, revisions: int, key: bytes, reason: str
) -> None:
    before = live.user
    repair = repair_of(
        derived.user, before, revision=before.revision + revisions, window=((key, None),)
    )
    said = live.take(repairing(repair))
    (letter,) = said.of("deadletters", DeadLetter)
    (entry,) = said.of("audit", AuditEntry)
    assert (letter.stage, letter.reason, entry.rejection) == ("validate", reason, reason)
    assert (letter.value, entry.verdict) == (json_command(repairing(repair)), "dead_letter")
    assert said.kept.keys() == {"awaway.deadletters", "awaway.audit"}
    assert live.user == before


@pytest.mark.parametrize("payload", [None, b"", b"\x01", b"no repair"])
def test_a_payload_that_is_no_repair_is_a_dead_letter(
    live: Partition, payload: bytes | None
) -> None:
    said = live.take(command("repair-1", "repair", payload=payload))
    assert [letter.reason for letter in said.of("deadletters", DeadLetter)] == ["bad_repair"]


BEYOND = 2**64 - 1
"""A number that MessagePack has, and eight bytes with a sign do not."""


def bytes_of(append_time: int = NOW, cell: int = 0, completion_id: str = "c9") -> bytes:
    """Return the value of a window record of a completion."""
    seen = SeenCompletion(completion_id, "s9", "breath", NOW - 1, NOW, "c", 0, 0, append_time)
    cover = b"\x02" + msgspec.msgpack.encode(())
    return msgspec.msgpack.encode((append_time, "s9", encode_seen(seen), [(cell, cover)]))


WINDOW_NONSENSE = {
    "junk": (b"iana\0c9", b"junk"),
    "an append time that is too great": (b"iana\0c9", bytes_of(append_time=BEYOND)),
    "a cell that is too great": (b"iana\0c9", bytes_of(cell=BEYOND)),
    "another's id": (b"iana\0c9", bytes_of(completion_id="c8")),
    "a session's value that is too short": (b"sana\0s9", b"short"),
    "a cell's key that is too short": (b"oana\0cell", bytes(8) + b"\x02\x90"),
    "another kind": (b"xana\0c9", None),
}
STATE_NONSENSE: dict[str, dict[str, Any]] = {
    "a portal far ahead": {"portals": (Unlocked(0, "bindu", 2**40, NOW, "asset"),)},
    "a portal at no instant": {"portals": (Unlocked(0, "bindu", TODAY, BEYOND, "asset"),)},
    "an endless run": {"sets": Sets(practised=((TODAY, 2**40),))},
    "a zone that is none": {"tz": "Mars/Base"},
}


def take_with_another(partition: Partition, repair: Repair) -> KeepingProducer:
    """Process a repair, then a credit in the same batch."""
    return partition.take(repairing(repair), credit("r2", TODAY - 5))


def assert_it_cost_itself_alone(said: KeepingProducer, partition: Partition) -> None:
    (letter,) = said.of("deadletters", DeadLetter)
    assert letter.reason == "bad_repair" or letter.stage == "fold"
    verdicts = [entry.verdict for entry in said.of("audit", AuditEntry)]
    assert verdicts == ["dead_letter", "applied"]
    assert partition.user.sets.credits == (("r2", TODAY - 5),)
    assert "seen-changelog" not in said.kept
    assert len(said.kept["streaks-changelog"]) == 1


@pytest.mark.parametrize("record", WINDOW_NONSENSE.values(), ids=WINDOW_NONSENSE)
def test_a_window_of_nonsense_costs_the_repair_alone(
    live: Partition, record: tuple[bytes, bytes | None]
) -> None:
    first = (b"iana\0c3", None)
    said = take_with_another(live, repair_of(live.user, live.user, window=(first, record)))
    assert_it_cost_itself_alone(said, live)


@pytest.mark.parametrize("other", STATE_NONSENSE.values(), ids=STATE_NONSENSE)
def test_a_state_of_nonsense_costs_the_repair_alone(live: Partition, other: dict[str, Any]) -> None:
    before = live.user
    repair = Repair(before.revision, before.digest, replace(before, **other))
    assert_it_cost_itself_alone(take_with_another(live, repair), live)


@cache
def known_and_valid() -> tuple[Partition, bytes, bytes]:
    """Return a partition for many examples, the stored state of its user, and a valid repair."""
    derived = Partition()
    derived.take(*KNOWN, LOST)
    records = window_of(derived.said)
    covers = [(b"o" + records[0][0][1:5] + bytes(8), bytes(8) + b"\x02\x90")]
    session = (b"sana\0s9", bytes(8) + b"c9")
    live = Partition()
    live.take(*KNOWN)
    ((_, stored),) = live.said.kept["streaks-changelog"]
    window = (*records, *covers, session, (b"iana\0c8", None))
    return live, stored or b"", encode_repair(repair_of(derived.user, live.user, window=window))


NUMBERS = st.one_of(
    st.integers(-(2**63), BEYOND),
    st.sampled_from([-1, 0, 1, TODAY, TODAY + 2, 2**31, 2**40, 2**63 - 1, 2**63, BEYOND]),
)
ANYTHING = st.one_of(
    NUMBERS, st.none(), st.text(max_size=3), st.binary(max_size=12), st.lists(NUMBERS, max_size=3)
)


@st.composite
def with_other_bytes(draw: st.DrawFn, payload: bytes) -> bytes:
    """Return the payload with some of its bytes replaced by others."""
    start = draw(st.integers(0, len(payload)))
    return (
        payload[:start] + draw(st.binary(max_size=4)) + payload[start + draw(st.integers(0, 4)) :]
    )


def another(value: object) -> st.SearchStrategy[Any]:
    """Return a value of the same type, where it is a number, a text or bytes; else any."""
    if isinstance(value, int):
        return NUMBERS
    if isinstance(value, str):
        return st.text(max_size=3)
    return with_other_bytes(value) if isinstance(value, bytes) else ANYTHING


@st.composite
def with_another_value(draw: st.DrawFn, payload: bytes) -> bytes:
    """Return the payload with one of its values, however deep, replaced, doubled or left out."""
    whole = node = msgspec.msgpack.decode(payload[1:])
    while True:
        i = draw(st.integers(0, len(node) - 1))
        if not (isinstance(node[i], list) and node[i]) or draw(st.integers(0, 5)) == 0:
            break
        node = node[i]
    how = draw(st.integers(0, 5))
    node[i : i + 1] = [node[i]] * (2 * how) if how < 2 else [draw(another(node[i]))]
    return payload[:1] + msgspec.msgpack.encode(whole)


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """Return the bytes of a valid repair mutated."""
    payload = known_and_valid()[2]
    times = draw(st.integers(0, 2))
    for _ in range(times):
        payload = draw(with_another_value(payload))
    return payload if times else draw(with_other_bytes(payload))


@given(spoilt())
@settings(max_examples=examples(150))
def test_no_repair_stops_a_partition(payload: bytes) -> None:
    partition, stored, _ = known_and_valid()
    partition.opened = open_partitions(None)[PARTITION]
    partition.processor.breaker = Breaker()
    TableView(USERS, partition.opened.state, as_producer(KeepingProducer())).put(KEY, stored)
    said = partition.take(command("repair-1", "repair", payload=payload), credit("r2", TODAY - 5))
    first, second = said.of("audit", AuditEntry)
    assert first.verdict in ("applied", "dead_letter")
    assert len(said.of("deadletters", DeadLetter)) == (first.verdict == "dead_letter")
    assert second.verdict == "applied"
    # Nor does anything that is done with what it left behind.
    said = partition.take(*KNOWN, LOST, completion(5, NOW - 4 * DAY))
    assert len(said.of("audit", AuditEntry)) == 5
    assert decode_state(said.kept["streaks-changelog"][-1][1] or b"") == partition.user
