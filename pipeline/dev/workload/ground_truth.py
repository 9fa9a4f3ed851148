"""A record to be sent with the verdict that it must get, and the counts of all.

Owns: `InputRecord`, the counts by verdict, kind of garbage and kind of oddity.
Does not own: how records are made (month.py, steady.py, stream.py).
Invariant: `GroundTruth` counts only records that are among those to be sent.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final, Literal

import msgspec

Kind = Literal["completions", "commands"]

DUPLICATES: Final = ("exact", "twin", "collision", "overlap")


class InputRecord(msgspec.Struct, frozen=True):
    """One record for an input topic.

    Attributes:
        partition: None leaves it to the partitioner, as producers should.
        append_time_ms: becomes the record's `CreateTime` stamp.
        verdict: that it must get: accepted, exact, twin, collision, overlap, applied, repeated or
            dead_letter; "" where that depends on the records of others.
        garbage: for a dead letter, the kind of garbage; "" otherwise.
        odd: for a completion that looks wrong and is valid, the kind of oddity; "" otherwise.
    """

    kind: Kind
    partition: int | None
    key: bytes | None
    value: bytes | None
    append_time_ms: int
    headers: tuple[tuple[str, bytes], ...]
    verdict: str
    garbage: str = ""
    odd: str = ""


class GroundTruth(msgspec.Struct):
    """How many records there are of each kind.

    Attributes:
        completions, commands: by topic.
        verdicts: by verdict. garbage: the dead letters, by kind of garbage. odd: completions that
            look wrong and are valid, by kind of oddity.
    """

    completions: int = 0
    commands: int = 0
    verdicts: Counter[str] = msgspec.field(default_factory=Counter)
    garbage: Counter[str] = msgspec.field(default_factory=Counter)
    odd: Counter[str] = msgspec.field(default_factory=Counter)

    @property
    def records(self) -> int:
        """Both topics' records."""
        return self.completions + self.commands


def tally(records: Iterable[InputRecord]) -> GroundTruth:
    """Count `records`."""
    truth = GroundTruth()
    for record in records:
        if record.kind == "completions":
            truth.completions += 1
        else:
            truth.commands += 1
        truth.verdicts[record.verdict] += 1
        if record.garbage:
            truth.garbage[record.garbage] += 1
        if record.odd:
            truth.odd[record.odd] += 1
    return truth
