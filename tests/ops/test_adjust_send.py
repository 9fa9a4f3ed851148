"""What is said of a request whose effect was not seen: where it is, and what to look at."""

from typing import Any

import pytest

from pipeline.core.records import AuditEntry, Cause, RecordCoordinates
from pipeline.ops.adjust.send import NotReadBackError, NotSentError, Pending, overdue
from tests.core.scenes import credit

PLACE = RecordCoordinates("awaway.commands", 2, 41)
ENTRY = AuditEntry(
    *("a1", "blue", 2, 7, "ana", "credit", "eva", None, None, "applied", None, (), None, None, 9),
    *(
        "2026-06",
        "2026a",
        0,
        Cause("awaway.commands", 2, 41, "r1"),
        None,
        None,
        False,
        (),
        None,
        None,
        b"",
        b"",
    ),
)


@pytest.mark.parametrize(
    ("known", "trouble", "why", "fix"),
    [
        ({}, "", "no acknowledgement came within 5 s", "may be in the log all the same"),
        ({"error": "not authorized"}, "", "not authorized", "awaway topics acls"),
        ({"place": PLACE}, "", f"in the log at {PLACE}, and no worker", "whether workers run"),
        ({"place": PLACE, "entry": ENTRY}, "", "revision 9), and progress does not", "transaction"),
        ({"place": PLACE}, "the brokers do not answer", "do not answer", "whether the brokers run"),
    ],
)
def test_what_is_said_tells_where_it_is(
    known: dict[str, Any], trouble: str, why: str, fix: str
) -> None:
    found = overdue(Pending(credit("r1", 20_000), 0.0, **known), 5.0, trouble)
    assert isinstance(found, NotReadBackError if "place" in known else NotSentError)
    assert why in found.why and fix in found.fix
    assert found.fix.endswith("to ask again with --request-id r1 is safe")
    assert found.fields["request_id"] == "r1"
    assert found.fields.get("offset") == (41 if "place" in known else None)
