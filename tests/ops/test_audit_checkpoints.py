"""Signed checkpoints: what is signed, what forged or missing ones look like; keys, a witness."""

import string
from pathlib import Path

import msgspec
import pytest

from pipeline.kafka.errors import UnreadableLogError
from pipeline.ops.audit import witness
from pipeline.ops.audit.findings import Finding
from pipeline.ops.audit.keys import AuditKeyError, make, read_list, read_private
from pipeline.ops.audit.sightings import Judged, Sighting, Source, judge
from pipeline.ops.audit.signed import NO_LINE, SignedCheckpoint, parse, sign
from pipeline.ops.audit.store import CheckpointStore, CheckpointStoreError, CheckpointTakenError
from pipeline.ops.audit.verify import without_checkpoint
from tests.ops.audit_chains import (
    NOW_MS,
    TOPIC,
    MemoryTopics,
    Signing,
    chain,
    follow,
    head_after,
    kinds,
    placed,
    verify,
)


@pytest.fixture
def signing(tmp_path: Path) -> Signing:
    """Two partitions: one with entries, one without."""
    return Signing(tmp_path, MemoryTopics({0: placed(chain(5)), 1: []}))


def grow(signing: Signing, count: int) -> None:
    """Add entries to partition 0."""
    records = signing.topics.logs[0]
    last = records[-1][1] or b""
    values = [value or b"" for _, value in records]
    values += chain(count, head=head_after(last, len(values) - 1))
    signing.topics.logs[0] = placed(values)


def seen(
    signing: Signing, *more: Sighting, complete: tuple[Source, ...] = ("topic", "store")
) -> Judged:
    found = [*signing.topics.checkpoints(), *signing.store.checkpoints(), *more]
    return judge(found, TOPIC, range(2), signing.keys, complete)


def resigned(signing: Signing, one: SignedCheckpoint, **changes: object) -> SignedCheckpoint:
    """A checkpoint that somebody with the key made otherwise."""
    changed = msgspec.structs.replace(one, **changes)
    return msgspec.structs.replace(changed, signature=sign(changed.statement, signing.key))


def three(signing: Signing) -> list[SignedCheckpoint]:
    """Three checkpoints of one chain."""
    made = []
    for _ in range(3):
        grow(signing, 2)
        made += signing.run().signed
    return made


def only(judged: Judged) -> Finding:
    assert len(judged.findings) == 1, judged.findings
    return judged.findings[0]


# --- signing -------------------------------------------------------------------------------------


def test_a_run_signs_the_chains_that_have_entries(signing: Signing) -> None:
    (one,) = signing.run().signed
    last = signing.topics.logs[0][-1]
    assert (one.topic, one.generation, one.partition, one.number) == (TOPIC, "blue", 0, 0)
    assert (one.entries, one.head, one.offset) == (5, (last[1] or b"")[-32:], last[0])
    assert (one.time, one.previous) == ("2026-03-01T06:10:00.000Z", NO_LINE)
    assert parse(one.line) == one
    assert signing.topics.lines == [one.line]
    assert [found.line for found in signing.store.checkpoints()] == [one.line]
    assert seen(signing).findings == []


def test_a_run_without_news_signs_nothing_and_the_next_follows_the_last(signing: Signing) -> None:
    (first,) = signing.run().signed
    assert signing.run().signed == []
    grow(signing, 2)
    signing.topics.reads.clear()
    (second,) = signing.run(NOW_MS - 1).signed
    assert (second.number, second.entries, second.previous) == (1, 7, first.line_hash)
    assert second.time == first.time, "a clock that was set back goes back in no row"
    # The last entry that was signed, then what is new; of the other partition nothing.
    assert signing.topics.reads == [(8, 1), (9, 2), (0, 0)]
    assert seen(signing).findings == []


def test_nothing_is_signed_over_a_finding(signing: Signing) -> None:
    signing.run()
    grow(signing, 4)
    del signing.topics.logs[0][6]
    done = signing.run()
    assert done.signed == [] and kinds(done.findings) == ["missing"]
    assert len(signing.topics.lines) == 1


def test_what_was_signed_and_then_written_anew_is_not_signed_again(signing: Signing) -> None:
    signing.run()
    signing.topics.logs[0] = placed(chain(7, actor="somebody else"))
    done = signing.run()
    assert done.signed == [] and kinds(done.findings) == ["diverged"]


def test_a_topic_that_was_restored_at_other_offsets_is_signed_on(signing: Signing) -> None:
    signing.run()
    grow(signing, 2)
    signing.topics.logs[0] = [(at + 1_000, value) for at, value in signing.topics.logs[0]]
    (one,) = signing.run().signed
    assert (one.entries, one.offset) == (7, 1_012)


def test_a_run_that_was_killed_between_store_and_topic_is_completed(signing: Signing) -> None:
    signing.topics.publishes = False
    with pytest.raises(UnreadableLogError):
        signing.run()
    assert signing.topics.lines == []
    assert only(seen(signing)).kind == "missing_checkpoint"
    signing.topics.publishes = True
    done = signing.run()
    assert (done.signed, done.completed) == ([], 1)
    assert seen(signing).findings == []
    grow(signing, 1)
    assert [one.number for one in signing.run().signed] == [1]


def test_of_two_signers_one_has_the_number(signing: Signing) -> None:
    (one,) = signing.run().signed
    signing.store.add(one)
    other = resigned(signing, one, time="2026-03-01T06:10:00.001Z")
    with pytest.raises(CheckpointTakenError) as caught:
        signing.store.add(other)
    assert one.line in caught.value.why
    assert [found.line for found in signing.store.checkpoints()] == [one.line]


def test_the_signer_does_not_read_objects_that_are_as_the_topic_says(signing: Signing) -> None:
    made = three(signing)
    first, *_ = sorted((signing.folder / "store").rglob("000*"))
    first.write_text(first.read_text().replace("a", "b"))
    known = signing.topics.checkpoints()
    assert [one.line for one in signing.store.checkpoints(known)] == [one.line for one in made]
    assert "forged_checkpoint" in kinds(seen(signing).findings), "who verifies reads it"
    first.write_text("short")
    assert signing.store.checkpoints(known)[0].line == "short"


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointStoreError, match="there is no folder"):
        CheckpointStore(str(tmp_path / "none"))


# --- forged and missing ones ---------------------------------------------------------------------


def test_a_change_of_any_character_is_found(signing: Signing) -> None:
    (one,) = signing.run().signed
    for at, character in enumerate(one.line):
        other = "0" if character != "0" else "1"
        signing.topics.lines = [one.line[:at] + other + one.line[at + 1 :]]
        # In the topic's name it is a checkpoint of something else, which this one lacks.
        assert seen(signing).findings, at


def test_a_signature_is_spelled_in_one_way_only(signing: Signing) -> None:
    (one,) = signing.run().signed
    digits = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
    last = digits.index(one.signature[85])
    for other in range(last & ~15, (last & ~15) + 16):
        signing.topics.lines = [one.line[:-3] + digits[other] + "=="]
        assert bool(seen(signing).findings) == (other != last)


def test_a_signature_of_somebody_else(signing: Signing, tmp_path: Path) -> None:
    (one,) = signing.run().signed
    make(tmp_path / "other.pem", tmp_path / "others.txt", None)
    other = read_private(tmp_path / "other.pem")
    forged = msgspec.structs.replace(one, entries=6, number=1, previous=one.line_hash)
    forged = msgspec.structs.replace(forged, signature=sign(forged.statement, other))
    signing.topics.lines.append(forged.line)
    found = only(seen(signing))
    assert (found.kind, found.place) == ("forged_checkpoint", "topic line 1, blue/0 number 1")
    signing.topics.lines[1] = msgspec.structs.replace(forged, key="0" * 16).line
    assert "key 0000000000000000" in only(seen(signing)).found
    signing.topics.lines[1] = "nothing like it"
    assert only(seen(signing)).found == "'nothing like it'"


@pytest.mark.parametrize(("gone", "said"), [(0, "none of 0 to 0"), (1, "none of 1 to 1")])
def test_one_that_was_deleted_from_the_topic(signing: Signing, gone: int, said: str) -> None:
    three(signing)
    del signing.topics.lines[gone]
    found = only(seen(signing))
    assert (found.kind, found.place, found.found) == ("missing_checkpoint", "topic, blue/0", said)


def test_the_last_that_was_deleted_from_the_store(signing: Signing) -> None:
    made = three(signing)
    objects = sorted((signing.folder / "store").rglob("000*"))
    assert len(objects) == 3
    objects[-1].unlink()
    found = only(seen(signing))
    assert (found.kind, found.place) == ("missing_checkpoint", "store, blue/0")
    assert made[-1].chain == ("blue", 0)


def test_one_that_is_missing_everywhere_breaks_the_row(signing: Signing) -> None:
    made = three(signing)
    lines = [made[0].line, resigned(signing, made[2], number=1).line]
    found = judge(
        [Sighting(line, "topic", "") for line in lines], TOPIC, [0], signing.keys, ["topic"]
    )
    assert only(found).kind == "forged_checkpoint"
    assert made[0].line_hash in only(found).expected


def test_no_checkpoint_at_all(signing: Signing) -> None:
    chains, _ = follow(chain(3))
    (found,) = without_checkpoint(0, chains, seen(signing))
    assert (found.kind, found.place) == ("missing_checkpoint", "blue/0")
    signing.run()
    assert without_checkpoint(0, chains, seen(signing)) == []


def test_two_of_one_number_contradict_each_other(signing: Signing) -> None:
    made = three(signing)
    signing.topics.lines.append(resigned(signing, made[2], head=b"x" * 32).line)
    found = only(seen(signing))
    assert found.kind == "forged_checkpoint" and "topic line 2" in found.expected


@pytest.mark.parametrize("change", [{"entries": 6}, {"time": "2026-03-01T06:09:59.999Z"}])
def test_a_row_does_not_go_back(signing: Signing, change: dict[str, object]) -> None:
    made = three(signing)
    signing.topics.lines[2] = resigned(signing, made[2], **change).line
    found = judge(signing.topics.checkpoints(), TOPIC, [0], signing.keys, ["topic"])
    assert only(found).kind == "forged_checkpoint"


def test_checkpoints_of_others_are_passed_over(signing: Signing) -> None:
    (one,) = signing.run().signed
    signing.topics.lines += [
        resigned(signing, one, topic="other.audit").line,
        resigned(signing, one, partition=9).line,
    ]
    assert seen(signing).findings == []


# --- a witness -----------------------------------------------------------------------------------


def test_a_witness_finds_what_was_all_made_anew(signing: Signing, tmp_path: Path) -> None:
    file = tmp_path / "witness.txt"
    witness.add(file, three(signing))
    assert seen(signing, *witness.read(file)).findings == []

    (tmp_path / "anew").mkdir()
    logs = {0: placed(chain(11, actor="somebody else")), 1: []}
    anew = Signing(tmp_path / "anew", MemoryTopics(logs))
    anew.run()
    assert seen(anew).findings == [], "topic, store and keys agree with each other"
    judged = seen(anew, *witness.read(file))
    assert set(kinds(judged.findings)) == {"forged_checkpoint", "missing_checkpoint", "diverged"}
    diverged = next(one for one in judged.findings if one.kind == "diverged")
    assert diverged.place.startswith(f"{file} line 1")
    report = verify(anew.topics, judged.marks["blue", 0])
    assert kinds(report.findings) == ["diverged"]
    assert report.findings[0].place == f"{file} line 1, blue/0 number 0"


def test_a_witness_alone_finds_an_end_that_was_cut_off(signing: Signing, tmp_path: Path) -> None:
    file = tmp_path / "witness.txt"
    witness.add(file, three(signing))
    signing.topics.lines.clear()
    del signing.topics.logs[0][9:]
    judged = judge(witness.read(file), TOPIC, [0], None, ())
    assert kinds(verify(signing.topics, judged.marks["blue", 0]).findings) == ["truncated"]


def test_a_witness_file_drops_what_a_kill_left_half_written(
    signing: Signing, tmp_path: Path
) -> None:
    made = three(signing)
    file = tmp_path / "witness.txt"
    witness.add(file, made[:1])
    with file.open("a") as half:
        half.write(made[1].line[:40])
    assert [one.line for one in witness.read(file)] == [made[0].line]
    witness.add(file, made[1:])
    assert [one.line for one in witness.read(file)] == [one.line for one in made]
    with pytest.raises(witness.WitnessError):
        witness.read(tmp_path)


# --- keys ----------------------------------------------------------------------------------------


def test_a_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    key, listed = tmp_path / "a.pem", tmp_path / "keys.txt"
    made = make(key, listed, None)
    assert list(read_list(listed)) == [made] and key.stat().st_mode & 0o077 == 0
    content = key.read_bytes()
    for file, after in ((key, key), (tmp_path / "b.pem", None)):
        with pytest.raises(AuditKeyError):
            make(file, listed, after)
    assert key.read_bytes() == content and list(read_list(listed)) == [made]
    assert list(read_list(listed, [made])) == [made]
    with pytest.raises(AuditKeyError, match="not trusted"):
        read_list(listed, ["0" * 16])


def test_a_key_that_a_killed_run_left_is_put_on_the_list(tmp_path: Path) -> None:
    key, listed = tmp_path / "a.pem", tmp_path / "keys.txt"
    made = make(key, tmp_path / "lost.txt", None)
    assert make(key, listed, None) == made


def test_a_key_is_replaced_without_a_break(signing: Signing) -> None:
    signing.run()
    old = signing.key_file
    signing.rotate()
    grow(signing, 1)
    (one,) = signing.run().signed
    assert one.key == list(signing.keys)[1]
    assert seen(signing).findings == []
    signing.key_file = old
    with pytest.raises(AuditKeyError, match="not the last"):
        signing.run()


def test_an_old_key_signs_nothing_behind_its_successor(signing: Signing) -> None:
    three(signing)
    old = signing.key
    signing.rotate()
    grow(signing, 1)
    (last,) = signing.run().signed
    stolen = msgspec.structs.replace(
        last, number=4, entries=99, previous=last.line_hash, key=next(iter(signing.keys))
    )
    stolen = msgspec.structs.replace(stolen, signature=sign(stolen.statement, old))
    lines = [*signing.topics.lines, stolen.line]
    found = judge(
        [Sighting(line, "topic", "") for line in lines], TOPIC, [0], signing.keys, ["topic"]
    )
    assert only(found).kind == "forged_checkpoint" and "which it replaced" in only(found).found


def test_a_list_of_keys_that_was_tampered_with_is_refused(signing: Signing, tmp_path: Path) -> None:
    signing.rotate()
    lines = signing.listed.read_text().splitlines()
    make(tmp_path / "x.pem", tmp_path / "x.txt", None)
    strange = (tmp_path / "x.txt").read_text().splitlines()[0]
    words = strange.split(" ")
    for wrong in (
        [lines[0], strange],
        [lines[1]],
        [lines[0], lines[1], lines[1]],
        [lines[0].replace(lines[0].split(" ")[1], "0" * 16)],
        [lines[0], " ".join([*words[:4], *lines[1].split(" ")[4:]])],
        ["no key"],
        [],
    ):
        signing.listed.write_text("".join(f"{line}\n" for line in wrong))
        with pytest.raises(AuditKeyError):
            read_list(signing.listed)
    with pytest.raises(AuditKeyError):
        read_list(tmp_path / "none.txt")
    with pytest.raises(AuditKeyError):
        read_private(signing.listed)
