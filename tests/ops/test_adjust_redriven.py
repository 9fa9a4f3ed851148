"""A correction that was redriven is known to whoever corrects the user."""

from typing import Any

import pytest
from msgspec.structs import replace

from pipeline.codec.json_inputs import command as decoded
from pipeline.core.records import Command
from pipeline.dev.workload.wire import json_command
from pipeline.ops.adjust.user_state import SentCommand, redriven_in, user_state_of
from tests.core.scenes import BOOK, DAY, NOW, TODAY, credit, redrive

CREDIT = credit("r0", TODAY)
CARRIED = json_command(CREDIT)


def found(asked: Command) -> SentCommand | None:
    def decode(value: bytes | None) -> Command:
        return decoded(value or b"")

    return redriven_in(asked, NOW, decode)


def test_it_is_taken_as_of_when_it_came() -> None:
    sent = found(redrive("r1", NOW - DAY, payload_topic="commands", payload=CARRIED))
    assert sent is not None
    assert (sent.command, sent.append_time) == (CREDIT, NOW - DAY)
    assert user_state_of(None, [sent], BOOK).sets.credits == (("r0", TODAY),)


@pytest.mark.parametrize(
    "changed",
    [
        {"payload_topic": "completions"},
        {"payload_append_time": None},
        {"payload_append_time": NOW + 1},
        {"payload": json_command(replace(CREDIT, user_id="bob"))},
        {"ticket": None},
    ],
)
def test_what_a_worker_refuses_is_not_taken(changed: dict[str, Any]) -> None:
    asked = redrive("r1", NOW - DAY, payload_topic="commands", payload=CARRIED)
    assert found(replace(asked, **changed)) is None
