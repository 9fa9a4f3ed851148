"""How far downstream groups are, on the real broker: markers, aborts, offsets that do not fit."""

import json
from collections.abc import Sequence
from typing import Any

import confluent_kafka as ck
import msgspec
import pytest

from pipeline.cli import main as cli
from pipeline.clock import now_ms
from pipeline.codec.avro import AvroEncoder
from pipeline.codec.partitioner import partition_of
from pipeline.codec.registry_client import version_of
from pipeline.core.records import PortalUnlocked
from pipeline.kafka.errors import UnreadableLogError
from pipeline.ops.delivery.history import Passed
from pipeline.ops.delivery.measure import DeliveryReader, group_states
from pipeline.ops.delivery.position import Position, Unread
from pipeline.ops.delivery.watch import DeliveryWatch
from tests.codec.samples import SAMPLES, SCHEMAS
from tests.integration.ledger import Ledger

HOUR_MS = 3_600_000
USER = "ada"
HOME = partition_of(USER.encode(), 4)
(PORTAL,) = (one for one in SAMPLES if isinstance(one, PortalUnlocked))


class Publisher:
    """Writes portals as a worker does: in transactions."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._topic = ledger.topic("portals")
        version = version_of(ledger.registry, f"{self._topic}-value")
        assert version is not None
        self._encoder = AvroEncoder(SCHEMAS["PortalUnlocked"], version.schema_id)
        self.producer = ledger.new_producer(**{"transactional.id": f"{ledger.prefix}portals"})
        self.producer.init_transactions(30)

    def begin(self, *slugs: str, time_ms: int) -> None:
        """Write portals of the user, and leave the transaction open."""
        self.producer.begin_transaction()
        for slug in slugs:
            record = msgspec.structs.replace(PORTAL, user_id=USER, portal=slug, title=slug)
            value = self._encoder.encode(record)
            self.producer.produce(self._topic, value, USER, partition=HOME, timestamp=time_ms)
        self.producer.flush(30)

    def publish(self, *slugs: str, time_ms: int) -> None:
        """Write portals of the user in a transaction of their own."""
        self.begin(*slugs, time_ms=time_ms)
        self.producer.commit_transaction(30)


def commit(ledger: Ledger, group: str, offset: int, topic: str = "portals") -> None:
    """Let a group have read the user's partition up to an offset."""
    settings = {"bootstrap.servers": ledger.bootstrap, "group.id": group}
    member = ck.Consumer({**settings, "enable.auto.commit": False})
    place = ck.TopicPartition(ledger.topic(topic), HOME, offset)
    member.commit(offsets=[place], asynchronous=False)
    member.close()


def test_a_group_is_behind_by_records_and_by_nothing_else(ledger: Ledger) -> None:
    client = {"bootstrap.servers": ledger.bootstrap}
    portals, fast, slow = ledger.topic("portals"), f"{ledger.prefix}fast", f"{ledger.prefix}slow"
    published_ms = now_ms() - HOUR_MS
    writer = Publisher(ledger)
    writer.publish("first", "second", time_ms=published_ms)
    writer.begin("third", time_ms=published_ms)
    writer.producer.abort_transaction(30)
    commit(ledger, fast, 2)
    with DeliveryReader(client, {portals: {fast: 60_000, slow: 60_000}}) as reader:

        def positions() -> tuple[Position, Position]:
            ledger.wait_for(lambda: ledger.ends(["portals"], stable=True)[portals, HOME] == end)
            of_fast, of_slow = reader.measure()
            assert [(of_fast.group, of_fast.topic), of_slow.group] == [(fast, portals), slow]
            assert [one.partition for one in of_fast.positions] == [0, 1, 2, 3]
            return of_fast.positions[HOME], of_slow.positions[HOME]

        end = 5  # two records, a marker, an aborted record, its marker
        read, unread = positions()
        assert read == Position(HOME, 2, 0, 5, None)
        assert unread == Position(HOME, None, 0, 5, Unread(0, published_ms))

        writer.begin("fourth", time_ms=published_ms + 1)
        assert positions()[0].unread is None  # nobody can have read what is not committed
        writer.producer.commit_transaction(30)
        end = 7
        assert positions()[0] == Position(HOME, 2, 0, 7, Unread(5, published_ms + 1))

        # A watch knows between which two measurements a record was read.
        at = [1_000]
        watch = DeliveryWatch(reader, lambda: at[0])
        commit(ledger, slow, 1)
        watch.measure()
        commit(ledger, slow, 2)
        at[0] = 16_000
        watch.measure()
        reads = [watch.reads(portals, HOME, offset)[1] for offset in (0, 1, 5)]
        assert [(one.is_read, one.passed) for one in reads] == [
            (True, Passed(None, 1_000)),
            (True, Passed(1_000, 16_000)),
            (False, None),
        ]

        commit(ledger, slow, 1)
        place = ck.TopicPartition(portals, HOME, 2)
        ledger.admin.delete_records([place])[place].result(30)
        commit(ledger, fast, 500)
        ahead, lost = positions()
        assert ahead == Position(HOME, 500, 2, 7, None, is_ahead=True)
        assert (lost.lost_records, lost.unread) == (1, Unread(5, published_ms + 1))
    assert group_states(client, [fast, "nobody"]) == {fast: "empty", "nobody": "absent"}


def test_brokers_that_are_away_are_told_and_asked_again() -> None:
    client = {"bootstrap.servers": "127.0.0.1:1"}
    with DeliveryReader(client, {"t": {"g": 1}}, timeout_s=0.2) as reader:
        for _ in range(2):
            with pytest.raises(UnreadableLogError):
                reader.measure()
    assert DeliveryReader(client, {"t": {}}).measure() == []


def test_the_command_says_who_is_behind_and_who_has_read_what(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger.be_set_in(monkeypatch)

    def told(code: int, *words: str) -> str:
        assert cli.run(["delivery", *words]) == code, capsys.readouterr()
        return capsys.readouterr().out

    def groups() -> dict[tuple[str, str], Any]:
        return {
            (one["group"], one["topic"].removeprefix(ledger.prefix)): one
            for one in json.loads(told(1, "-o", "json"))["groups"]
        }

    assert all_wait_for_nothing(json.loads(told(0, "-o", "json"))["groups"])
    assert "nothing about ada" in told(1, USER)
    Publisher(ledger).publish("first", "second", time_ms=now_ms() - HOUR_MS)
    commit(ledger, "notifications", 1)
    commit(ledger, "rewards", 3)
    found = groups()
    behind = {at for at, one in found.items() if one["problems"]}
    assert behind == {("notifications", "portals"), ("onboarding", "portals")}
    assert found["notifications", "portals"]["partitions"][HOME]["unread"]["offset"] == 1
    assert found["rewards", "portals"]["lag_ms"] == 0
    assert "never committed an offset" in found["onboarding", "portals"]["notes"]
    table = told(1)
    assert "notifications    portals" in table and "BEHIND" in table
    assert max(len(line) for line in table.splitlines()) <= 80

    of_user = json.loads(told(1, USER, "-o", "json"))["portals"]
    assert [one["place"]["offset"] for one in of_user] == [0, 1]
    assert readers(of_user[0]) == {"notifications", "rewards"}
    assert readers(of_user[1]) == {"rewards"}
    assert "onboarding           not yet, for 1 h, beyond its bound of 10 min" in told(1, USER)
    for group in ("notifications", "onboarding"):
        commit(ledger, group, 2)
    assert told(0, USER).count(" read\n") == 6
    assert "BEHIND" not in told(0)


def all_wait_for_nothing(groups: Sequence[Any]) -> bool:
    return {one["lag_records"] for one in groups} == {0}


def readers(portal: Any) -> set[str]:
    return {one["group"] for one in portal["groups"] if one["is_read"]}
