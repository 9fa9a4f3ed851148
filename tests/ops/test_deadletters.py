"""Dead letters: which are wanted, what was done about them, what is sent."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from pipeline.codec import json_inputs
from pipeline.codec.dead_letters import fit
from pipeline.codec.errors import DecodeError
from pipeline.codec.partitioner import OF_ITS_KEY
from pipeline.core.records import AuditEntry, Cause, Command, DeadLetter, RecordCoordinates
from pipeline.errors import UsageError
from pipeline.ops.adjust.bulk import Pace
from pipeline.ops.adjust.request import encoded
from pipeline.ops.adjust.send import Effect, Pending
from pipeline.ops.deadletters import plan, send
from pipeline.ops.deadletters.handled import OPEN, Handled, HandledLetters, read_handled, read_told
from pipeline.ops.deadletters.letters import (
    STATES,
    Letter,
    Place,
    Wanted,
    origin_of,
    place_of,
    request_of,
)
from pipeline.ops.deadletters.log import Sent
from pipeline.ops.deadletters.plan import (
    Chosen,
    Why,
    choose,
    discard_command,
    numbers_of,
    plan_discard,
    plan_redrive,
    redrive_command,
)
from pipeline.ops.validate.verdicts import Said
from tests.codec.samples import SAMPLES

NOW = 1_772_346_600_000
DAY = 86_400_000
WHY = Why("local:eva", "a schema was missing", "O-17")
PACE = Pace(per_s=100_000, wait_s=0.2)


def undecodable(_: bytes | None) -> Command:
    raise DecodeError("not_json", "it is none")


def decoded(raw: bytes | None) -> Command:
    return json_inputs.command(raw or b"")


def record(**other: Any) -> DeadLetter:
    fields: dict[str, Any] = {
        "stage": "validate",
        "reason": "too_late",
        "detail": "it came too late",
        "key": b"ada",
        "value": b'{"completion_id":"c1"}',
        "headers": (),
        "schema_id": None,
        "cause": Cause("awaway.completions", 3, 7, "c1"),
        "append_time": NOW,
    }
    return DeadLetter(**(fields | other))


def letter(
    offset: int = 17,
    decode: Callable[[bytes | None], Command] = undecodable,
    **other: Any,
) -> Letter:
    one = record(**other)
    place = Place(3, offset)
    return Letter("awaway.deadletters", place, NOW + 5, one, origin_of(one, decode))


def unsaid(_: str, done: int | None = None, total: int | None = None) -> None:
    """Progress that nobody watches."""


# --- letters -------------------------------------------------------------------------------------


def test_a_place_is_written_and_read() -> None:
    assert place_of("3:17") == Place(3, 17) and str(Place(3, 17)) == "3:17"
    for text in ("", "3", "3:", ":17", "3:-1", "3:17 ", "a:b", "2147483648:0", f"0:{2**63}"):
        with pytest.raises(UsageError, match="is no place"):
            place_of(text)


def test_the_ids_of_requests_follow_from_the_letter_alone() -> None:
    one = letter()
    redrive, discard = one.request_id("redrive"), one.request_id("discard")
    assert redrive.startswith("redrive-3-17-") and discard.startswith("discard-3-17-")
    assert request_of(redrive) == ("redrive", one.number)
    assert request_of(discard) == ("discard", one.number)
    assert letter(detail="in other words").request_id("redrive") == redrive
    others = [
        letter(18),
        letter(append_time=NOW + 1),
        letter(cause=Cause("awaway.completions", 3, 8, "c1")),
    ]
    assert len({redrive, *[other.request_id("redrive") for other in others]}) == 4
    for text in ("", "redrive-3-17", "adjust-3", f"{redrive}0", f"x{redrive}", redrive.upper()):
        assert request_of(text) is None


def test_a_letter_is_wanted_by_everything_that_was_asked() -> None:
    one = letter()
    fits = [
        Wanted(),
        Wanted(rejections=frozenset({"too_late"})),
        Wanted(rejections=frozenset({"validate.too_late", "not_json"})),
        Wanted(stages=frozenset({"validate"})),
        Wanted(since_ms=NOW, until_ms=NOW + 1),
        Wanted(user_id="ada"),
        Wanted(topic="completions"),
    ]
    assert all(wanted.matches(one) for wanted in fits)
    others = [
        Wanted(rejections=frozenset({"decode.too_late"})),
        Wanted(stages=frozenset({"decode"})),
        Wanted(since_ms=NOW + 1),
        Wanted(until_ms=NOW),
        Wanted(user_id="bo"),
        Wanted(user_id=""),
        Wanted(topic="commands"),
        Wanted(topic="completions", user_id="bo"),
    ]
    assert not any(wanted.matches(one) for wanted in others)


@pytest.mark.parametrize("key", [None, b"", b"\xff", b" ", b"a\x1bb", b"x" * 300])
def test_a_key_that_nobody_can_have_is_no_users(key: bytes | None) -> None:
    assert letter(key=key).user_id == ""


def test_the_letter_of_an_input_that_was_too_large_says_so() -> None:
    assert not letter().is_cut
    whole = record(value=b"x" * 500_000)
    assert letter(detail=fit(whole, 200_000).detail).is_cut


def test_behind_a_redrive_that_was_rejected_is_the_input_that_it_carries() -> None:
    first = letter()
    redrive = redrive_command(first, WHY)
    cause = Cause("awaway.commands", 3, 99, redrive.request_id)
    again = letter(18, decoded, cause=cause, value=encoded(redrive))
    assert (again.origin.topic, again.origin.value) == ("completions", first.record.value)
    assert (again.origin.place, again.origin.append_time) == (first.origin.place, NOW)
    once_more = redrive_command(again, WHY)
    assert once_more.request_id != redrive.request_id
    assert (once_more.payload, once_more.payload_cause) == (redrive.payload, redrive.payload_cause)
    vague = replace(redrive, payload_cause="?", payload_append_time=None, payload_topic="commands")
    found = letter(18, decoded, cause=cause, value=encoded(vague), append_time=NOW + 9)
    assert (found.origin.place, found.origin.append_time) == (cause.coordinates, NOW + 9)
    assert found.origin.topic == "commands"
    for are_named, passed_over in ((True, False), (False, True)):
        again_chosen = chosen(again)._replace(are_named=are_named)
        verdict = said("dead_letter", "too_late")
        (planned,) = plan_redrive(again_chosen, [verdict], also_rejected=True)
        assert (planned.passed_over != "") is passed_over


def test_a_command_is_an_input_like_any_other() -> None:
    cause = Cause("awaway.commands", 3, 99, "r1")
    credit = encoded(Command("r1", "ada", "credit", "eva"))
    found = letter(18, decoded, cause=cause, value=credit)
    assert (found.origin.topic, found.origin.value, found.origin.kind) == (
        *("commands", credit),
        "credit",
    )
    garbage = letter(18, decoded, cause=cause, value=b"{")
    assert (garbage.origin.topic, garbage.origin.kind) == ("commands", "")
    for kind in ("operation", "repair"):
        value = encoded(Command("r1", "ada", kind, "eva"))
        one = letter(18, decoded, cause=cause, value=value)
        (planned,) = plan_redrive(chosen(one), [said()], also_rejected=True)
        assert planned.passed_over == f"the input is a command of the kind {kind}"


# --- what was done about them --------------------------------------------------------------------


def entry_about(request_id: str, offset: int, **other: Any) -> AuditEntry:
    sample = next(one for one in SAMPLES if isinstance(one, AuditEntry))
    cause = Cause("awaway.commands", 3, offset, request_id)
    other = {"action": "redrive", "verdict": "accepted", "rejection": None} | other
    return replace(sample, cause=cause, **other)


class WrittenLog:
    """A log of a test's own: requests and what became of them."""

    def __init__(self, sent: list[Sent], entries: list[AuditEntry]) -> None:
        self._sent = sent
        self._entries = entries
        self.read_since: list[int | None] = []

    def requests(self, since_ms: int | None, _: object) -> Iterator[Sent]:
        """As DeadLetterLog has it."""
        self.read_since.append(since_ms)
        return iter(self._sent)

    def entries(self, since_ms: int, _: object) -> Iterator[AuditEntry]:
        """As DeadLetterLog has it."""
        self.read_since.append(since_ms)
        return iter(self._entries)


def sent_about(one: Letter, about: Any, offset: int, append_time: int = NOW) -> Sent:
    command = Command(one.request_id(about), "ada", about, *WHY)
    return Sent(command, RecordCoordinates("awaway.commands", 3, offset), append_time)


def test_the_state_of_a_letter_is_what_the_log_says() -> None:
    letters = [letter(n) for n in range(6)]
    sent = [
        sent_about(letters[0], "redrive", 0, NOW + 9),
        sent_about(letters[1], "redrive", 1, NOW + 8),
        sent_about(letters[2], "redrive", 2, NOW + 7),
        sent_about(letters[3], "discard", 3),
        sent_about(letters[4], "discard", 4),
        sent_about(letters[4], "redrive", 5, NOW + 6),
    ]
    entries = [
        entry_about(letters[4].request_id("redrive"), 5, verdict="exact"),
        entry_about(letters[3].request_id("discard"), 3, action="operation"),
        entry_about(letters[0].request_id("redrive"), 0),
        entry_about(letters[0].request_id("redrive"), 9, verdict="exact"),
        entry_about(letters[1].request_id("redrive"), 1, verdict="dead_letter", rejection="too_x"),
    ]
    log: Any = WrittenLog(sent, entries)
    handled = read_handled(log, Wanted(since_ms=NOW - 1), unsaid)
    assert [handled.of(one).text for one in letters] == [
        "redriven: accepted",
        "redriven: rejected again (too_x)",
        "redriven, not processed yet",
        "discarded",
        "redriven: exact",
        "open",
    ]
    assert log.read_since == [NOW - 1, NOW + 6]  # the audit from the first redrive on
    assert len(handled) == 5


def test_the_audit_is_not_read_when_nothing_was_redriven() -> None:
    log: Any = WrittenLog([sent_about(letter(), "discard", 0)], [])
    assert read_handled(log, Wanted(), unsaid).of(letter()).state == "discarded"
    assert log.read_since == [None]


def test_what_was_asked_about_one_letter_is_told_in_its_order() -> None:
    one, other = letter(1), letter(2)
    sent = [
        sent_about(one, "redrive", 9, NOW + 9),
        sent_about(other, "redrive", 1),
        sent_about(one, "discard", 3, NOW + 3),
    ]
    log: Any = WrittenLog(sent, [entry_about(one.request_id("redrive"), 9)])
    told = read_told(log, one, unsaid)
    assert [(each.sent.place.offset, each.entry and each.entry.verdict) for each in told] == [
        (3, None),
        (9, "accepted"),
    ]
    assert read_told(log, letter(5), unsaid) == []


# --- what is sent --------------------------------------------------------------------------------


def said(verdict: str = "accepted", reason: str | None = None) -> Said:
    stage = None if reason is None else "validate"
    return Said("3:17", verdict, stage, reason, "", None, None, (), "completions")


def chosen(*letters: Letter, handled: Handled = OPEN) -> Chosen:
    return Chosen([(one, handled) for one in letters])


def test_a_filter_chooses_what_is_open_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    letters = [letter(n, value=b"x" * 10) for n in range(6)]
    handled = HandledLetters({letters[0].number: Handled("discarded")})
    found = choose(letters, handled, frozenset({"open"}), 3)
    assert [one.place.offset for one, _ in found.letters] == [1, 2, 3] and found.more == 2
    everything = choose(letters, handled, frozenset(STATES), 10)
    assert [its.state for _, its in everything.letters] == ["discarded", *["open"] * 5]
    monkeypatch.setattr(plan, "BYTES_MAX", 25)
    small = choose(letters, handled, frozenset({"open"}), 10)
    assert (len(small.letters), small.more) == (2, 3)
    assert choose([], handled, frozenset(STATES), 10) == Chosen([], 0)


@pytest.mark.parametrize(
    ("one", "verdict", "why"),
    [
        (letter(), said(), ""),
        (letter(), said("exact"), ""),
        (letter(), said("dead_letter", "too_late"), "would be rejected again: validate.too_late"),
        (letter(key=None), said(), "its key is no user's id"),
        (letter(value=None), said(), "the input has no value"),
        (letter(value=b""), said(), "the input has no value"),
        (
            letter(value=b"x" * (plan.PAYLOAD_BYTES_MAX + 1)),
            said(),
            "the input is too large for a command",
        ),
        (
            letter(detail=fit(record(value=b"x" * 500_000), 200_000).detail),
            said(),
            "only the beginning of the input is in the letter",
        ),
    ],
)
def test_what_cannot_be_redriven_is_passed_over(one: Letter, verdict: Said, why: str) -> None:
    (planned,) = plan_redrive(chosen(one), [verdict])
    assert planned.passed_over == why
    (also,) = plan_redrive(chosen(one), [verdict], also_rejected=True)
    assert also.passed_over == ("" if why.startswith("would be") else why)


def test_what_was_done_is_not_done_again() -> None:
    (redriven,) = plan_redrive(chosen(letter(), handled=Handled("redriven")), [said()])
    assert redriven.passed_over == "redriven before"
    (discarded,) = plan_redrive(chosen(letter(), handled=Handled("discarded")), [said()])
    assert discarded.passed_over == ""  # somebody named it
    for state in STATES:
        (put_away,) = plan_discard(chosen(letter(), handled=Handled(state)))
        assert put_away.passed_over == ("" if state == "open" else f"{state} before")


def test_a_plan_is_told_in_numbers() -> None:
    letters = [letter(n) for n in range(4)]
    verdicts = [said(), said(), said("exact"), said("dead_letter", "too_late")]
    numbers = numbers_of(plan_redrive(chosen(*letters), verdicts), 9)
    assert (numbers.letters, numbers.to_send, numbers.more) == (4, 3, 9)
    assert numbers.would_be == {"accepted": 2, "exact": 1}
    assert numbers.passed_over == {"would be rejected again: validate.too_late": 1}
    with_all = numbers_of(plan_redrive(chosen(*letters), verdicts, also_rejected=True), 0)
    assert with_all.would_be["rejected again: validate.too_late"] == 1
    assert numbers_of([], 0).to_send == 0


class Brokers:
    """Brokers that take requests, and an audit that answers some polls later."""

    def __init__(self, silent_about: str = "") -> None:
        self.pending: dict[str, Pending] = {}
        self.sent: list[tuple[str, int]] = []
        self.most = 0
        self._silent_about = silent_about

    def send(self, command: Command, create_time_ms: int = 0, partition: int = OF_ITS_KEY) -> None:
        """As Corrections has it."""
        self.sent.append((command.request_id, partition))
        place = RecordCoordinates("awaway.commands", 3, len(self.sent))
        self.pending[command.request_id] = Pending(command, time.monotonic(), place)
        self.most = max(self.most, len(self.pending))

    def poll(self) -> list[Effect]:
        """As Corrections has it."""
        time.sleep(0.001)
        done = [one for name, one in self.pending.items() if name != self._silent_about]
        for one in done:
            self.forget(one)
        return [self._effect(one) for one in done]

    def forget(self, one: Pending) -> None:
        """As Corrections has it."""
        del self.pending[one.command.request_id]

    def _effect(self, one: Pending) -> Effect:
        place = one.place or RecordCoordinates("", 0, 0)
        return Effect(one.command.request_id, "ada", place, "accepted", None, 4, (), 0.1, 0.2)


def test_requests_are_sent_in_order_and_told() -> None:
    commands = [(redrive_command(letter(n), WHY), OF_ITS_KEY) for n in range(500)]
    brokers, told = Brokers(), []
    results = send.send_all(commands, brokers, PACE, lambda done, total: told.append((done, total)))
    assert [name for name, _ in brokers.sent] == [one.request_id for one, _ in commands]
    assert set(results.values()) == {send.Result("accepted", None, "", 4, 0.2)}
    assert told[-1] == (500, 500) and brokers.most <= send.IN_FLIGHT_MAX
    assert send.send_all([], brokers, PACE, lambda *_: None) == {}


def test_after_a_request_without_effect_nothing_more_is_sent() -> None:
    commands = [(discard_command(letter(n), WHY), 3) for n in range(50)]
    brokers = Brokers(silent_about=commands[0][0].request_id)
    results = send.send_all(commands, brokers, Pace(per_s=20, wait_s=0.2), lambda *_: None)
    became = [one.became for one in results.values()]
    assert became[0] == "not_read_back" and "not_sent" in became
    assert "no worker has processed it yet" in results[commands[0][0].request_id].why
    assert len(brokers.sent) < 50 and {partition for _, partition in brokers.sent} == {3}
