"""What makes an input a request about a dead letter: its id, and its kind."""

from typing import Any
from unittest.mock import Mock

from pipeline.core.records import Command
from pipeline.ops.adjust.request import encoded
from pipeline.ops.deadletters.letters import is_about
from pipeline.ops.deadletters.log import DeadLetterLog
from pipeline.ops.deadletters.plan import discard_command
from tests.ops.test_cases import SCHEMAS, no_registry
from tests.ops.test_deadletters import WHY, letter


def test_an_id_alone_makes_no_request_about_a_letter() -> None:
    redriven, discarded = letter().request_id("redrive"), letter().request_id("discard")
    assert is_about("redrive", redriven) and is_about("operation", discarded)
    assert is_about("unknown", redriven)
    for action in ("completion", "credit", "operation"):
        assert not is_about(action, redriven)
    assert not is_about("redrive", discarded) and not is_about("redrive", "r1")


def test_a_correction_that_is_named_like_a_request_puts_no_letter_away() -> None:
    log = DeadLetterLog({}, "awaway.", SCHEMAS, no_registry)
    ours = discard_command(letter(), WHY)
    forged = Command(ours.request_id, "ada", "credit", *WHY, local_date=20_000)
    for command, found in ((ours, ours), (forged, None)):
        message: Any = Mock(**{"value.return_value": encoded(command)})
        assert log._command(message) == found
