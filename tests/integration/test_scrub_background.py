"""The background scrub on the real broker: it finds damage of one side alone, disk or changelog."""

import json
import re
import shutil
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline.codec.state import decode_state, encode_state
from pipeline.core.sets import digest_of
from pipeline.core.state import UserState
from pipeline.engine.state.rocks import RocksDisk
from pipeline.worker.scrubbing import WALK_EVERY_S
from tests.integration.ledger import Ledger
from tests.integration.load import send_load
from tests.integration.test_rebuild import damage
from tests.integration.test_scrub import scrub
from tests.worker.scraping import samples

RATE: dict[str, Any] = {"SCRUB_RECORDS_PER_S": "100000"}


def scraped(ledger: Ledger, slot: int = 0) -> dict[str, float]:
    """What the worker exposes that started last in a slot."""
    address = re.findall(r"http://[\d.]+:\d+/readyz", ledger.log(slot))[-1]
    with urllib.request.urlopen(address.replace("readyz", "metrics"), timeout=10) as answer:
        return samples(answer.read().decode())


def differing(ledger: Ledger) -> float:
    """Users who differ in the last whole walks; −1 until each partition was walked."""
    try:
        found = scraped(ledger)
    except OSError:  # the address is of the worker before, as this one does not listen yet
        return -1
    walked = [name for name in found if name.startswith("awaway_state_scrub_last_walk")]
    if len(walked) < ledger.partitions:
        return -1
    return sum(
        value for name, value in found.items() if name.startswith("awaway_state_scrub_users_diff")
    )


def told(ledger: Ledger) -> dict[str, str]:
    """Who was said to differ, and the side that is wrong."""
    lines = [json.loads(line) for line in ledger.log().splitlines() if "changelog differ" in line]
    return {user: kind for line in lines for user, kind in line["users"].items()}


def a_day_less(state: UserState) -> UserState:
    """The state without its last date, which agrees with itself."""
    start, length = state.sets.practised[-1]
    kept = ((start, length - 1),) if length > 1 else ()
    sets = msgspec.structs.replace(state.sets, practised=(*state.sets.practised[:-1], *kept))
    return msgspec.structs.replace(state, sets=sets, digest=digest_of(sets))


def torn(state: UserState) -> UserState:
    """The state with a date less, and the digest that it had."""
    return msgspec.structs.replace(a_day_less(state), digest=state.digest)


def damage_disk(
    folder: Path, partition: int, *changes: Callable[[UserState], UserState]
) -> list[str]:
    """Change a user's state each on the disk alone; return whose."""
    with closing(RocksDisk(folder).open(partition)) as store:
        states = {key: decode_state(value) for key, value in store.scan(b"u", b"u")}
        hit = [key for key, state in states.items() if state.sets.practised][: len(changes)]
        assert len(hit) == len(changes)
        for key, change in zip(hit, changes, strict=True):
            store.write([(key, encode_state(change(states[key])))])
    return [key[1:].decode() for key in hit]


@pytest.mark.verify
@pytest.mark.timeout(600)
def test_a_disk_or_a_changelog_that_is_damaged_alone_is_found(
    ledger: Ledger, tmp_path: Path
) -> None:
    folder, operator = tmp_path / "data" / ledger.group, tmp_path / "operator"
    send_load(ledger, seed=81, events=600)
    with ledger.worker() as worker:
        ledger.drain(worker)
    by_itself, unlike = damage_disk(folder, 0, torn, a_day_less)
    with ledger.worker(**RATE) as worker:
        ledger.wait_for(lambda: differing(ledger) == 2)
        assert told(ledger) == {by_itself: "disk", unlike: "undecided"}
        found = scraped(ledger)
        assert found["awaway_state_scrub_differences_total{kind=disk}"] == 1
        assert found["awaway_state_scrub_users_differing{partition=0}"] == 2
        # What the runbook says: the changelog is right, so the disk goes.
        assert scrub(ledger, operator, f"--user={unlike}", code=0)["users_checked"] == 1
    shutil.move(folder / "0", tmp_path / "aside")
    with ledger.worker(**RATE) as worker:
        ledger.wait_for(lambda: differing(ledger) == 0)
        assert not list(folder.glob("scrub"))
        # Somebody else writes to the changelog, and no input follows.
        (hit,) = damage(ledger, 1)
        ledger.wait_for(lambda: differing(ledger) == 1)
        assert told(ledger)[hit] == "undecided"
        (finding,) = scrub(ledger, operator, f"--user={hit}", code=1)["findings"]
        assert finding["fix"] == f"awaway rebuild start --user={hit}"
        # Traffic of others goes on, which covers the record; the user's own mends the changelog.
        send_load(ledger, seed=82, events=100)
        ledger.complete(hit, "the next one", datetime.now(UTC) - timedelta(minutes=1))
        ledger.flush()
        ledger.wait_for(lambda: differing(ledger) == 0)
        ledger.drain(worker)
    assert scrub(ledger, operator, code=0)["findings"] == []


@pytest.mark.verify
@pytest.mark.timeout(600)
def test_nobody_is_found_while_users_change_and_workers_are_killed(
    ledger: Ledger, tmp_path: Path
) -> None:
    def start(slot: int) -> None:
        ledger.start_worker(slot, DATA_DIR=str(tmp_path / f"disk-{slot}"), **RATE)

    start(0)
    start(1)
    for seed in range(90, 96):
        send_load(ledger, seed=seed, events=300)
        if seed == 93:
            ledger.kill_worker(ledger.workers[1])
            start(1)
        time.sleep(WALK_EVERY_S)
    ledger.drain()

    def is_walked() -> bool:
        found = [name for slot in (0, 1) for name in scraped(ledger, slot) if "last_walk" in name]
        return len(set(found)) == ledger.partitions

    ledger.wait_for(is_walked)
    for slot in (0, 1):
        assert "changelog differ" not in ledger.log(slot), ledger.log(slot)
        assert "the scrub failed" not in ledger.log(slot), ledger.log(slot)
