"""Each way to tamper with a chain leaves its own finding, with its place."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.audit import ChainHead, genesis, link
from pipeline.ops.audit.entry import has_links, parts_of, schema_id_in
from pipeline.ops.audit.findings import Finding
from pipeline.ops.audit.follow import FINDINGS_MAX, Chain, Follower
from pipeline.ops.audit.sightings import Mark
from pipeline.ops.audit.verify import compare
from tests.codec.samples import SCHEMAS
from tests.ops.audit_chains import (
    TOPIC,
    chain,
    entry,
    follow,
    head_after,
    is_ours,
    kinds,
    placed,
    reseal,
)

WHOLE = chain(8)
END = head_after(WHOLE[-1], 7)


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


def test_a_whole_chain_has_no_findings_and_leads_to_its_head() -> None:
    chains, findings = follow(WHOLE, marks=(3, 8, 20))
    assert findings == []
    assert chains["blue"].head == END
    assert chains["blue"].passed == {3: WHOLE[2][-32:], 8: WHOLE[7][-32:]}
    assert chains["blue"].last_offset == 14
    assert follow([]) == ({}, [])


def test_in_parts_it_comes_to_the_same() -> None:
    follower = Follower(TOPIC, 0, is_ours, {"blue": (5,)}, {})
    for record in placed(WHOLE):
        follower.take([record])
        assert follower.is_whole
    assert follower.finish({"blue"}) == follow(WHOLE, marks=(5,))


def test_it_goes_on_from_a_head_that_was_followed_before() -> None:
    begun = {"blue": Chain(head_after(WHOLE[4], 4), {2: WHOLE[1][-32:]}, 8)}
    follower = Follower(TOPIC, 0, is_ours, {"blue": (2, 5, 6)}, begun)
    follower.take(placed(WHOLE)[5:])
    assert follower.is_whole
    chains, findings = follower.finish({"blue"})
    assert findings == [] and chains["blue"].head == END
    assert sorted(chains["blue"].passed) == [2, 5, 6]


def test_two_generations_may_take_turns() -> None:
    green = chain(8, "green")
    mixed = [value for pair in zip(WHOLE, green, strict=True) for value in pair]
    follower = Follower(TOPIC, 0, is_ours, {"green": (4,)}, {})
    follower.take(placed(mixed))
    assert follower.is_whole
    chains, findings = follower.finish({"blue", "green"})
    assert findings == []
    assert {name: one.head.next_sequence for name, one in chains.items()} == {"blue": 8, "green": 8}
    assert chains["green"].passed == {4: green[3][-32:]}


def test_an_edit_of_any_byte_is_found_at_its_place() -> None:
    for at in range(len(WHOLE[3])):
        edited = bytearray(WHOLE[3])
        edited[at] ^= 1
        _, findings = follow([*WHOLE[:3], bytes(edited), *WHOLE[4:]])
        assert findings and findings[0].offset == 6, at


def test_an_edit_of_the_content() -> None:
    edited = WHOLE[3].replace(b"user-0001", b"user-0002")
    found = only(follow([*WHOLE[:3], edited, *WHOLE[4:]])[1])
    assert (found.kind, found.sequence, found.offset) == ("altered", 3, 6)
    assert found.place == "t.audit[0] offset 6"
    assert found.found == f"hash {WHOLE[3][-32:].hex()}" != found.expected


@pytest.mark.parametrize("at", [-1, -40])
def test_an_edit_of_a_hash_is_one_finding(at: int) -> None:
    edited = bytearray(WHOLE[3])
    edited[at] ^= 1
    found = only(follow([*WHOLE[:3], bytes(edited), *WHOLE[4:]])[1])
    assert (found.kind, found.sequence) == ("altered", 3)


def test_an_edit_that_was_sealed_anew_is_found_at_the_next_entry() -> None:
    edited = reseal(WHOLE[3].replace(b"user-0001", b"user-0002"))
    found = only(follow([*WHOLE[:3], edited, *WHOLE[4:]])[1])
    assert (found.kind, found.sequence, found.offset) == ("unlinked", 4, 8)
    assert edited[-32:].hex() in found.expected and WHOLE[3][-32:].hex() in found.found


@pytest.mark.parametrize(("first", "end"), [(0, 1), (3, 4), (2, 6)])
def test_a_deletion(first: int, end: int) -> None:
    chains, findings = follow(WHOLE[:first] + WHOLE[end:])
    found = only(findings)
    assert (found.kind, found.sequence, found.expected) == ("missing", end, f"sequence {first}")
    assert f": {end - first} entries are missing" in found.found
    assert chains["blue"].head == END


def test_a_reordering() -> None:
    swapped = [*WHOLE[:3], WHOLE[4], WHOLE[3], *WHOLE[5:]]
    chains, findings = follow(swapped)
    found = only(findings)
    assert (found.kind, found.sequence, found.offset) == ("reordered", 4, 6)
    assert chains["blue"].head == END


def test_an_entry_that_was_moved_far() -> None:
    moved = [*WHOLE[:2], *WHOLE[3:], WHOLE[2]]
    found = only(follow(moved)[1])
    assert (found.kind, found.sequence) == ("reordered", 3)


def test_a_repetition() -> None:
    found = only(follow([*WHOLE[:5], WHOLE[2], *WHOLE[5:]])[1])
    assert (found.kind, found.sequence, found.offset) == ("second_chain", 2, 10)


def test_two_writers_from_one_head() -> None:
    other = chain(3, head=head_after(WHOLE[3], 3), actor="somebody else")
    mixed = [*WHOLE[:5], *other, *WHOLE[5:]]
    chains, findings = follow(mixed)
    found = only(findings)
    assert (found.kind, found.sequence, found.offset) == ("second_chain", 4, 10)
    assert "sequences 4 to 6 beside it" in found.found
    assert chains["blue"].head == END


def test_a_forged_entry_at_the_end_from_which_the_worker_did_not_go_on() -> None:
    forged = entry(head_after(WHOLE[4], 4), "blue", 0, actor="somebody else")
    chains, findings = follow([*WHOLE[:5], forged, *WHOLE[5:]], marks=(3, 6, 8))
    found = only(findings)
    assert (found.kind, found.sequence, found.offset) == ("second_chain", 5, 10)
    assert chains["blue"].head == END
    assert chains["blue"].passed == {n: WHOLE[n - 1][-32:] for n in (3, 6, 8)}


def test_a_forged_beginning_beside_the_true_one() -> None:
    forged = chain(3, actor="somebody else")
    _, findings = follow([*WHOLE[:4], *forged, *WHOLE[4:]])
    found = only(findings)
    assert (found.kind, found.sequence, found.offset) == ("second_chain", 0, 8)


def test_a_beginning_that_is_none() -> None:
    forged = chain(8, head=ChainHead(0, b"x" * 32))
    found = only(follow(forged)[1])
    assert (found.kind, found.sequence) == ("unlinked", 0)
    assert genesis("blue", 0).hash.hex() in found.expected


def test_a_generation_that_nobody_knows() -> None:
    found = only(follow([*WHOLE, *chain(2, "purple")])[1])
    assert (found.kind, found.generation, found.offset) == ("second_chain", "purple", 16)
    assert "2 entries" in found.found


def test_an_entry_of_another_partition() -> None:
    found = only(follow([*WHOLE[:4], chain(1, partition=3)[0], *WHOLE[4:]])[1])
    assert (found.kind, found.offset) == ("second_chain", 8)
    assert "partition 3" in found.found


def test_an_entry_that_is_far_ahead() -> None:
    ahead = entry(ChainHead(10**6, b"y" * 32), "blue", 0)
    chains, findings = follow([*WHOLE[:4], ahead, *WHOLE[4:]])
    found = only(findings)
    assert (found.kind, found.offset) == ("second_chain", 8)
    assert chains["blue"].head == END


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"\0\0\0\0\7",
        b"no entry at all" * 20,
        WHOLE[0][:-7],
        b"\0\0\0\0\x09" + WHOLE[4][5:],
    ],
    ids=["null", "empty", "short", "unframed", "cut", "another schema"],
)
def test_what_is_no_entry_is_named_and_passed_over(value: bytes | None) -> None:
    chains, findings = follow([*WHOLE[:4], value, *WHOLE[4:]])
    found = only(findings)
    assert found.offset == 8 and found.kind in ("foreign", "altered", "second_chain")
    assert chains["blue"].head == END


def test_a_cut_end_and_a_rewritten_history_are_found_by_marks() -> None:
    marks = [Mark(n, WHOLE[n - 1][-32:], f"checkpoint {n}") for n in (3, 5, 8)]
    counts = [mark.entries for mark in marks]
    whole, _ = follow(WHOLE, counts)
    assert compare("blue", whole["blue"], marks) == []

    cut, findings = follow(WHOLE[:6], counts)
    assert findings == []
    found = only(compare("blue", cut["blue"], marks))
    assert (found.kind, found.place, found.sequence) == ("truncated", "checkpoint 8", 6)

    anew = WHOLE[:3] + chain(7, head=head_after(WHOLE[2], 2), actor="somebody else")
    rewritten, findings = follow(anew, counts)
    assert findings == []
    found = only(compare("blue", rewritten["blue"], marks))
    assert (found.kind, found.place, found.sequence) == ("diverged", "checkpoint 5", 4)
    assert "agrees up to 3 entries" in found.found

    gone = Chain(genesis("blue", 0))
    assert kinds(compare("blue", gone, marks)) == ["truncated"]


def test_findings_are_bounded_and_the_rest_is_counted() -> None:
    follower = Follower(TOPIC, 0, is_ours, {}, {})
    follower.take((n, None) for n in range(FINDINGS_MAX + 5))
    follower.take(
        (n, entry(ChainHead(2 * n, b"z" * 32), "blue", 0)) for n in range(FINDINGS_MAX + 7)
    )
    _, findings = follower.finish({"blue"})
    assert len(findings) >= FINDINGS_MAX
    assert follower.left_out == 12
    assert not follower.is_whole


@given(st.data())
def test_no_tampering_goes_unseen(data: st.DataObject) -> None:
    values = list(WHOLE)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(values) - 1))
        how = data.draw(st.sampled_from(("delete", "move", "repeat", "flip", "reseal")))
        one = values.pop(at)
        if how == "move":
            values.insert(data.draw(st.integers(0, len(values))), one)
        elif how == "repeat":
            values[at:at] = [one, one]
        elif how in ("flip", "reseal"):
            edited = bytearray(one)
            edited[data.draw(st.integers(5, len(one) - 67))] ^= 1 << data.draw(st.integers(0, 7))
            values.insert(at, reseal(bytes(edited)) if how == "reseal" else bytes(edited))
        if not values:
            values.append(WHOLE[0])
    chains, findings = follow(values, (8,))
    findings += compare(
        "blue", chains.get("blue") or Chain(genesis("blue", 0)), [Mark(8, END.hash, "")]
    )
    assert bool(findings) == (values != WHOLE)


def test_an_entry_is_taken_apart_as_its_schema_says() -> None:
    parts = parts_of(WHOLE[5])
    assert parts is not None
    assert (parts.generation, parts.partition, parts.sequence) == ("blue", 0, 5)
    assert (parts.prev_hash, parts.hash) == (WHOLE[4][-32:], WHOLE[5][-32:])
    assert parts.hash == link(parts.prev_hash, parts.body)
    assert schema_id_in(WHOLE[5]) == 7
    assert parts_of(b"\0\0\0\0\7\xff" + b"x" * 80) is None


def test_only_a_schema_with_the_hashes_at_its_end_is_an_entrys() -> None:
    tree = SCHEMAS["AuditEntry"].tree
    assert has_links(tree)
    fields = tree["fields"]
    assert not has_links({**tree, "fields": [*fields, {"name": "more", "type": "string"}]})
    assert not has_links({**tree, "fields": fields[1:]})
    assert not has_links({**tree, "name": "Other"})
    assert not has_links("string")
    assert not has_links(None)


def test_a_later_schema_with_more_fields_is_followed_as_well() -> None:
    longer = msgspec.json.decode(msgspec.json.encode(SCHEMAS["AuditEntry"].tree))
    longer["fields"].insert(-2, {"name": "more", "type": "string", "default": ""})
    assert has_links(longer)
    more = b"\x08text"
    value = WHOLE[0]
    grown = reseal(value[:-66] + more + value[-66:], value[-65:-33])
    follower = Follower(TOPIC, 0, lambda schema_id: schema_id in (7, 8), {}, {})
    follower.take(placed([b"\0\0\0\0\x08" + grown[5:], *chain(2, head=head_after(grown, 0))]))
    chains, findings = follower.finish({"blue"})
    assert findings == [] and chains["blue"].head.next_sequence == 3
