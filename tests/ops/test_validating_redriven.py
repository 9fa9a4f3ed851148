"""What `awaway validate` says of redrives and operations: as the worker would."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from pipeline.codec.errors import RegistryUnavailableError
from pipeline.codec.inputs import InputDecoder
from pipeline.core.records import Command
from pipeline.dev.workload.wire import json_command
from pipeline.ops.validate.verdicts import Entry, Said, Validator
from tests.core.scenes import DAY, NOW, TODAY, USER, credit, operation, redrive
from tests.ops.test_cases import SCHEMAS, WORLD, validator

PRACTISED = msgspec.json.encode(
    {
        "completion_id": "c1",
        "user_id": USER,
        "session_id": "s1",
        "practice": "breath",
        "started_at": "2026-06-10T08:30:00Z",
        "completed_at": "2026-06-10T09:00:00Z",
        "tz": "Europe/Berlin",
    }
)
THEN = NOW - 5 * DAY


def said_of(
    command: Command, judging: Validator | None = None, judged_at: int | None = None
) -> Said:
    entry = Entry("one", "commands", NOW, json_command(command), judged_at=judged_at)
    return (judging or validator()).judge(entry)


def test_a_redriven_completion_counts_once() -> None:
    judging = validator()
    first = said_of(redrive("r1", THEN, payload=PRACTISED), judging)
    assert (first.verdict, first.id, first.user_id, first.streak_days) == (
        "accepted",
        "r1",
        USER,
        0,
    )
    assert first.detail.startswith("it counts for 2026-06-10 in Europe/Berlin")
    assert said_of(redrive("r2", THEN, payload=PRACTISED), judging).verdict == "exact"


def test_a_redriven_correction_is_carried_out_once() -> None:
    judging = validator()
    asked = redrive(
        "r1", THEN, payload_topic="commands", payload=json_command(credit("r0", TODAY - 6))
    )
    assert said_of(asked, judging).verdict == "applied"
    assert said_of(replace(asked, request_id="r2"), judging).verdict == "repeated"
    assert judging.left.users[USER].sets.credits == (("r0", TODAY - 6),)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"ticket": None}, "unexplained"),
        ({"payload": b"{"}, "malformed_json"),
        ({"payload": PRACTISED.replace(USER.encode(), b"bob")}, "key_not_user"),
        ({"payload_append_time": NOW + 1}, "payload_from_future"),
        ({"payload_append_time": -62_000_000_000_000, "payload": PRACTISED}, "too_far_ahead"),
    ],
)
def test_what_a_worker_refuses_is_refused(changed: dict[str, Any], reason: str) -> None:
    said = said_of(replace(redrive("r1", THEN, payload=PRACTISED), **changed))
    assert (said.verdict, said.reason) == ("dead_letter", reason)


def test_what_no_redrive_carries_is_not_forecast_as_if_it_did() -> None:
    for one in (redrive("r1", THEN, payload=PRACTISED), operation("r2")):
        assert said_of(one, judged_at=THEN).reason == "kind_not_redriven"


def test_an_operation_about_nobody_needs_no_key() -> None:
    value = json_command(replace(operation("r1"), user_id=""))
    one = Entry("one", "commands", NOW, value, None, has_key=True)
    assert validator().judge(one).verdict == "applied"


def test_nothing_is_said_where_the_registry_does_not_answer() -> None:
    def down(_: int) -> Any:
        raise RegistryUnavailableError("it does not answer", fix="start it")

    judging = Validator(WORLD, InputDecoder(SCHEMAS, down))
    framed = b"\x00\x00\x00\x00\x07rest"
    with pytest.raises(RegistryUnavailableError):
        judging.judge(Entry("one", "completions", NOW, framed))
    with pytest.raises(RegistryUnavailableError):
        said_of(redrive("r1", THEN, payload=framed), judging)
