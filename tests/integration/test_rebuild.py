"""A rebuild on the real broker: it finds what was damaged, and puts exactly that right."""

from pathlib import Path
from unittest.mock import patch

import confluent_kafka as ck
import msgspec
import pytest

from pipeline.codec.state import decode_state, encode_state
from pipeline.core.sets import digest_of
from pipeline.ops.adjust.send import Corrections
from pipeline.rebuild.compare import UserDifference
from pipeline.rebuild.partition import PartitionRebuild
from pipeline.rebuild.repairs import Order, Undo, put_right
from pipeline.rebuild.setup import Setup
from pipeline.settings.load import load_settings
from pipeline.settings.worker import Settings
from tests.integration.exactness import check_exact
from tests.integration.ledger import Ledger
from tests.integration.load import send_load

ORDER = Order("r1", "ops:lea", "the disk lied", "OPS-7")


def settings_of(ledger: Ledger) -> Settings:
    with patch.dict("os.environ", ledger.environment(), clear=True):
        return load_settings()


def differing(setup: Setup, folder: Path) -> dict[str, UserDifference]:
    found = {}
    for partition in range(setup.partitions):
        with PartitionRebuild(setup, partition, folder) as rebuild:
            rebuild.catch_up()
            found.update({one.user_id: one for one in rebuild.differences()})
    return found


def damage(ledger: Ledger, count: int) -> list[str]:
    """Take the last date from some users' states, in the changelog alone; return whose."""
    topic = ledger.topic("blue.streaks-changelog")
    last: dict[bytes, tuple[int, bytes]] = {}
    for record in ledger.raw("blue.streaks-changelog"):
        key, value = record.key(), record.value()
        if key and value and not key.startswith(b"\x00"):
            last[key] = (record.partition() or 0, value)
    producer = ck.Producer({"bootstrap.servers": ledger.bootstrap})
    damaged = []
    for key, (partition, value) in sorted(last.items()):
        state = decode_state(value)
        if not state.sets.practised or len(damaged) == count:
            continue
        start, length = state.sets.practised[-1]
        kept = ((start, length - 1),) if length > 1 else ()
        sets = msgspec.structs.replace(state.sets, practised=(*state.sets.practised[:-1], *kept))
        changed = msgspec.structs.replace(state, sets=sets, digest=digest_of(sets))
        producer.produce(topic, encode_state(changed), key, partition=partition)
        damaged.append(key.decode())
    assert producer.flush(10) == 0
    return damaged


@pytest.mark.kafka
def test_what_was_damaged_is_found_and_put_right(ledger: Ledger, tmp_path: Path) -> None:
    send_load(ledger, seed=61, events=1_500)
    with ledger.worker() as worker:
        ledger.drain(worker)
    setup = Setup(settings_of(ledger))
    assert differing(setup, tmp_path / "sound") == {}
    portals = len(ledger.read("portals"))

    damaged = damage(ledger, 7)
    with ledger.worker(DATA_DIR=str(tmp_path / "new disk")) as worker:
        send_load(ledger, seed=62, events=500)
        ledger.drain(worker)
        folder = tmp_path / "r1"
        found = differing(setup, folder)
        assert found.keys() == set(damaged)
        corrections = Corrections(
            setup.client, ledger.prefix, setup.schemas, setup.resolver.writer_schema
        )
        with corrections:
            for partition in range(setup.partitions):
                with PartitionRebuild(setup, partition, folder) as rebuild:
                    wanted = [one for one in found if found[one].partition == partition]
                    result = put_right(rebuild, wanted, corrections, ORDER, Undo(folder / "undo"))
                    assert sorted(result.repaired) == sorted(wanted)
                    assert not result.failed
        ledger.drain(worker)
        assert differing(setup, folder) == {}
    check_exact(ledger)
    assert portals
