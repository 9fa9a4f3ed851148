"""What operators send, in the scene of the records: redrives, and steps that are nobody's.

Owns: those inputs, of the third act.
Does not own: all others (records_cast.py), what ought to become of them (records_meaning.py).
Invariant: as of records_cast.py.
"""

import json
from base64 import b64encode
from typing import Any, Final

from tests.integration.ledger import iso
from tests.integration.records_cast import (
    ACTS,
    BECAUSE,
    DAY,
    FIRST,
    HOUR,
    MINUTE,
    THIRD,
    Cast,
    Wrong,
    completion,
    ms,
)

REDRIVEN: Final = "awaway.completions[3]@17"


def add_operators(found: Cast) -> None:
    """Add what operators send to a scene."""
    found.act = THIRD
    _redrives(found)
    _operations(found)


def _redrives(found: Cast) -> None:
    """What was rejected in the first act, once more: in time and late, twice, and unreadable."""
    came = ACTS[FIRST]

    def redrive(user: str, name: str, payload: bytes, wrong: Wrong | None = None) -> None:
        fields = {
            "payload": b64encode(payload).decode(),
            "payload_append_time": iso(ms(came)),
            "payload_topic": "commands" if b"request_id" in payload else "completions",
            "payload_cause": REDRIVEN,
        }
        found.command(user, name, "redrive", wrong, **fields, **BECAUSE)

    good = completion("rex", "r", came - HOUR, tz="Mars/Base")
    redrive("rex", "again-0", good)
    redrive("rex", "again-1", good)
    redrive("rex", "again-0", good)
    crossing = completion("rex", "r3", came - HOUR + 5 * MINUTE)
    redrive("rex", "again-2", crossing)
    late = Wrong("validate", "too_late", f"Redriven from {REDRIVEN}: it ended 15 days")
    redrive("rex", "again-3", completion("rex", "r4", came - 15 * DAY), late)
    noise = Wrong("decode", "unknown_format", f"Redriven from {REDRIVEN}: the value begins with")
    redrive("rex", "again-4", b"\x01noise", noise)
    stray = Wrong("transport", "key_not_user", "of the payload's user")
    redrive("cy", "again-5", good, stray)
    credit = {"request_id": "c", "user_id": "rex", "kind": "credit", "actor": "eva", **BECAUSE}
    on = (came - DAY).date().isoformat()
    redrive("rex", "again-6", json.dumps(credit | {"local_date": on}).encode())
    redrive("rex", "again-7", json.dumps(credit | {"local_date": on}).encode())


def _operations(found: Cast) -> None:
    """What an operator did that is no user's affair, in a partition of its own choice, and what
    is."""
    done: dict[str, Any] = {"operation": "rebuild.approve", "subject": "rb-1: diff 3f2a90c1"}
    record = {"request_id": "op-0", "user_id": "", "kind": "operation", "actor": "ops:lea"}
    for partition, key in ((2, None), (2, None), (3, b"any")):
        value = json.dumps(record | done).encode()
        found.send("commands", key, value, partition=partition)
    wrong = Wrong("validate", "bad_subject", "what the operation is about")
    found.send("commands", b"", json.dumps(record | done | {"subject": ""}).encode(), wrong=wrong)
    found.command("cy", "op-1", "operation", **done, **BECAUSE)
