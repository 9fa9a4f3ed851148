"""The live stream for clients that come back late or take too little: bounded, and lossless."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import confluent_kafka as ck
import httpx2
import pytest

from pipeline.api.live import replay as stream_replay
from pipeline.api.live.replay import NotReplayedError, OffsetRange, Replay, ReplayPage
from tests.api.serving import Served, token
from tests.api.test_live import DEADLINE_S, Event, days_ago, post, stream, take
from tests.integration.ledger import Ledger

FAR = 21_000
"""Events that a client missed; more than a page, and than any queue has."""


def with_events(served: Served, user_id: str) -> tuple[httpx2.Client, dict[str, Event]]:
    """A user with one completion, and the events that it made."""
    client = served.client(user_id)
    with stream(client, user_id) as events:
        post(served, days_ago(user_id, 0))
        return client, take(events, "progress", "portal", "geometry")


def end_of(event_id: str) -> tuple[int, ...]:
    """The next offsets of an id."""
    return tuple(int(number) for number in event_id.split("-")[1:])


def produce_more(ledger: Ledger, name: str, user: bytes, count: int, *, every: int = 1) -> int:
    """Copies of a user's last record, one in `every` of this user; gives their partition."""
    sample = [record for record in ledger.raw(name) if record.key() == user][-1]
    producer = ck.Producer({"bootstrap.servers": ledger.bootstrap, "linger.ms": 20})
    for number in range(count):
        key = user if number % every == 0 else b"nobody"
        while True:
            try:
                producer.produce(ledger.topic(name), sample.value(), key, sample.partition())
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(30) == 0
    partition: int = sample.partition()
    return partition


@pytest.mark.verify
def test_a_client_that_missed_more_than_any_page_gets_all_of_it(served: Served) -> None:
    kim, events = with_events(served, "kim")
    last = max((event.id for event in events.values()), key=end_of)
    produce_more(served.ledger, "geometry", b"kim", FAR)
    produce_more(served.ledger, "geometry", b"kim", 600, every=1_000)  # out of memory with them
    seen: list[str] = []
    with stream(kim, "kim", last) as coming:
        for event in coming:
            assert event.kind in ("", "geometry"), event
            if event.kind:
                seen.append(event.id)
            if len(seen) == FAR + 1:
                break
    offsets = [end_of(each)[2] for each in seen]
    assert offsets == sorted(set(offsets))
    assert offsets[:FAR] == list(range(offsets[0], offsets[0] + FAR))


def pages(
    replay: Replay, user: bytes, partition: int, ranges: list[OffsetRange]
) -> list[ReplayPage]:
    """Page after page until all of the ranges was told."""
    found = []
    deadline_s = time.monotonic() + DEADLINE_S
    while ranges:
        assert time.monotonic() < deadline_s
        page = replay.page(user, partition, ranges, threading.Event())
        found.append(page)
        moved = [one._replace(since=page.reached[one.topic]) for one in ranges]
        assert any(new.since > old.since for new, old in zip(moved, ranges, strict=True))
        ranges = [one for one in moved if one.since < one.until]
    return found


@pytest.mark.verify
def test_pages_tell_each_record_once_and_topics_side_by_side(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_replay, "PAGE_RECORDS_MAX", 50)
    monkeypatch.setattr(stream_replay, "_AT_ONCE", 40)
    with_events(served, "lea")
    ledger = served.ledger
    for _ in range(3):
        for name, every in (("portals", 7), ("geometry", 1), ("portals", 3)):
            partition = produce_more(ledger, name, b"lea", 210, every=every)
    replay = Replay({"bootstrap.servers": ledger.bootstrap})
    names = ["progress", "portals", "geometry"]
    partitions = [ck.TopicPartition(ledger.topic(name), partition) for name in names]
    reader = ck.Consumer({"bootstrap.servers": ledger.bootstrap, "group.id": "none"})
    ends = [reader.get_watermark_offsets(one, 10)[1] for one in partitions]
    reader.close()
    ranges = [
        OffsetRange(topic, ledger.topic(name), 0, ends[topic]) for topic, name in enumerate(names)
    ]
    found = pages(replay, b"lea", partition, ranges)
    assert len(found) > 3
    records = [one for page in found for one in page.records]
    for topic, name in enumerate(names):
        there = [
            record.offset()
            for record in ledger.raw(name)
            if record.key() == b"lea" and record.partition() == partition
        ]
        assert [one.offset for one in records if one.topic == topic] == sorted(there), name
    times = [one.time_ms for one in records]
    assert times == sorted(times)


def test_brokers_that_say_nothing_are_no_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_replay, "_REQUEST_TIMEOUT_S", 0.2)
    replay = Replay({"bootstrap.servers": "127.0.0.1:1", "log_level": 0})
    with pytest.raises(NotReplayedError, match="unavailable"):
        replay.page(b"a", 0, [OffsetRange(0, "t", 0, 9)], threading.Event())


@contextmanager
def deaf(served: Served, user_id: str) -> Iterator[socket.socket]:
    """A connection whose stream was asked for, and of which nothing more than its start is read."""
    host, _, port = served.base.removeprefix("http://").rpartition(":")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.settimeout(DEADLINE_S)
        connection.connect((host, int(port)))
        connection.sendall(
            f"GET /v1/users/{user_id}/events HTTP/1.1\r\nHost: a\r\n"
            f"Authorization: Bearer {token(user_id)}\r\n\r\n".encode()
        )
        assert connection.recv(1_024).startswith(b"HTTP/1.1 200")
        yield connection


def all_of(connection: socket.socket) -> bytes:
    """What was sent until the connection was closed or broken."""
    content = bytearray()
    while True:
        try:
            part = connection.recv(65_536)
        except ConnectionError:
            return bytes(content)
        if not part:
            return bytes(content)
        content += part


def last_id(content: bytes) -> str:
    """The id of the last event that came whole."""
    whole = content[: content.rindex(b"\n\n")].decode(errors="replace")
    return [line[4:].strip() for line in whole.splitlines() if line.startswith("id: ")][-1]


@pytest.mark.verify
def test_a_client_that_takes_nothing_is_let_go_and_can_resume(served: Served) -> None:
    mia, _ = with_events(served, "mia")
    served.ledger.wait_for(lambda: served.streams() == 0)
    with deaf(served, "mia") as connection:
        served.ledger.wait_for(lambda: served.streams() == 1)
        produce_more(served.ledger, "geometry", b"mia", FAR)
        served.ledger.wait_for(lambda: served.streams() == 0)
        last = last_id(all_of(connection))
    reached = end_of(last)[2]
    newest = max(r.offset() for r in served.ledger.raw("geometry") if r.key() == b"mia")
    assert reached <= newest  # else nothing was left to resume for
    offsets = []
    with stream(mia, "mia", last) as coming:
        for event in coming:
            assert event.kind in ("", "geometry"), event
            if event.kind:
                offsets.append(end_of(event.id)[2])
            if offsets and offsets[-1] > newest:
                break
    assert offsets == list(range(reached + 1, newest + 2))
