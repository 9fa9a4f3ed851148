"""Topics as a worker leaves them, with what a consumer must not see and what it must forget.

Owns: the users and their days, a transaction that was aborted, a tombstone; what a consumer is to
print, told by a plain consumer that knows nothing of the page.
Does not own: the page's programs.
Invariant: the aborted records lie behind committed ones and decode as well as they do.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.integration.ledger import Ledger

USERS = tuple(f"person-{number}" for number in range(40))
FORGOTTEN = "somebody"
READ = ("portals", "progress")


def lay(ledger: Ledger) -> None:
    """Write everything; the worker has ended when this returns."""
    now = datetime.now(UTC)
    for user in USERS:
        for days in range(4):
            at = now - timedelta(days=days, minutes=1)
            ledger.complete(user, f"{user}-{days}", at)
    # One whose run broke: the date until which it is safe is null.
    ledger.complete("yesteryear", "c-1", now - timedelta(days=9))
    ledger.flush()
    with ledger.worker() as worker:
        ledger.drain(worker)
    abort(ledger)
    ledger.producer.produce(ledger.topic("progress"), None, FORGOTTEN.encode())
    ledger.flush()


def abort(ledger: Ledger) -> None:
    """Write one portal and one progress again, with another id each, and take both back."""
    producer = ledger.new_producer(**{"transactional.id": f"{ledger.prefix}aborts"})
    producer.init_transactions(30)
    producer.begin_transaction()
    for name, field in (("portals", "unlock_id"), ("progress", "user_id")):
        record = ledger.read(name)[0]
        text = record.value[field].encode()
        altered = record.raw.replace(text, b"x" * len(text), 1)
        producer.produce(ledger.topic(name), altered, record.key, record.partition)
    producer.flush(30)
    producer.abort_transaction(30)


def expected(ledger: Ledger) -> list[str]:
    """What a consumer prints, sorted."""
    lines = [f"{FORGOTTEN} is to be forgotten"]
    lines += [portal_line(record.value) for record in ledger.read("portals")]
    lines += [progress_line(record.value) for record in ledger.read("progress") if record.raw]
    return sorted(lines)


def portal_line(portal: dict[str, Any]) -> str:
    unlocked_at = portal["unlocked_at"].isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return (
        f"{portal['unlock_id']}: {portal['user_id']} reached {portal['title']}"
        f" on {portal['reached_on']}, told {unlocked_at.replace('.000Z', 'Z')}"
    )


def progress_line(progress: dict[str, Any]) -> str:
    return (
        f"{progress['user_id']} is at revision {progress['revision']}:"
        f" {progress['streak_days']} days, safe until {progress['streak_safe_until'] or '-'}"
    )
