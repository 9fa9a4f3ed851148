"""What is wrong with an audit, and where.

Owns: the kinds of findings and what each means.
Does not own: finding them (follow.py, sightings.py, verify.py), printing them (cli/audit_shown.py).
Invariant: a finding names its place, what was expected there and what was found.
"""

from typing import Final, Literal

import msgspec

Kind = Literal[
    "altered",
    "unlinked",
    "missing",
    "reordered",
    "second_chain",
    "foreign",
    "truncated",
    "diverged",
    "forged_checkpoint",
    "missing_checkpoint",
    "damaged_export",
]

MEANINGS: Final[dict[Kind, str]] = {
    "altered": "an entry was changed after it was sealed",
    "unlinked": "the entry before was replaced and sealed anew, or the rest is of another chain",
    "missing": "entries were deleted",
    "reordered": "entries stand in another order than they were written in",
    "second_chain": "somebody besides the worker writes to the audit, or two workers did",
    "foreign": "a record that is no audit entry",
    "truncated": "the end of the chain was cut off",
    "diverged": "the history was rewritten: the chain has another hash than it had",
    "forged_checkpoint": "a checkpoint that its signer did not make so",
    "missing_checkpoint": "a checkpoint was deleted",
    "damaged_export": "a file of the export is not the one that was exported",
}


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that is wrong.

    Attributes:
        place: where it was found: `topic[partition] offset n`, a line of a file, an object.
        generation, sequence: of the entry or the chain that it is about; −1 where there is none.
        offset: of the record; −1 where it is not about one record.
    """

    kind: Kind
    place: str
    expected: str
    found: str
    generation: str = ""
    sequence: int = -1
    offset: int = -1
