"""What a dry run knows of users, without a broker: who revokes a date, and who has to wait."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from pipeline.api.http.problems import ProblemError
from pipeline.api.ingest.preview import DryRun, Preview, _revocations
from pipeline.api.reads.turns import AT_ONCE, WAITING_MAX
from pipeline.core.progress import progress_of
from pipeline.core.records import AuditEntry, Cause, Instant
from pipeline.ops.validate.state import state_of
from pipeline.ops.validate.verdicts import Entry, Validator
from tests.ops.test_cases import WORLD, validator

NOON = 1_783_504_800_000
DAY = 20_642
REVOKED = {"request_id": "r1", "user_id": "ada", "kind": "revoke", "actor": "support"}
PRACTISED = {
    "completion_id": "c1",
    "user_id": "ada",
    "session_id": "s1",
    "practice": "breath",
    "started_at": "2026-07-08T08:30:00Z",
    "completed_at": "2026-07-08T09:00:00Z",
    "tz": "Europe/Berlin",
}


def entry(fields: dict[str, Any], at: Instant = NOON) -> Entry:
    topic = "commands" if "kind" in fields else "completions"
    return Entry("one", cast(Any, topic), at, msgspec.json.encode(fields))


def revoked(known: dict[int, list[str]]) -> Validator:
    """Somebody whose date is revoked, as their published progress has it."""
    before, after = validator(), validator()
    because = {"reason": "not theirs", "ticket": "T-1", "local_date": "2026-07-08"}
    assert before.judge(entry(REVOKED | because)).verdict == "applied"
    state = before.left.users["ada"]
    progress = progress_of("ada", state, Cause("commands", 0, 0, "r1"), NOON, WORLD)
    after.left.users["ada"] = state_of(progress, known)
    return after


def test_the_request_that_revokes_is_named_where_it_is_known() -> None:
    said = revoked({DAY: ["r1"]}).judge(entry(PRACTISED))
    assert (said.verdict, said.revoked_by) == ("accepted", ("r1",))
    assert "revoked by r1" in said.detail


def test_no_request_is_made_up_where_it_is_not_known() -> None:
    said = revoked({}).judge(entry(PRACTISED))
    assert (said.verdict, said.revoked_by, said.streak_days) == ("accepted", (), 0)
    assert "does not count" in said.detail and "published/" not in said.detail


def test_revocations_are_those_that_were_carried_out() -> None:
    def audited(action: str, verdict: str, request: str) -> AuditEntry:
        return cast(
            AuditEntry,
            SimpleNamespace(
                action=action, verdict=verdict, local_date=DAY, cause=Cause("x", 0, 0, request)
            ),
        )

    found = _revocations(
        [
            audited("revoke", "applied", "r1"),
            audited("revoke", "repeated", "r1"),
            audited("credit", "applied", "r2"),
            audited("revoke", "applied", "r3"),
        ]
    )
    assert found == {DAY: ["r1", "r3"]}


def test_who_comes_on_top_of_those_that_wait_is_told_to_come_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def crowd() -> list[DryRun | BaseException]:
        nothing, source = cast(Any, None), cast(Any, SimpleNamespace(is_usable=True))
        preview = Preview(WORLD, source, nothing, nothing, lambda: NOON)
        monkeypatch.setattr(preview, "_judge", lambda *_: DryRun(True, ()))
        asked: Sequence[Any] = [preview.judge([], cast(Any, None)) for _ in range(WAITING_MAX + 1)]
        return list(await asyncio.gather(*asked, return_exceptions=True))

    assert AT_ONCE < WAITING_MAX
    *answered, last = asyncio.run(crowd())
    assert all(isinstance(one, DryRun) for one in answered)
    assert isinstance(last, ProblemError) and last.problem.status == 503
