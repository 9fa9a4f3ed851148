"""Changelogs, offsets and disks that were lost or put back: restored, or refused, never guessed."""

import signal
from pathlib import Path
from typing import Any

import confluent_kafka as ck
import pytest

from pipeline.ops.topics import sync as topic_ops
from pipeline.ops.topics.file import Target, load_topics
from tests.integration.exactness import check_exact
from tests.integration.ledger import READY, ROOT, Ledger
from tests.integration.load import send_load

CHANGELOGS = ("blue.streaks-changelog", "blue.seen-changelog")


def run(ledger: Ledger, **settings: Any) -> None:
    with ledger.worker(plan={}, **settings) as worker:
        ledger.drain(worker)


def make_again(ledger: Ledger, names: tuple[str, ...]) -> None:
    """Delete topics and make them again, empty."""
    delete(ledger, names)
    make_what_is_missing(ledger)


def delete(ledger: Ledger, names: tuple[str, ...]) -> None:
    for future in ledger.admin.delete_topics([ledger.topic(name) for name in names]).values():
        future.result()
    gone = {ledger.topic(name) for name in names}
    ledger.wait_for(lambda: not gone & ledger.admin.list_topics(timeout=10).topics.keys())


def make_what_is_missing(ledger: Ledger) -> None:
    topic_ops.apply(
        ledger.admin,
        load_topics(ROOT / "topics.yaml"),
        Target(prefix=ledger.prefix, partitions=ledger.partitions),
    )


def set_offsets(ledger: Ledger, offset: int) -> None:
    """Put the group's committed offsets somewhere else."""
    partitions = [
        ck.TopicPartition(ledger.topic("completions"), p, offset) for p in range(ledger.partitions)
    ]
    group = ck.ConsumerGroupTopicPartitions(f"{ledger.prefix}blue", partitions)
    ledger.wait_for(lambda: _altered(ledger, group))


def _altered(ledger: Ledger, group: ck.ConsumerGroupTopicPartitions) -> bool:
    (future,) = ledger.admin.alter_consumer_group_offsets([group]).values()
    errors = {one.error.code() for one in future.result().topic_partitions if one.error}
    assert errors <= {ck.KafkaError.UNKNOWN_MEMBER_ID}, errors  # the member is not yet gone
    return not errors


@pytest.mark.verify
def test_changelogs_made_again_are_written_from_the_disk(ledger: Ledger, tmp_path: Path) -> None:
    send_load(ledger, seed=21, events=300)
    run(ledger)
    make_again(ledger, CHANGELOGS)
    run(ledger)
    send_load(ledger, seed=21, events=300)  # everything twice: the window has to know it
    send_load(ledger, seed=22, events=100)
    run(ledger, DATA_DIR=str(tmp_path / "an empty disk"))
    check_exact(ledger)


@pytest.mark.verify
def test_changelogs_made_again_under_a_running_worker(ledger: Ledger, tmp_path: Path) -> None:
    """Under load: what is committed before the worker notices is in the new topics already."""
    send_load(ledger, seed=33, events=300)
    with ledger.worker(plan={}) as worker:
        ledger.drain(worker)
        ready = ledger.log().count(READY)
        make_again(ledger, CHANGELOGS)
        send_load(ledger, seed=34, events=100)
        ledger.wait_for(lambda: "changelogs recreated" in ledger.log())
        ledger.wait_for(lambda: ledger.log().count(READY) >= ready + ledger.partitions)
        send_load(ledger, seed=35, events=100)
        ledger.drain(worker)
    send_load(ledger, seed=33, events=300)  # everything twice: the window has to know it
    run(ledger, DATA_DIR=str(tmp_path / "an empty disk"))
    check_exact(ledger)


@pytest.mark.verify
def test_changelogs_gone_under_a_running_worker_are_waited_for(
    ledger: Ledger, tmp_path: Path
) -> None:
    send_load(ledger, seed=36, events=100)
    with ledger.worker(plan={}) as worker:
        ledger.drain(worker)
        delete(ledger, CHANGELOGS)
        ledger.wait_for(lambda: "changelogs gone" in ledger.log())
        send_load(ledger, seed=37, events=100)
        ready = ledger.log().count(READY)
        make_what_is_missing(ledger)
        ledger.wait_for(lambda: "changelogs recreated" in ledger.log())
        ledger.wait_for(lambda: ledger.log().count(READY) >= ready + ledger.partitions)
        ledger.drain(worker)
    run(ledger, DATA_DIR=str(tmp_path / "an empty disk"))
    check_exact(ledger)


@pytest.mark.verify
def test_changelogs_and_disk_lost_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    send_load(ledger, seed=23, events=100)
    run(ledger)
    make_again(ledger, CHANGELOGS)
    send_load(ledger, seed=24, events=100)
    worker = ledger.start_worker(plan={}, DATA_DIR=str(tmp_path / "an empty disk"))
    ledger.wait_for(lambda: ledger.log().count("refused") == ledger.partitions)
    assert ledger.stop_worker(worker) == 0
    assert ledger.lag() > 0
    assert "start a new generation" in ledger.log()
    run(ledger)  # the disk that was not lost has it all
    check_exact(ledger)


@pytest.mark.verify
def test_group_offsets_that_expired_are_taken_from_the_changelog(ledger: Ledger) -> None:
    send_load(ledger, seed=25, events=300)
    run(ledger)
    ledger.wait_for(lambda: _group_deleted(ledger))
    send_load(ledger, seed=26, events=100)
    run(ledger)
    check_exact(ledger)


def _group_deleted(ledger: Ledger) -> bool:
    (future,) = ledger.admin.delete_consumer_groups([f"{ledger.prefix}blue"]).values()
    try:
        future.result()
    except ck.KafkaException as error:
        assert error.args[0].code() == ck.KafkaError.NON_EMPTY_GROUP
        return False
    return True


@pytest.mark.verify
def test_group_offsets_that_went_back_are_recorded_anew_and_those_ahead_are_refused(
    ledger: Ledger,
) -> None:
    send_load(ledger, seed=27, events=200)
    run(ledger)
    set_offsets(ledger, 1)
    assert ledger.lag() > 0
    run(ledger)
    assert ledger.lag() == 0
    reader = ck.Consumer(
        {"bootstrap.servers": ledger.bootstrap, "group.id": f"{ledger.prefix}blue"}
    )
    partitions = [
        ck.TopicPartition(ledger.topic("completions"), p) for p in range(ledger.partitions)
    ]
    before = reader.committed(partitions, 10)
    reader.close()
    set_offsets(ledger, 10_000)
    worker = ledger.start_worker(plan={})
    ledger.wait_for(lambda: ledger.log().count("refused") == ledger.partitions)
    assert ledger.stop_worker(worker) == 0
    group = ck.ConsumerGroupTopicPartitions(f"{ledger.prefix}blue", before)
    ledger.wait_for(lambda: _altered(ledger, group))
    send_load(ledger, seed=28, events=100)
    run(ledger)
    check_exact(ledger)


@pytest.mark.verify
def test_a_corrupt_disk_is_set_aside_and_restored(ledger: Ledger, tmp_path: Path) -> None:
    send_load(ledger, seed=29, events=300)
    run(ledger)
    store = tmp_path / "data" / f"{ledger.prefix}blue" / "1"
    (manifest,) = store.glob("MANIFEST-*")
    manifest.write_bytes(b"\x00garbage" * 50)
    send_load(ledger, seed=30, events=100)
    run(ledger)
    check_exact(ledger)
    aside = store.with_name("1.aside-0")
    assert (aside / "WHY.txt").read_text(encoding="utf-8")


@pytest.mark.verify
def test_killed_while_a_changelog_is_written_anew(ledger: Ledger, tmp_path: Path) -> None:
    send_load(ledger, seed=31, events=300)
    run(ledger)
    make_again(ledger, CHANGELOGS)
    worker = ledger.start_worker(plan={"crash": {"step": "rewrite", "nth": 3}})
    assert worker.wait(60) == -signal.SIGKILL, ledger.log()
    run(ledger)
    send_load(ledger, seed=31, events=100)
    run(ledger, DATA_DIR=str(tmp_path / "an empty disk"))
    check_exact(ledger)


@pytest.mark.verify
def test_a_disk_that_breaks_in_use_is_set_aside_and_restored(
    ledger: Ledger, tmp_path: Path
) -> None:
    send_load(ledger, seed=32, events=1_500)
    run(ledger)
    store = tmp_path / "data" / f"{ledger.prefix}blue" / "1"
    for table in store.glob("*.sst"):
        content = bytearray(table.read_bytes())
        end = len(content) * 3 // 4  # the blocks of data; what is needed to open it comes last
        content[200:end] = bytes(byte ^ 0xFF for byte in content[200:end])
        table.write_bytes(content)
    send_load(ledger, seed=32, events=200)
    run(ledger)
    check_exact(ledger)
    assert "cannot be read" in (store.with_name("1.aside-0") / "WHY.txt").read_text("utf-8")


@pytest.mark.verify
def test_another_cycle_than_the_generation_began_with_is_refused(
    ledger: Ledger, tmp_path: Path
) -> None:
    send_load(ledger, seed=38, events=100)
    run(ledger)
    lines = (ROOT / "policy.yaml").read_text("utf-8").splitlines()
    shorter = "\n".join(line for line in lines if "sri-yantra" not in line)
    policy = tmp_path / "policy.yaml"
    policy.write_text(shorter.replace("cycle_days: 108", "cycle_days: 96"), "utf-8")
    send_load(ledger, seed=39, events=50)
    worker = ledger.start_worker(POLICY_FILE=str(policy))
    ledger.wait_for(lambda: worker.poll() is not None)
    assert worker.returncode == 1
    for said in ("GenerationTermsError", "cycle_days=108", "cycle_days=96", "AWAWAY_GENERATION"):
        assert said in ledger.log()
    assert ledger.lag() > 0
    run(ledger)
    check_exact(ledger)
