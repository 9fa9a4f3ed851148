"""What is said of commands that operators send: what it was, who asked, and why."""

from typing import Any

import msgspec
import pytest

from pipeline.core.records import AuditEntry, Command
from pipeline.ops.explain.words import reason_of
from tests.codec.samples import SAMPLES
from tests.core.scenes import POLICY, operation, redrive

WHERE = "awaway.completions[3]@17"
(ENTRY,) = [one for one in SAMPLES if isinstance(one, AuditEntry)]
BY = " By lea: mended (T-1)."


def said(sent: Command, **fields: Any) -> str:
    changed = {"actor": "lea", "reason": "mended", "ticket": "T-1", "revoked_by": ()} | fields
    entry = msgspec.structs.replace(ENTRY, action=sent.kind, **changed)
    return reason_of(entry, sent, None, None, POLICY)


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("accepted", f"It counts now, for the date that the audit records. It is {WHERE}.{BY}"),
        ("applied", f"first came. It is {WHERE}.{BY}"),
        ("exact", "The same id with the same content was accepted before"),
        ("repeated", "The same request was taken before"),
    ],
)
def test_a_redrive_says_what_came_of_it(verdict: str, words: str) -> None:
    text = said(redrive("r1", 0), verdict=verdict, operation=None, subject=WHERE)
    assert words in text


def test_an_operation_says_what_was_done() -> None:
    subject = "rb-1: diff 3f2a90c1"
    text = said(operation("r1"), verdict="applied", operation="rebuild.approve", subject=subject)
    assert f" rebuild.approve: {subject}.{BY}" in text
