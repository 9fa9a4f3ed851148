"""What was done about dead letters.

Owns: the state of each letter, as the topics of commands and of the audit tell it.
Does not own: reading them (log.py), the ids by which a request is found (letters.py).
Invariants: a request counts from the moment that it is in the log, so nothing is sent twice because
no worker has reached it yet; of several entries about one request the first says what came of it,
as the others are repeats. One small value is kept for each request, whatever it carries.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from pipeline.core.enumerations import PublishedVerdict
from pipeline.core.records import AuditEntry, Instant
from pipeline.ops.deadletters.letters import Letter, State, Wanted, request_of
from pipeline.ops.deadletters.log import DeadLetterLog, Sent
from pipeline.ops.progress import Say


class Handled(msgspec.Struct, frozen=True):
    """What was done about a letter.

    Attributes:
        verdict: of its redrive; None where it was not redriven, or no worker has reached it yet.
        rejection: the reason, where the redrive was rejected again.
    """

    state: State = "open"
    verdict: PublishedVerdict | None = None
    rejection: str | None = None

    @property
    def text(self) -> str:
        """For a person."""
        if self.state != "redriven":
            return self.state
        if self.verdict is None:
            return "redriven, not processed yet"
        why = f" ({self.rejection})" if self.rejection else ""
        verdict = "rejected again" if self.verdict == "dead_letter" else self.verdict
        return f"redriven: {verdict}{why}"


OPEN: Final = Handled()
_DISCARDED: Final = Handled("discarded")
_ON_ITS_WAY: Final = Handled("redriven")


class HandledLetters:
    """The letters about which something was done.

    Args:
        states: by the letter's number.
    """

    def __init__(self, states: Mapping[int, Handled]) -> None:
        self._states = states

    def of(self, letter: Letter) -> Handled:
        """What was done about a letter."""
        return self._states.get(letter.number, OPEN) if self._states else OPEN

    def __len__(self) -> int:
        return len(self._states)


def read_handled(log: DeadLetterLog, wanted: Wanted, say: Say) -> HandledLetters:
    """Read what was done about the letters that are wanted, and perhaps about others.

    Raises:
        UnreadableLogError, RegistryError: as of `DeadLetterLog.letters`.
    """
    states: dict[int, Handled] = {}
    first_ms: Instant | None = None
    waiting: set[int] = set()
    for sent in log.requests(wanted.since_ms, say):
        found = request_of(sent.command.request_id)
        if found is None:
            continue
        about, number = found
        if about == "discard":
            states.setdefault(number, _DISCARDED)
            continue
        states[number] = _ON_ITS_WAY
        waiting.add(number)
        first_ms = sent.append_time if first_ms is None else min(first_ms, sent.append_time)
    if first_ms is not None:
        known: dict[Handled, Handled] = {}
        for entry in log.entries(first_ms, say):
            found = request_of(entry.cause.id)
            if found is None or found[0] != "redrive" or found[1] not in waiting:
                continue
            waiting.discard(found[1])
            one = Handled("redriven", entry.verdict, entry.rejection)
            states[found[1]] = known.setdefault(one, one)
            if not waiting:
                break
    return HandledLetters(states)


class Told(msgspec.Struct, frozen=True):
    """One request about a letter, and what became of it.

    Attributes:
        entry: of the audit; None while no worker has reached the request.
    """

    sent: Sent
    entry: AuditEntry | None = None


def read_told(log: DeadLetterLog, letter: Letter, say: Say) -> list[Told]:
    """Read everything that was asked about one letter, in its order.

    Raises:
        UnreadableLogError, RegistryError: as of `DeadLetterLog.letters`.
    """
    ids = {letter.request_id("redrive"), letter.request_id("discard")}
    since_ms = letter.record.append_time
    found = [one for one in log.requests(since_ms, say) if one.command.request_id in ids]
    if not found:
        return []
    found.sort(key=lambda one: one.append_time)
    entries = {}
    for entry in log.entries(found[0].append_time, say):
        if entry.cause.id in ids:
            entries[entry.cause.coordinates] = entry
        if len(entries) == len(found):
            break
    return [Told(one, entries.get(one.place)) for one in found]
