"""Looks up the status of a completion by its id and, where the client has it, its position.

Owns: which of index, receipt and log is asked, and the answer where the index does not know the id.
Does not own: the index (index.py), the form of the answer (statuses.py), who may ask
(routes/ingest.py).

Invariants:
- Only an input that waits is `pending`: it is in the log and has no audit entry yet, or its other
  records have not arrived yet. A processed input gets its status; what does not exist is 404, or
  410 where it is older than the history.
- Nobody learns what another user's input is, only that it is not the one they ask for.

A position that the index does not have is read from the log, unless this process sent the record
there. That takes a request to the brokers, so only a few run at once; further look-ups answer
without it, which is `pending` where the audit has not reached the position.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final, NamedTuple

from pipeline.api.http.problems import ProblemError
from pipeline.api.outcomes.index import Outcomes
from pipeline.api.outcomes.letter_ids import is_of, names_completion
from pipeline.api.outcomes.rows import Entry
from pipeline.api.outcomes.statuses import PARTS_MS_MAX, CompletionStatus, Position, status_of
from pipeline.api.reads.turns import TooManyWaitError, Turns
from pipeline.clock import rfc3339
from pipeline.codec.errors import RegistryUnavailableError
from pipeline.core.records import AuditEntry, DeadLetter, PracticeCompleted, RecordCoordinates
from pipeline.kafka.errors import UnreadableLogError
from pipeline.ops.explain.log import InputReader
from pipeline.ops.explain.records import RawInput

_ANOTHER: Final = "the input at this position is not this completion"
_UNKNOWN: Final = "unknown-completion", "Unknown completion"


class Asked(NamedTuple):
    """What is looked up.

    Attributes:
        at: partition and offset of the input, if the client has them.
    """

    user_id: str
    completion_id: str
    at: tuple[int, int] | None


class StatusLookup:
    """Finds the status of a completion.

    Args:
        outcomes: the index.
        inputs: reads inputs from the log.
        topic: full name of the topic of completions.
        history_days: how far back the index goes, days.
    """

    def __init__(
        self, outcomes: Outcomes, inputs: InputReader, topic: str, history_days: int
    ) -> None:
        self._outcomes = outcomes
        self._inputs = inputs
        self._topic = topic
        self._history_days = history_days
        self._turns = Turns()

    async def find(self, asked: Asked) -> CompletionStatus:
        """Return the status.

        Raises:
            ProblemError: 404, there is no such completion; 410, it is older than the history; 503,
                the log cannot be read at the moment.
        """
        outcomes = self._outcomes
        user_id, completion_id, at = asked
        as_of_ms = outcomes.complete_at_ms
        entries = outcomes.of_completion(user_id, completion_id)
        found = status_of(user_id, completion_id, entries, as_of_ms)
        if found is not None:
            return found
        receipt = outcomes.receipt(user_id, completion_id)
        if receipt is not None:
            at = receipt.partition, receipt.offset
        if entries:
            cause = entries[0].cause
            return self._pending(asked, (cause.partition, cause.offset))
        if at is None:
            raise self._unknown(
                "nothing is known of this id within the history; if it was sent another way it may "
                "not be processed yet"
            )
        return await self._at(asked._replace(at=at), *at, was_sent=receipt is not None)

    async def _at(
        self, asked: Asked, partition: int, offset: int, *, was_sent: bool
    ) -> CompletionStatus:
        outcomes = self._outcomes
        if 0 < outcomes.partitions <= partition:
            raise self._unknown(f"the topic has no partition {partition}, so nothing is there")
        # In this order: an input that is audited in between must not look passed and missing.
        is_passed = outcomes.last_input(partition) >= offset
        entries = outcomes.of_input(partition, offset)
        if entries:
            return self._processed(asked, entries, was_sent=was_sent)
        if was_sent and not is_passed:
            return self._pending(asked, asked.at)
        return self._in_the_log(asked, await self._read(partition, offset), is_passed=is_passed)

    def _processed(
        self, asked: Asked, entries: Sequence[Entry], *, was_sent: bool
    ) -> CompletionStatus:
        """Answer for an input whose audit entry or dead letter has other ids, or none."""
        user_id, completion_id, _ = asked
        as_of_ms = self._outcomes.complete_at_ms
        audit = next((e.record for e in entries if isinstance(e.record, AuditEntry)), None)
        letter = next((e.record for e in entries if isinstance(e.record, DeadLetter)), None)
        if any(entry.cause.id for entry in entries) or (audit and audit.user_id):
            raise self._unknown(_ANOTHER)
        if letter is None:
            is_late = as_of_ms is not None and as_of_ms - entries[0].time_ms > PARTS_MS_MAX
            if is_late:
                raise self._unknown(_ANOTHER)
            return self._pending(asked, asked.at)
        if was_sent or names_completion(letter, user_id, completion_id):
            found = status_of(user_id, completion_id, entries, as_of_ms)
            if found is not None:
                return found
        if is_of(letter, user_id):
            raise self._unknown(
                f"the input at this position was rejected, {letter.stage}.{letter.reason}, and "
                f"does not say that it is this completion"
            )
        raise self._unknown(_ANOTHER)

    def _in_the_log(
        self, asked: Asked, found: RawInput | ProblemError | None, *, is_passed: bool
    ) -> CompletionStatus:
        """Answer for an input without a known outcome."""
        user_id, completion_id, at = asked
        if isinstance(found, ProblemError):
            if is_passed:
                raise found
            return self._pending(asked, at)
        if found is None:
            never = "" if is_passed else " yet"
            raise self._unknown(f"there is no input at this position{never}")
        if is_passed or not self._outcomes.is_kept(found.append_time):
            raise self._problem(
                410,
                ("gone", "Gone"),
                f"the input at this position is older than what is kept here, the last "
                f"{self._history_days} days",
            )
        record = found.record
        own = (user_id, completion_id)
        if isinstance(record, PracticeCompleted) and own != (record.user_id, record.completion_id):
            raise self._unknown(_ANOTHER)
        return self._pending(asked, at)

    async def _read(self, partition: int, offset: int) -> RawInput | ProblemError | None:
        """Read the input; None without one, the problem where the log cannot be read."""
        where = RecordCoordinates(self._topic, partition, offset)
        cannot = self._problem(
            503,
            ("not-readable", "The log cannot be read"),
            "what is at this position cannot be told at the moment; try again",
            {"Retry-After": "2"},
        )
        try:
            read = await self._turns.take(self._inputs.read, [where])
        except (TooManyWaitError, UnreadableLogError, RegistryUnavailableError):
            return cannot
        return read.get(where)

    def _pending(self, asked: Asked, at: tuple[int, int] | None) -> CompletionStatus:
        as_of_ms = self._outcomes.complete_at_ms
        return CompletionStatus(
            user_id=asked.user_id,
            completion_id=asked.completion_id,
            status="pending",
            position=None if at is None else Position(self._topic, *at),
            as_of=None if as_of_ms is None else rfc3339(as_of_ms),
        )

    def _unknown(self, detail: str) -> ProblemError:
        return self._problem(HTTPStatus.NOT_FOUND, _UNKNOWN, detail)

    def _problem(
        self,
        status: int,
        kind: tuple[str, str],
        detail: str,
        headers: dict[str, str] | None = None,
    ) -> ProblemError:
        as_of_ms = self._outcomes.complete_at_ms
        body = {"as_of": None if as_of_ms is None else rfc3339(as_of_ms)}
        return ProblemError(status, *kind, detail, headers=headers, body=body)
