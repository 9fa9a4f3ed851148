"""What was redriven is known to previews: corrections, and completions in the window."""

from types import SimpleNamespace
from typing import Any, cast

import msgspec

from pipeline.api.ingest.known_state import KnownStates
from pipeline.api.ingest.preview import Preview
from pipeline.codec.inputs import InputDecoder
from pipeline.core.progress import progress_of
from pipeline.core.records import AuditEntry, Cause, Command
from pipeline.core.state import EMPTY
from pipeline.dev.workload.wire import json_command
from pipeline.ops.explain.records import RawInput
from pipeline.ops.validate.state import state_of
from pipeline.ops.validate.verdicts import Entry
from tests.codec.samples import SAMPLES
from tests.core.scenes import BOOK, DAY, NOW, TODAY, USER, credit, redrive
from tests.ops.test_cases import SCHEMAS, WORLD, no_registry
from tests.ops.test_validating_redriven import PRACTISED

CAUSE = Cause("awaway.commands", 3, 5, "r1")


def known(command: Command, verdict: Any) -> tuple[Any, Any, Any]:
    """A store that has nobody, an index with one redrive, and the log that has it."""
    sample = next(one for one in SAMPLES if isinstance(one, AuditEntry))
    entry = msgspec.structs.replace(
        sample, cause=CAUSE, action="redrive", verdict=verdict, append_time=NOW
    )
    found = {CAUSE.coordinates: RawInput(NOW, "JSON", command)}
    nobody = SimpleNamespace(get=lambda _: None, raw=lambda _: None)
    outcomes = SimpleNamespace(
        of_user=lambda *_, **__: ([SimpleNamespace(record=entry, cause=CAUSE)], b"")
    )
    inputs = SimpleNamespace(
        decoder=InputDecoder(SCHEMAS, no_registry),
        read=lambda places: {one: found[one] for one in places},
    )
    return cast(Any, SimpleNamespace(store=nobody)), cast(Any, outcomes), cast(Any, inputs)


def test_a_correction_that_was_redriven_is_one_of_the_user() -> None:
    carried = json_command(credit("r0", TODAY))
    asked = redrive("r1", NOW - DAY, payload_topic="commands", payload=carried)
    state = KnownStates(*known(asked, "applied"), BOOK)._read(USER)
    assert state.sets.credits == (("r0", TODAY),)


def test_a_redrive_whose_payload_is_no_longer_readable_is_passed_over() -> None:
    asked = redrive("r1", NOW - DAY, payload_topic="commands", payload=b"\x00\x00\x00\x00\x09x")
    assert KnownStates(*known(asked, "applied"), BOOK)._read(USER).sets.credits == ()


def test_a_completion_that_counted_by_a_redrive_is_seen_when_it_comes_again() -> None:
    asked = redrive("r1", NOW - 5 * DAY, payload=PRACTISED)
    preview = Preview(WORLD, *known(asked, "accepted"), lambda: NOW)
    judging = preview.validator([USER], InputDecoder(SCHEMAS, no_registry))
    progress = progress_of(USER, EMPTY, CAUSE, NOW, WORLD)
    judging.left.users[USER] = state_of(progress)  # as whoever counted has one
    again = Entry("one", "completions", NOW, PRACTISED, judged_at=NOW - 5 * DAY)
    said = judging.judge(again)
    assert said.verdict == "exact", said.detail
