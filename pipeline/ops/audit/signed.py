"""A signed checkpoint: how long a chain was at a time, and the hash of its last entry.

Owns: the line that it is, its signature, its place in the row of a chain's checkpoints.
Does not own: keys (keys.py), where lines are kept (topic.py, store.py, witness.py), judging those
that are found (sightings.py).
Invariants: one checkpoint is one line of text, the same in the topic, in the object store, in a
witness file and in an export; reading a line and writing it again gives the same bytes.

The line has these words, with one space between:

    awaway-checkpoint/1  topic  generation  partition  number  entries  head  offset  time
    previous  key  signature

*number* counts a chain's checkpoints from 0. *entries* is the number of entries, *head* the hash of
the last, *offset* the place of that entry in the topic. *previous* is the SHA-256 of the whole line
before, 64 zeros for the first. *key* is the key's id (keys.py), and *signature* Ed25519 in base64
over the UTF-8 bytes of everything before it, without the space.
"""

import base64
import binascii
import re
from hashlib import sha256
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pipeline.core.audit import ChainHead

FORMAT: Final = "awaway-checkpoint/1"
NO_LINE: Final = "0" * 64
"""What the first checkpoint of a chain names as the one before it."""

LINE_CHARS_MAX: Final = 1_024
_NUMBER: Final = r"(?:0|[1-9][0-9]{0,18})"
_LINE: Final = re.compile(
    rf"{re.escape(FORMAT)} (?P<topic>[A-Za-z0-9._-]{{1,249}})"
    rf" (?P<generation>[A-Za-z0-9._-]{{1,64}}) (?P<partition>{_NUMBER})"
    rf" (?P<number>{_NUMBER}) (?P<entries>{_NUMBER})"
    rf" (?P<head>[0-9a-f]{{64}}) (?P<offset>{_NUMBER})"
    r" (?P<time>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z)"
    r" (?P<previous>[0-9a-f]{64}) (?P<key>[0-9a-f]{16}) (?P<signature>[A-Za-z0-9+/]{86}==)"
)


class SignedCheckpoint(msgspec.Struct, frozen=True):
    """One checkpoint of one chain; the fields are the words of the line.

    Attributes:
        time: RFC 3339 in UTC with milliseconds, by the signer's clock; so it sorts as text.
    """

    topic: str
    generation: str
    partition: int
    number: int
    entries: int
    head: bytes
    offset: int
    time: str
    previous: str
    key: str
    signature: str = ""

    @property
    def chain(self) -> tuple[str, int]:
        """Generation and partition."""
        return self.generation, self.partition

    @property
    def chain_head(self) -> ChainHead:
        """The head that was signed."""
        return ChainHead(self.entries, self.head)

    @property
    def statement(self) -> str:
        """What is signed: the line without its signature."""
        words = (FORMAT, self.topic, self.generation, self.partition, self.number, self.entries)
        rest = (self.head.hex(), self.offset, self.time, self.previous, self.key)
        return " ".join(map(str, words + rest))

    @property
    def line(self) -> str:
        """The whole line, without its line feed."""
        return f"{self.statement} {self.signature}"

    @property
    def line_hash(self) -> str:
        """What the next checkpoint of the chain names as the one before it."""
        return sha256(self.line.encode()).hexdigest()


def parse(line: str) -> SignedCheckpoint | None:
    """Read a line; None where it is none. Its signature is not looked at."""
    found = _LINE.fullmatch(line) if len(line) <= LINE_CHARS_MAX else None
    if found is None:
        return None
    return SignedCheckpoint(
        topic=found["topic"],
        generation=found["generation"],
        partition=int(found["partition"]),
        number=int(found["number"]),
        entries=int(found["entries"]),
        head=bytes.fromhex(found["head"]),
        offset=int(found["offset"]),
        time=found["time"],
        previous=found["previous"],
        key=found["key"],
        signature=found["signature"],
    )


def sign(statement: str, key: Ed25519PrivateKey) -> str:
    """Return the signature of a statement in base64."""
    return base64.b64encode(key.sign(statement.encode())).decode()


def is_signed(statement: str, signature: str, key: Ed25519PublicKey) -> bool:
    """Return whether a signature in base64 is that of a statement."""
    try:
        raw = base64.b64decode(signature, validate=True)
        key.verify(raw, statement.encode())
    except (InvalidSignature, binascii.Error):
        return False
    return base64.b64encode(raw).decode() == signature  # other last bits would be another line
