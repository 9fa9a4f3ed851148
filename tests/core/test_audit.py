"""A chain that was edited, cut, reordered or swapped does not pass."""

from hashlib import sha256
from uuid import uuid5

import msgspec
import pytest

from pipeline.core.audit import AuditIds, ChainHead, Link, compare, genesis, link, verify
from pipeline.core.errors import ChainBrokenError
from pipeline.core.identity import NAMESPACE


def chain(count: int, head: ChainHead) -> list[Link]:
    links = []
    for n in range(head.next_sequence, head.next_sequence + count):
        body = f"entry {n}".encode() + head.hash
        links.append(Link(n, head.hash, body, link(head.hash, body)))
        head = ChainHead(n + 1, links[-1].hash)
    return links


START = genesis("blue", 2)
LINKS = chain(6, START)
HEAD = ChainHead(6, LINKS[-1].hash)


def broken(links: list[Link], start: ChainHead = START) -> tuple[int, str]:
    with pytest.raises(ChainBrokenError) as caught:
        verify(start, links)
    assert str(caught.value.sequence) in str(caught.value)
    return caught.value.sequence, caught.value.reason


def test_a_whole_chain_leads_to_its_head() -> None:
    assert verify(START, LINKS) == HEAD
    assert verify(START, []) == START
    middle = verify(START, LINKS[:3])
    assert verify(middle, LINKS[3:]) == HEAD
    compare(HEAD, HEAD)
    assert len(HEAD.hash) == 32
    assert link(b"a" * 32, b"body") == sha256(b"a" * 32 + b"body").digest()


def test_chains_start_differently() -> None:
    starts = {genesis(generation, n).hash for generation in ("blue", "green") for n in range(4)}
    assert len(starts) == 8
    assert broken(LINKS, genesis("green", 2)) == (0, "unlinked")


def test_a_deletion() -> None:
    assert broken(LINKS[:2] + LINKS[3:]) == (2, "gap")
    assert broken(LINKS[1:]) == (0, "gap")


def test_a_reordering_and_a_repetition() -> None:
    assert broken([LINKS[0], LINKS[2], LINKS[1]]) == (1, "gap")
    assert broken([LINKS[0], LINKS[0]]) == (1, "gap")
    renumbered = msgspec.structs.replace(LINKS[2], sequence=1)
    assert broken([LINKS[0], renumbered]) == (1, "unlinked")


def test_an_edit_of_any_byte() -> None:
    for i in range(len(LINKS[3].body)):
        body = bytearray(LINKS[3].body)
        body[i] ^= 1
        edited = msgspec.structs.replace(LINKS[3], body=bytes(body))
        assert broken([*LINKS[:3], edited, *LINKS[4:]]) == (3, "altered")
        resealed = msgspec.structs.replace(edited, hash=link(edited.prev_hash, edited.body))
        assert broken([*LINKS[:3], resealed, *LINKS[4:]]) == (4, "unlinked")


def test_a_truncation_and_a_rewritten_end() -> None:
    with pytest.raises(ChainBrokenError) as caught:
        compare(verify(START, LINKS[:4]), HEAD)
    assert (caught.value.sequence, caught.value.reason) == (4, "truncated")
    other = chain(6, genesis("green", 2))
    with pytest.raises(ChainBrokenError) as caught:
        compare(ChainHead(6, other[-1].hash), HEAD)
    assert (caught.value.sequence, caught.value.reason) == (5, "diverged")
    longer = ChainHead(7, HEAD.hash)
    with pytest.raises(ChainBrokenError) as caught:
        compare(longer, HEAD)
    assert caught.value.reason == "diverged"


def test_ids_of_entries() -> None:
    ids = AuditIds("blue", 3)
    assert ids.of(12) == str(uuid5(NAMESPACE, "blue/3/12"))
    assert ids.of(12) == ids.of(12) != ids.of(13)
