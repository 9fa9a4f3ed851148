"""Puts together what this server knows of a user, for the preview of a correction.

Owns: which of the user's commands are read.
Does not own: how progress and commands make a state (ops/adjust/user_state.py), the preview.
Invariants: it reads a bounded amount and changes nothing; progress comes from the store and the
commands from the log, by the audit entries of the index, so a repeat is known and a withdrawal
finds what it cancels. Requests that are older than the history are known by their effect alone.
"""

from typing import Final

from pipeline.api.http.problems import ProblemError
from pipeline.api.outcomes.index import PAGE_MAX, Outcomes
from pipeline.api.reads.materialise import Materialiser
from pipeline.api.reads.turns import TooManyWaitError, Turns
from pipeline.codec.errors import DecodeError, RegistryUnavailableError
from pipeline.core.enumerations import is_request_kind
from pipeline.core.records import AuditEntry, Command, Instant, RecordCoordinates
from pipeline.core.rulebook import PolicyBook
from pipeline.core.state import UserState
from pipeline.kafka.errors import UnreadableLogError
from pipeline.ops.adjust.user_state import SentCommand, redriven_in, user_state_of
from pipeline.ops.explain.log import InputReader

ENTRIES_MAX: Final = 5_000
"""Max audit entries of a user among which commands are looked for, the latest first."""

COMMANDS_MAX: Final = 200
"""Max commands of a user that are read from the log."""


class KnownStates:
    """Makes states of users.

    Args:
        source: the store of progress.
        outcomes: the index of audit entries.
        inputs: reads commands from the log.
        book: the policy, which says which commands were valid.
    """

    def __init__(
        self, source: Materialiser, outcomes: Outcomes, inputs: InputReader, book: PolicyBook
    ) -> None:
        self._source = source
        self._outcomes = outcomes
        self._inputs = inputs
        self._book = book
        self._turns = Turns()

    async def of(self, user_id: str) -> UserState:
        """Return a user's state; that of nobody where nothing was published.

        Raises:
            ProblemError: 503, it cannot be told at the moment.
        """
        if not self._source.is_loaded:
            raise _not_known("the store of progress is not up to date yet")
        if self._outcomes.complete_at_ms is None:
            raise _not_known("the index of what became of commands is not up to date yet")
        try:
            return await self._turns.take(self._read, user_id)
        except TooManyWaitError:
            raise _not_known("too many corrections are being looked at") from None
        except (UnreadableLogError, RegistryUnavailableError) as error:
            raise _not_known(f"the user's commands cannot be read: {error}") from error

    def _read(self, user_id: str) -> UserState:
        places = self._places(user_id)
        there = self._inputs.read(places)
        sent = [
            carried
            for place in places
            if (raw := there.get(place)) is not None
            and isinstance(raw.record, Command)
            and (carried := self._carried_out(raw.record, raw.append_time)) is not None
        ]
        # After the commands: what is applied by then may show in both, and counts once.
        held = self._source.store.get(user_id)
        progress = None if held is None else self._source.decode(held.value)
        return user_state_of(progress, sent, self._book)

    def _carried_out(self, command: Command, append_time: Instant) -> SentCommand | None:
        """Return what was carried out: the command itself, or the one that it redrives."""
        if command.kind != "redrive":
            return SentCommand(command, append_time)
        try:
            return redriven_in(command, append_time, self._inputs.decoder.decode_command)
        except DecodeError:
            return None

    def _places(self, user_id: str) -> list[RecordCoordinates]:
        """Return where the user's commands are that were carried out, in the order of the log."""
        found: list[RecordCoordinates] = []
        before, read = b"", 0
        while read < ENTRIES_MAX and len(found) < COMMANDS_MAX:
            entries, before = self._outcomes.of_user(
                user_id, ("audit",), before=before, limit=PAGE_MAX
            )
            read += len(entries)
            found += [
                entry.cause.coordinates
                for entry in entries
                if isinstance(entry.record, AuditEntry)
                and (is_request_kind(entry.record.action) or entry.record.action == "redrive")
                and entry.record.verdict == "applied"
            ]
            if not before:
                break
        return sorted(found[:COMMANDS_MAX])


def _not_known(why: str) -> ProblemError:
    return ProblemError(503, "not-known", "Not known", why, headers={"Retry-After": "2"})
