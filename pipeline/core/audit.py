"""The audit chain.

Owns: how an entry is linked to the one before it, and how a chain is verified.
Does not own: an entry's bytes (codec/), where chains and checkpoints are kept (engine, ops/).
Invariant: the hash of an entry covers the hash before it and every byte of its own body, so it
covers the whole chain up to it. Each (generation, partition) starts from a hash of its own, so that
no chain passes for another.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Final

import msgspec

from pipeline.core.errors import ChainBrokenError
from pipeline.core.identity import NamePrefix

HASH_BYTES: Final = 32


class ChainHead(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The end of a chain.

    Attributes:
        next_sequence: of the entry to come; so also the number of entries. hash: of the last one.
    """

    next_sequence: int
    hash: bytes


class Link(msgspec.Struct, frozen=True, gc=False):
    """An entry as it was read back.

    Attributes:
        body: every byte of the entry before its own hash.
    """

    sequence: int
    prev_hash: bytes
    body: bytes
    hash: bytes


def genesis(generation: str, partition: int) -> ChainHead:
    """Return the head of the chain of a generation's partition before its first entry."""
    return ChainHead(0, sha256(f"awaway/audit/{generation}/{partition}".encode()).digest())


def link(prev_hash: bytes, body: bytes) -> bytes:
    """Return the hash of an entry: SHA-256, 32 bytes.

    Args:
        prev_hash: of the entry before, 32 bytes. body: of the entry, without its own hash.
    """
    return sha256(prev_hash + body).digest()


class AuditIds:
    """The ids of one chain's entries: uuid5 of `generation/partition/sequence`."""

    __slots__ = ("_prefix",)

    def __init__(self, generation: str, partition: int) -> None:
        self._prefix = NamePrefix(f"{generation}/{partition}/")

    def of(self, sequence: int) -> str:
        """Return the id of the entry at `sequence`, 0 and up."""
        return self._prefix.uuid(str(sequence))


def verify(head: ChainHead, links: Iterable[Link]) -> ChainHead:
    """Follow a chain.

    Args:
        head: where to start: `genesis`, or a checkpoint that is trusted.
        links: every entry from there on, in order.

    Returns:
        The head after the last of them.

    Raises:
        ChainBrokenError: an entry is missing or out of order (gap), does not name the one before it
            (unlinked), or is not what was hashed (altered). **Operator action**: as the error says.
    """
    for entry in links:
        # guard (False): an entry of the audit that is missing is found
        if entry.sequence != head.next_sequence:
            raise ChainBrokenError(head.next_sequence, "gap")
        # guard (False): an entry of the audit names the one before it
        if entry.prev_hash != head.hash:
            raise ChainBrokenError(entry.sequence, "unlinked")
        # guard (False): an entry of the audit that was edited is found
        if entry.hash != link(entry.prev_hash, entry.body):
            raise ChainBrokenError(entry.sequence, "altered")
        head = ChainHead(entry.sequence + 1, entry.hash)
    return head


def compare(found: ChainHead, expected: ChainHead) -> None:
    """Compare the head that a chain leads to with one that was kept elsewhere.

    Raises:
        ChainBrokenError: the chain is shorter than it was (truncated), or as long and other
            (diverged). **Operator action**: as the error says.
    """
    # guard (False): an audit that was cut off is found
    if found.next_sequence < expected.next_sequence:
        raise ChainBrokenError(found.next_sequence, "truncated")
    if found != expected:
        raise ChainBrokenError(expected.next_sequence - 1, "diverged")
