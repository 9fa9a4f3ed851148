"""Whether a run's outcome is right: the oracles.

Owns: what is compared with what, and how a difference is reported.
Does not own: the model (model.py), progress, which the run itself watches (run.py).

| | what must hold |
|---|---|
| H | each committed input has exactly one audit entry |
| B | the audit of an input is in offset order |
| A | verdicts, counts and unlocks equal the model's, as multisets too |
| C | each sampled store, and each changelog replayed, equals the model at its own position |
| U | no portal of a person was told twice |
| K–Q | people and their rebuilds: truth.py |
| E | what a read_committed reader saw meanwhile is what the log says in the end |

Progress (D, F) and that each fault had an effect (G) are judged where the run is.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator

from pipeline.engine.state.checkpoint import CHECKPOINT_KEY, decode_checkpoint
from pipeline.engine.state.lazy_records import all_expanded
from simulator.agent import AUDIT, DEAD_LETTERS, INPUTS, POISON, SEEN, TABLES, UNLOCKS, number_in
from simulator.broker import Broker
from simulator.fleet import Sample
from simulator.log import Record
from simulator.model import Partition, State, found_by, in_audited_order, times_of_next
from simulator.people import is_person, portal_in
from simulator.truth import Note


def wrong_partition(
    broker: Broker, partition: int, samples: list[Sample], notes: list[Note]
) -> Iterator[str]:
    """Complaints about one partition.

    Args:
        notes: of its rebuilds.
    """
    inputs = {
        (topic, record.offset()): record
        for topic in INPUTS
        for record in broker.log(topic, partition).committed()
    }
    audit = broker.log(AUDIT, partition).committed()
    complaints = list(_once_and_in_order(inputs, audit, partition))
    yield from complaints
    if complaints:
        return
    by_number: defaultdict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        checkpoint = sample.entries.get(CHECKPOINT_KEY)
        attachment = (
            b""
            if checkpoint is None
            else decode_checkpoint(checkpoint, generation="blue").attachment
        )
        by_number[number_in(attachment)].append(sample)
    order = in_audited_order(inputs, audit)
    times = times_of_next(order, int(broker.world.now * 1000))
    model, unlocked = Partition(), Counter[tuple[bytes, bytes]]()
    model.people.notes = sorted(notes, key=lambda note: note.number)
    yield from _wrong_samples(by_number.pop(0, []), model, times[0])
    for record, entry in zip(order, audit, strict=True):
        expected, unlocks = model.take(record)
        unlocked.update(unlocks)
        if entry.value() != expected:
            yield f"A: [{partition}] audit says {entry.value()!r}, the model {expected!r}"
            return
        number = model.number
        yield from _wrong_samples(by_number.pop(number, []), model, times[number])
    for number in sorted(by_number):
        yield f"C: [{partition}] a store contains {number} inputs, the audit {model.number}"
    emitted = Counter(
        (r.key() or b"", r.value() or b"") for r in _committed(broker, UNLOCKS, partition)
    )
    told = Counter(portal_in(value).unlock_id for key, value in emitted if is_person(key))
    yield from (f"U: [{partition}] {one} was told {n} times" for one, n in told.items() if n > 1)
    yield from (f"[{partition}] {said}" for said in model.people.end())
    if emitted != unlocked:
        extra, missing = emitted - unlocked, unlocked - emitted
        yield f"A: [{partition}] unlocks: {extra} too many, {missing} missing"
    dead = sum((r.value() or b"").startswith(POISON) for r in inputs.values())
    if len(_committed(broker, DEAD_LETTERS, partition)) != dead:
        yield f"H: [{partition}] dead letters are not those of the poison"
    yield from _wrong_changelog(broker, partition, model, times[-1])


def _committed(broker: Broker, topic: str, partition: int) -> list[Record]:
    return broker.log(topic, partition).committed()


def _once_and_in_order(
    inputs: dict[tuple[str, int], Record], audit: list[Record], partition: int
) -> Iterator[str]:
    audited: Counter[tuple[str, int]] = Counter()
    last: dict[str, int] = {}
    for entry in audit:
        topic, raw_offset, *_ = (entry.value() or b"").decode().split("|")
        offset = int(raw_offset)
        audited[topic, offset] += 1
        if offset <= last.get(topic, -1):
            yield f"B: {topic}[{partition}] {offset} was audited after {last[topic]}"
        last[topic] = offset
    wanted = Counter(dict.fromkeys(inputs, 1))
    for (topic, offset), count in sorted((audited - wanted).items()):
        yield f"H: {topic}[{partition}] {offset} has {count} audit entries too many"
    for topic, offset in sorted(wanted - audited):
        yield f"H: {topic}[{partition}] {offset} has no audit entry"


def _wrong_samples(samples: list[Sample], model: Partition, now_ms: int) -> Iterator[str]:
    for sample in samples:
        found, expected = (
            found_by(all_expanded(sample.entries, TABLES), now_ms),
            model.state(now_ms),
        )
        if found != expected:
            yield f"C: [{sample.partition}] {sample.at}: {_difference(found, expected)}"


def _wrong_changelog(
    broker: Broker, partition: int, model: Partition, now_ms: int
) -> Iterator[str]:
    """Replay both changelogs from their starts."""
    entries: dict[bytes, bytes] = {}
    checkpoint = None
    for table in TABLES:
        for record in broker.log(table.changelog, partition).committed():
            key, value = record.key() or b"", record.value()
            if key == CHECKPOINT_KEY:
                checkpoint = value if table is not SEEN else checkpoint
            if key.startswith(b"\x00"):
                continue
            for local, content in table.expand(key, value):
                if content is None:
                    entries.pop(table.prefix + local, None)
                else:
                    entries[table.prefix + local] = content
    found, expected = found_by(entries, now_ms), model.state(now_ms)
    if found != expected:
        yield f"C: [{partition}] changelogs replayed: {_difference(found, expected)}"
    if checkpoint is not None:
        positions = decode_checkpoint(checkpoint, generation="blue").next_offsets
        for topic, offset in model.next_offsets.items():
            if positions.get(topic, 0) < offset:
                yield f"C: [{partition}] the changelog's checkpoint is at {positions}, not {offset}"


def _difference(found: State, expected: State) -> str:
    keys = sorted(k for k in found.keys() | expected.keys() if found.get(k) != expected.get(k))
    shown = [f"{k!r}: {found.get(k)!r} for {expected.get(k)!r}" for k in keys[:4]]
    return f"{len(keys)} entries differ: {', '.join(shown)}"
