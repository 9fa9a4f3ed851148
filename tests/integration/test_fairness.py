"""A partition that is far behind, beside others into which a little comes in: they hardly wait.

What is counted is records and not seconds, so that a slow machine changes nothing: how many of the
backlog were folded between an input's append and its effects.
"""

import contextlib
from bisect import bisect_left, bisect_right

import pytest

from pipeline.clock import now_ms
from pipeline.codec.partitioner import partition_of
from pipeline.dev.workload.people import DAY_MS, MINUTE_MS
from pipeline.dev.workload.wire import plain_completion
from pipeline.engine.kafka.consumers import FETCHED_AHEAD_RECORDS, SHARE_RECORDS
from pipeline.kafka.errors import UnreadableLogError
from tests.integration.ledger import Ledger

BACKLOG = 20_000
BATCH_RECORDS_MAX = 1_000
"""In a batch of the producer, which is fetched whole."""

POLL_RECORDS = SHARE_RECORDS + FETCHED_AHEAD_RECORDS + 2 * BATCH_RECORDS_MAX
"""What a poll takes of one partition that is behind, about: its share, and what is there then."""


def users_of(partition: int, ledger: Ledger, count: int) -> list[str]:
    names = (f"user-{number}" for number in range(count * ledger.partitions * 2))
    found = [n for n in names if partition_of(n.encode(), ledger.partitions) == partition]
    return found[:count]


@pytest.mark.verify
def test_a_partition_far_behind_does_not_delay_the_others(ledger: Ledger) -> None:
    now = now_ms()
    behind = users_of(0, ledger, 200)
    others = [users_of(p, ledger, 1)[0] for p in range(1, ledger.partitions)]
    producer = ledger.new_producer(**{"batch.num.messages": BATCH_RECORDS_MAX})
    for n in range(BACKLOG):
        day = n // len(behind) % 11
        user, end_ms = behind[n % len(behind)], now - day * DAY_MS - n % 600 * MINUTE_MS
        value = plain_completion(user, f"b{n}", end_ms)
        producer.produce(ledger.topic("completions"), value, user.encode())
    assert producer.flush(30) == 0
    with ledger.worker():
        sent = 0

        def backlog_gone() -> bool:
            nonlocal sent
            for user in others:
                value = plain_completion(user, f"live-{sent}", now - sent % 11 * DAY_MS)
                ledger.send("completions", user.encode(), value)
                sent += 1
            ledger.flush()
            with contextlib.suppress(UnreadableLogError):  # the group may only just be there
                return ledger.committed()[ledger.topic("completions"), 0] >= BACKLOG
            return False

        ledger.wait_for(backlog_gone, 120.0)
        ledger.drain()
    waits = backlog_waited_for(ledger)
    assert len(waits) == sent > 20
    assert max(waits) <= 2 * POLL_RECORDS, sorted(waits)[-10:]


def backlog_waited_for(ledger: Ledger) -> list[int]:
    """For each input beside the backlog, how much of the backlog was folded before its effects."""
    raw = sorted(ledger.raw("audit"), key=lambda one: (one.partition(), one.offset()))
    folded = [record.timestamp()[1] for record in raw]
    pairs = list(zip(ledger.read("audit"), folded, strict=True))
    backlog = sorted(at for entry, at in pairs if entry.partition == 0)
    waits = []
    for entry, at in pairs:
        if entry.partition != 0:
            appended = int(entry.value["append_time"].timestamp() * 1000)
            waits.append(bisect_right(backlog, at) - bisect_left(backlog, appended))
    return waits
