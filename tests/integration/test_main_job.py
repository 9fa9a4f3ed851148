"""The main job on a real broker: completions in, everything else out, each once."""

from datetime import UTC, datetime, timedelta

from tests.integration.ledger import Ledger

NOW = datetime.now(UTC)


def test_a_week_of_practice(ledger: Ledger) -> None:
    for day in range(7):
        ledger.complete("ada", f"c{day}", NOW - timedelta(days=6 - day))
    ledger.complete("ada", "c6", NOW)  # sent twice
    ledger.flush()
    with ledger.worker(plan={}) as worker:
        ledger.drain(worker)
    progress = ledger.progress()["ada"]
    assert (progress["streak_days"], progress["longest_days"], progress["lifetime_days"]) == (
        7,
        7,
        7,
    )
    assert [p.value["portal"] for p in ledger.read("portals")] == [
        "bindu",
        "vesica-piscis",
        "tripod-of-life",
    ]
    assert [a.value["verdict"] for a in ledger.read("reconciliation")] == ["exact"]
    assert ledger.audited_offsets() == ledger.input_offsets()
    assert ledger.read("deadletters") == []
