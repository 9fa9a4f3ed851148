"""What the generator makes, and the count of what it meant.

Owns: a record to be sent, the tally of verdicts and garbage that were planted.
Does not own: how they are made (generator.py, garbage.py, oddities.py).
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
        verdict: what it was planted as: accepted, exact, twin, collision, overlap, applied,
            repeated or dead_letter.
        garbage: for a dead letter, the kind of garbage; "" otherwise.
        odd: for a completion that looks wrong and is not, the kind of oddity; "" otherwise.
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
    """How many of each were planted.

    Attributes:
        completions, commands: records of each kind.
        verdicts: by verdict. garbage: the dead letters, by kind of garbage. odd: completions that
            look wrong and are not, by kind of oddity.
    """

    completions: int = 0
    commands: int = 0
    verdicts: Counter[str] = msgspec.field(default_factory=Counter)
    garbage: Counter[str] = msgspec.field(default_factory=Counter)
    odd: Counter[str] = msgspec.field(default_factory=Counter)

    @property
    def records(self) -> int:
        """All of them."""
        return self.completions + self.commands


def tally(records: Iterable[InputRecord]) -> GroundTruth:
    """Count what `records` were meant as."""
    planted = GroundTruth()
    for record in records:
        if record.kind == "completions":
            planted.completions += 1
        else:
            planted.commands += 1
        planted.verdicts[record.verdict] += 1
        if record.garbage:
            planted.garbage[record.garbage] += 1
        if record.odd:
            planted.odd[record.odd] += 1
    return planted
