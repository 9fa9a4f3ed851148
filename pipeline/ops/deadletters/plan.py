"""Which letters are sent once more or put away, and the commands that do it.

Owns: the choice of letters, why one is passed over, the command of each, the plan in numbers.
Does not own: reading (log.py, handled.py), what would happen (forecast.py), sending (send.py).
Invariants: only what is open is chosen by a filter, so a run that was killed goes on where it was
when the same is typed again. A choice is bounded in letters and in bytes, and says when there is
more. What the pipeline would reject again is not sent unless that is asked for; and what was
rejected again already only when it is named, or the same typed again would never come to an end.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from pipeline.core.records import Command
from pipeline.ops.deadletters.handled import Handled, HandledLetters
from pipeline.ops.deadletters.letters import Letter, State
from pipeline.ops.validate.verdicts import Said

BYTES_MAX: Final = 256 << 20
"""Bytes of inputs that are held at once."""

PAYLOAD_BYTES_MAX: Final = 1_500_000
"""Of an input that a command can carry: in base64 it has to fit into the topic of commands."""

NOT_REDRIVEN: Final = frozenset({"repair", "operation"})
"""Kinds of commands that a redrive does not carry; they are asked for anew."""

DISCARD: Final = "deadletters.discard"
"""The operation by which a letter is put away, as the audit names it."""


class Why(NamedTuple):
    """Who asks, and why, for the audit."""

    actor: str
    reason: str
    ticket: str


class Chosen(NamedTuple):
    """Letters that were chosen, with what was done about each before.

    Attributes:
        more: how many further ones there are, that were not looked at.
        are_named: each was asked for by its place, not by a filter.
    """

    letters: list[tuple[Letter, Handled]]
    more: int = 0
    are_named: bool = False


def choose(
    letters: Iterable[Letter], handled: HandledLetters, states: frozenset[State], limit: int
) -> Chosen:
    """Choose letters by what was done about them, at most `limit` and `BYTES_MAX`."""
    chosen: list[tuple[Letter, Handled]] = []
    size = more = 0
    for letter in letters:
        its = handled.of(letter)
        if its.state not in states:
            continue
        size += len(letter.record.value or b"")
        if more or len(chosen) >= limit or size > BYTES_MAX:
            more += 1
        else:
            chosen.append((letter, its))
    return Chosen(sorted(chosen, key=lambda one: one[0].place), more)


class Planned(msgspec.Struct, frozen=True):
    """A letter, and what is done about it.

    Attributes:
        handled: what was done before.
        said: what the pipeline would say of its input now; None where nobody asked.
        passed_over: why nothing is sent; empty where something is.
    """

    letter: Letter
    handled: Handled
    said: Said | None
    passed_over: str


class Numbers(msgspec.Struct, frozen=True):
    """A plan in numbers.

    Attributes:
        to_send: letters. more: that were not looked at.
        would_be: of those to send, how many would have each verdict now; empty for a discard.
        passed_over: by why.
    """

    letters: int
    to_send: int
    more: int
    would_be: Mapping[str, int]
    passed_over: Mapping[str, int]


def plan_redrive(
    chosen: Chosen, said: Sequence[Said], *, also_rejected: bool = False
) -> list[Planned]:
    """What is done about each letter.

    Args:
        said: of each letter's input, what the pipeline would say now.
        also_rejected: send also what would be rejected again.
    """
    planned = []
    for (letter, its), one in zip(chosen.letters, said, strict=True):
        also = also_rejected and (chosen.are_named or not letter.is_of_a_redrive)
        planned.append(Planned(letter, its, one, _why_not(letter, its, one, also_rejected=also)))
    return planned


def plan_discard(chosen: Chosen) -> list[Planned]:
    """What is done about each letter."""
    return [
        Planned(letter, its, None, "" if its.state == "open" else f"{its.state} before")
        for letter, its in chosen.letters
    ]


def _why_not(letter: Letter, handled: Handled, said: Said, *, also_rejected: bool) -> str:
    """Why a letter is not redriven; empty where it is."""
    value = letter.origin.value
    if handled.state == "redriven":
        return "redriven before"
    if letter.is_cut:
        return "only the beginning of the input is in the letter"
    if not value:
        return "the input has no value"
    if not letter.user_id:
        return "its key is no user's id"
    if letter.origin.kind in NOT_REDRIVEN:
        return f"the input is a command of the kind {letter.origin.kind}"
    if len(value) > PAYLOAD_BYTES_MAX:
        return "the input is too large for a command"
    if said.verdict == "dead_letter" and not also_rejected:
        return f"would be rejected again: {said.stage}.{said.reason}"
    return ""


def numbers_of(planned: Sequence[Planned], more: int) -> Numbers:
    """A plan in numbers."""
    sent = [one for one in planned if not one.passed_over]
    return Numbers(
        letters=len(planned),
        to_send=len(sent),
        more=more,
        would_be=_counts(_verdict(one.said) for one in sent if one.said is not None),
        passed_over=_counts(one.passed_over for one in planned if one.passed_over),
    )


def _verdict(said: Said) -> str:
    if said.verdict == "dead_letter":
        return f"rejected again: {said.stage}.{said.reason}"
    return said.verdict


def _counts(words: Iterable[str]) -> dict[str, int]:
    return dict(Counter(words).most_common())


def redrive_command(letter: Letter, why: Why) -> Command:
    """The command that has a letter's input judged once more."""
    origin = letter.origin
    return Command(
        letter.request_id("redrive"),
        letter.user_id,
        "redrive",
        *why,
        payload=origin.value,
        payload_append_time=origin.append_time,
        payload_topic=origin.topic,
        payload_cause=str(origin.place),
    )


def discard_command(letter: Letter, why: Why) -> Command:
    """The command that records that nobody will do anything about a letter.

    It names no user: it goes to the letter's own partition.
    """
    request_id, subject = letter.request_id("discard"), str(letter.coordinates)
    return Command(request_id, "", "operation", *why, operation=DISCARD, subject=subject)
