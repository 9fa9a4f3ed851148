"""A small seeded load with duplicates of every kind, for a ledger under fault.

Owns: what is sent. Does not own: what ought to follow from it, which the oracle says.
"""

import random
from datetime import UTC, datetime, timedelta

from tests.integration.ledger import Ledger

NOISE = (b"", b"{", b"\x00\x00\x00\x7f\xff", b"noise", None)


def send_load(ledger: Ledger, *, seed: int, events: int, users: int = 60) -> None:
    """Send completions, twins, repeats, noise and commands of the last eleven days."""
    rng = random.Random(seed)
    now = datetime.now(UTC)
    for number in range(events):
        user = f"user-{rng.randrange(users)}"
        end = now - timedelta(days=rng.randrange(11), minutes=rng.randrange(600))
        fields = {"session_id": f"s{seed}-{number}"}
        ledger.complete(user, f"c{seed}-{number}", end, **fields)
        chance = rng.random()
        if chance < 0.05:
            ledger.complete(user, f"c{seed}-{number}", end, **fields)
        elif chance < 0.08:
            ledger.complete(user, f"other device's c{seed}-{number}", end, **fields)
        elif chance < 0.10:
            ledger.complete(user, f"c{seed}-{number}", end, session_id="a collision")
        elif chance < 0.12:
            ledger.send("completions", user.encode(), rng.choice(NOISE))
        elif chance < 0.14:
            ledger.complete(user, f"late {seed}-{number}", now - timedelta(days=30))
        elif chance < 0.16:
            ledger.command(
                user,
                f"r{seed}-{number}",
                "credit",
                local_date=(now - timedelta(days=rng.randrange(40))).date().isoformat(),
                reason="a test",
                ticket="T-1",
            )
    ledger.flush()
