"""What support and the rewards service ask for, on a real broker."""

from datetime import UTC, datetime, timedelta

from tests.integration.ledger import Ledger

NOW = datetime.now(UTC)
BECAUSE = {"reason": "the app was down", "ticket": "T-7"}


def date_of(days_ago: int) -> str:
    return (NOW - timedelta(days=days_ago)).date().isoformat()


def run(ledger: Ledger) -> None:
    ledger.flush()
    with ledger.worker(plan={}) as worker:
        ledger.drain(worker)


def test_a_credit_closes_a_gap_and_its_withdrawal_opens_it(ledger: Ledger) -> None:
    noon = NOW.replace(hour=11, minute=0)
    for days_ago in (3, 1):
        ledger.complete("ada", f"c{days_ago}", noon - timedelta(days=days_ago), tz="UTC")
    ledger.command("ada", "r1", "credit", local_date=date_of(2), **BECAUSE)
    run(ledger)
    progress = ledger.progress()["ada"]
    assert (progress["streak_days"], progress["longest_days"]) == (3, 3)
    assert [p.value["portal"] for p in ledger.read("portals")] == ["bindu", "vesica-piscis"]
    ledger.command("ada", "r2", "withdraw", withdraws="r1")
    ledger.command("ada", "r1", "credit", local_date=date_of(2), **BECAUSE)  # asked again
    run(ledger)
    progress = ledger.progress()["ada"]
    assert (progress["streak_days"], progress["longest_days"]) == (1, 1)
    assert len(ledger.read("portals")) == 2  # nothing is taken back
    verdicts = [e.value["verdict"] for e in ledger.read("audit") if e.value["action"] == "credit"]
    assert sorted(verdicts) == ["applied", "repeated"]


def test_a_revocation_wins_over_practice(ledger: Ledger) -> None:
    ledger.complete("ada", "c1", NOW, tz="UTC")
    ledger.command("ada", "r1", "revoke", local_date=date_of(0), **BECAUSE)
    ledger.command("ada", "r3", "revoke", local_date=date_of(1), **BECAUSE)
    run(ledger)
    progress = ledger.progress()["ada"]
    assert progress["lifetime_days"] in (0, 1)  # before 03:00 the practice is the day before's
    assert progress["dates"]["revoked"] != []


def test_keys_are_claimed_once_and_unknown_keys_refused(ledger: Ledger) -> None:
    ledger.complete("ada", "c1", NOW)
    run(ledger)
    (portal,) = ledger.read("portals")
    (key_id,) = portal.value["field_keys"]
    assert portal.value["field_keys_pending"] == 1
    ledger.command("ada", "r1", "claim_key", key_id=key_id)
    ledger.command("ada", "r1", "claim_key", key_id=key_id)
    ledger.command("ada", "r2", "claim_key", key_id="00000000-0000-5000-8000-000000000000")
    run(ledger)
    progress = ledger.progress()["ada"]
    assert progress["keys"] == {"granted": [key_id], "claimed": [key_id]}
    assert progress["field_keys_pending"] == 0
    (letter,) = ledger.read("deadletters")
    assert letter.value["reason"] == "unknown_key"
    assert ledger.audited_offsets() == ledger.input_offsets()
