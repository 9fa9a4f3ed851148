"""Signed checkpoints as they were found in several places, judged against each other.

Owns: whether the checkpoints of the topic, the object store, a witness and an export are genuine,
complete and the same; what a chain has to be by them.
Does not own: reading them (topic.py, store.py, witness.py, export_files.py), the chains
(follow.py).
Invariants: a place in which all must be is asked for all; a witness only has to agree. A checkpoint
of a witness counts even where topic, store and keys were all made anew: it needs no signature to
say what the chain was.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

from pipeline.ops.audit.findings import Finding, Kind
from pipeline.ops.audit.keys import ListedKey
from pipeline.ops.audit.signed import NO_LINE, SignedCheckpoint, is_signed, parse

Source = Literal["topic", "store", "witness", "export"]

_SHOWN: Final = 80


class Sighting(NamedTuple):
    """A line, and where it was found. `place` is for people."""

    line: str
    source: Source
    place: str


class Mark(NamedTuple):
    """What a chain has to be after so many entries, and who says so."""

    entries: int
    hash: bytes
    place: str


class Judged(NamedTuple):
    """What is said by the checkpoints.

    Attributes:
        rows: the genuine checkpoints of each chain, by their number.
        marks: of each chain, in ascending order.
    """

    rows: dict[tuple[str, int], dict[int, SignedCheckpoint]]
    marks: dict[tuple[str, int], list[Mark]]
    findings: list[Finding]


class _Seen(NamedTuple):
    checkpoint: SignedCheckpoint
    source: Source
    place: str


def judge(
    sightings: Iterable[Sighting],
    topic: str,
    partitions: Collection[int],
    keys: Mapping[str, ListedKey] | None,
    complete: Collection[Source],
) -> Judged:
    """Judge what was found.

    Args:
        topic: of the audit. partitions: that are looked at; checkpoints of others are passed over.
        keys: the list; None: signatures are not looked at.
        complete: the places in which every checkpoint has to be.
    """
    judged = Judged({}, {}, [])
    chains: dict[tuple[str, int], list[_Seen]] = {}
    for one in sightings:
        checkpoint = parse(one.line)
        if checkpoint is None:
            found = repr(one.line[:_SHOWN])
            judged.findings.append(
                Finding("forged_checkpoint", one.place, "the line of a checkpoint", found)
            )
        elif checkpoint.topic == topic and checkpoint.partition in partitions:
            seen = _Seen(checkpoint, one.source, one.place)
            wrong = _wrong_with(seen, keys)
            if wrong is not None:
                judged.findings.append(wrong)
            # A witness that holds another history has to be heard, whoever signed it.
            if wrong is None or one.source == "witness":
                chains.setdefault(checkpoint.chain, []).append(seen)
    for chain, found_of_chain in sorted(chains.items()):
        row, wrong_ones = _row(found_of_chain)
        judged.findings.extend(wrong_ones)
        judged.findings.extend(_breaks(row, keys))
        judged.findings.extend(_missing(found_of_chain, complete))
        judged.rows[chain] = {number: seen.checkpoint for number, seen in row.items()}
        marks = {
            Mark(seen.checkpoint.entries, seen.checkpoint.head, _where(seen))
            for seen in (*row.values(), *(one for one in found_of_chain if _is_other(one, row)))
        }
        judged.marks[chain] = sorted(marks)
    return judged


def _is_other(seen: _Seen, row: Mapping[int, _Seen]) -> bool:
    """Whether a witness has another checkpoint of a number than the row."""
    return seen.source == "witness" and row[seen.checkpoint.number].checkpoint != seen.checkpoint


def _wrong_with(seen: _Seen, keys: Mapping[str, ListedKey] | None) -> Finding | None:
    """What is wrong with a checkpoint by itself."""
    checkpoint = seen.checkpoint
    if keys is None:
        return None
    key = keys.get(checkpoint.key)
    if key is None:
        what = f"a key of the list: {', '.join(keys)}"
        return _about(seen, "forged_checkpoint", what, f"key {checkpoint.key}")
    if not is_signed(checkpoint.statement, checkpoint.signature, key.public):
        what = f"the signature of key {checkpoint.key}"
        return _about(seen, "forged_checkpoint", what, "another signature")
    return None


def _row(seen: Sequence[_Seen]) -> tuple[dict[int, _Seen], list[Finding]]:
    """The checkpoints of a chain by number, and those that contradict them."""
    row: dict[int, _Seen] = {}
    findings = []
    # What a witness has is only a checkpoint like others where the others have none.
    for one in sorted(seen, key=lambda each: each.source == "witness"):
        first = row.setdefault(one.checkpoint.number, one)
        if first.checkpoint.line != one.checkpoint.line:
            kind: Kind = "diverged" if one.source == "witness" else "forged_checkpoint"
            expected = f"as in {first.place}: {_said(first.checkpoint)}"
            findings.append(_about(one, kind, expected, _said(one.checkpoint)))
    return dict(sorted(row.items())), findings


def _breaks(row: Mapping[int, _Seen], keys: Mapping[str, ListedKey] | None) -> Iterable[Finding]:
    """Where a checkpoint does not follow the one before it."""
    for number, seen in row.items():
        now, before = seen.checkpoint, row.get(number - 1)
        previous = NO_LINE if number == 0 else "" if before is None else before.checkpoint.line_hash
        if previous and now.previous != previous:
            yield _about(
                seen, "forged_checkpoint", f"previous {previous}", f"previous {now.previous}"
            )
        if before is None:
            continue
        then = before.checkpoint
        if now.entries <= then.entries or now.time < then.time:
            expected = f"more than {then.entries} entries, later than {then.time}"
            yield _about(seen, "forged_checkpoint", expected, _said(now))
        known = keys or {}
        if {now.key, then.key} <= set(known) and known[now.key].place < known[then.key].place:
            expected = f"key {then.key} or a later one"
            yield _about(seen, "forged_checkpoint", expected, f"key {now.key}, which it replaced")


def _missing(seen: Sequence[_Seen], complete: Collection[Source]) -> Iterable[Finding]:
    """The checkpoints that a place lacks in which all have to be, in ranges."""
    last = max(seen, key=lambda one: one.checkpoint.number)
    generation, partition = last.checkpoint.chain
    for source in sorted(complete):
        there = {one.checkpoint.number for one in seen if one.source == source}
        ends = sorted(there | {last.checkpoint.number + 1})
        for after, end in zip([-1, *ends], ends, strict=False):
            if end == after + 1:
                continue
            yield Finding(
                "missing_checkpoint",
                f"{source}, {generation}/{partition}",
                f"checkpoints 0 to {last.checkpoint.number}, the last by {last.place}",
                f"none of {after + 1} to {end - 1}",
                generation,
            )


def _said(checkpoint: SignedCheckpoint) -> str:
    head = checkpoint.head.hex()[:16]
    return f"{checkpoint.entries} entries, head {head}…, {checkpoint.time}"


def _about(seen: _Seen, kind: Kind, expected: str, found: str) -> Finding:
    one = seen.checkpoint
    return Finding(kind, _where(seen), expected, found, one.generation, one.entries - 1)


def _where(seen: _Seen) -> str:
    one = seen.checkpoint
    return f"{seen.place}, {one.generation}/{one.partition} number {one.number}"
