"""Tells what the pipeline would say of completions, if they were sent now.

Owns: `POST /v1/completions?dry_run=true`: the state of the users to which the items are applied.
Does not own: the verdicts (ops/validate/verdicts.py), reading the request (routes/ingest.py).
Invariant: nothing is sent, indexed or remembered.

A user's state comes from the store of progress. The dedupe window is rebuilt from the completions
that counted, by the index of outcomes and the log, as far as the latest `REMEMBERED_MAX` audit
entries of a user go. So an answer is as new as the store and the index, and a repeat of something
older than the window that was rebuilt is not seen.

Each request reads the log once, when its turn comes (reads/turns.py).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from pipeline.api.http.auth import (
    COMPLETIONS_READ,
    COMPLETIONS_WRITE,
    PROGRESS_READ,
    Principal,
    check,
)
from pipeline.api.http.problems import ProblemError
from pipeline.api.outcomes.index import Outcomes
from pipeline.api.reads.materialise import Materialiser
from pipeline.api.reads.store import HEAD
from pipeline.api.reads.turns import TooManyWaitError, Turns
from pipeline.codec import json_inputs
from pipeline.codec.errors import DecodeError, RegistryUnavailableError
from pipeline.core.enumerations import COUNTED
from pipeline.core.outcome import World
from pipeline.core.records import (
    AuditEntry,
    Cause,
    Command,
    Instant,
    LocalDate,
    PracticeCompleted,
)
from pipeline.kafka.errors import UnreadableLogError
from pipeline.ops.explain.log import InputReader
from pipeline.ops.validate.state import state_of
from pipeline.ops.validate.verdicts import Decoder, Said, Validator
from pipeline.ops.validate.verdicts import Entry as Input

ITEMS_MAX: Final = 100
"""Max completions of a dry run."""

USERS_MAX: Final = 10
"""Max users of a dry run."""

REMEMBERED_MAX: Final = 200
"""Max inputs of a user that are read from the log."""


class DryRun(msgspec.Struct, frozen=True):
    """What the pipeline would say of each item, in their order; nothing was sent."""

    dry_run: bool
    items: tuple[Said, ...]


class _Decoder:
    """Decodes JSON only, which is the form of a request."""

    def __init__(self) -> None:
        self.ignored_fields = 0

    def decode_completion(self, value: bytes | None) -> PracticeCompleted:
        return json_inputs.completion(value or b"", self._ignored)

    def decode_command(self, value: bytes | None) -> Command:
        return json_inputs.command(value or b"", self._ignored)

    def _ignored(self, fields: int) -> None:
        self.ignored_fields += fields


class Preview:
    """Judges requests without sending them.

    Args:
        world: the policies and the catalogue that decide.
        source: the store of progress.
        outcomes: the index of audit entries.
        inputs: reads inputs from the log.
        now_ms: the time of day, ms since the epoch.
    """

    def __init__(
        self,
        world: World,
        source: Materialiser,
        outcomes: Outcomes,
        inputs: InputReader,
        now_ms: Callable[[], int],
    ) -> None:
        self._world = world
        self._source = source
        self._outcomes = outcomes
        self._inputs = inputs
        self._now_ms = now_ms
        self._turns = Turns()

    async def judge(self, values: Sequence[bytes], principal: Principal) -> DryRun:
        """Judge the items of a request.

        Raises:
            ProblemError: 403, an item is another user's, or the token may not read what the answer
                shows; 413, there are too many; 503, the state of the users cannot be read.
        """
        if len(values) > ITEMS_MAX:
            raise ProblemError(
                413,
                "batch-too-large",
                "Too many completions",
                f"a dry run may carry {ITEMS_MAX} completions, not {len(values)}",
            )
        users = dict.fromkeys(_users(values))
        for user_id in users:
            for scope in (COMPLETIONS_WRITE, COMPLETIONS_READ, PROGRESS_READ):
                check(principal, user_id, scope)
        if len(users) > USERS_MAX:
            raise ProblemError(
                413,
                "batch-too-large",
                "Too many users",
                f"a dry run may be about {USERS_MAX} users, not {len(users)}",
            )
        if not self._source.is_usable:
            raise _not_known("the store of progress is not loaded yet")
        try:
            return await self._turns.take(self._judge, values, list(users))
        except TooManyWaitError:
            raise _not_known("too many dry runs are waiting") from None

    def _judge(self, values: Sequence[bytes], users: Sequence[str]) -> DryRun:
        now_ms = self._now_ms()
        validator = self.validator(users, _Decoder())
        inputs = [Input(str(n), "completions", now_ms, value) for n, value in enumerate(values)]
        return DryRun(True, tuple([validator.judge(one) for one in inputs]))

    def validator(self, users: Sequence[str], decoder: Decoder) -> Validator:
        """Make what judges further inputs of some users; it reads the log, so call it on a thread.

        Raises:
            ProblemError: 503, what counted before cannot be read.
        """
        source, now_ms = self._source, self._now_ms()
        validator = Validator(self._world, decoder)
        counted: list[Cause] = []
        for user_id in users:
            raw = source.store.raw(user_id.encode())
            entries = self._audited(user_id)
            if raw is not None:
                progress = source.decode(raw[HEAD.size :])
                validator.left.users[user_id] = state_of(progress, _revocations(entries))
            since = now_ms - self._world.policies.window_ms
            counted += [entry.cause for entry in entries if _counted(entry, since)]
        self._remember(validator, counted)
        return validator

    def _audited(self, user_id: str) -> list[AuditEntry]:
        """Return the latest audit entries of a user, the oldest first."""
        found, _ = self._outcomes.of_user(user_id, ("audit",), limit=REMEMBERED_MAX)
        records = [entry.record for entry in reversed(found)]
        return [record for record in records if isinstance(record, AuditEntry)]

    def _remember(self, validator: Validator, counted: Sequence[Cause]) -> None:
        """Put the inputs that counted into the window, in the order of each user."""
        try:
            there = self._inputs.read([cause.coordinates for cause in counted])
        except (UnreadableLogError, RegistryUnavailableError) as error:
            raise _not_known(f"what counted before cannot be read: {error}") from error
        for cause in counted:
            sent = there.get(cause.coordinates)
            if sent is None:
                continue
            completion, judged_at = sent.record, None
            if isinstance(completion, Command):
                judged_at = completion.payload_append_time
                completion = self._redriven(completion)
            if isinstance(completion, PracticeCompleted):
                validator.remember(completion, cause, sent.append_time, judged_at)

    def _redriven(self, command: Command) -> PracticeCompleted | None:
        """Return the completion that a redrive carries; None where it can no longer be read."""
        try:
            return self._inputs.decoder.decode_completion(command.payload)
        except DecodeError:
            return None


def _users(values: Iterable[bytes]) -> Iterable[str]:
    for value in values:
        try:
            yield json_inputs.completion(value).user_id
        except DecodeError:
            continue


def _revocations(entries: Iterable[AuditEntry]) -> dict[LocalDate, list[str]]:
    """Return the requests that revoked each date; the audit does not say which were withdrawn."""
    found: dict[LocalDate, list[str]] = {}
    for record in entries:
        is_carried_out = record.action == "revoke" and record.verdict == "applied"
        if is_carried_out and record.local_date is not None and record.cause.id:
            found.setdefault(record.local_date, []).append(record.cause.id)
    return found


def _counted(record: AuditEntry, since: Instant) -> bool:
    return (
        record.action in ("completion", "redrive")
        and record.verdict in COUNTED
        and record.append_time >= since
    )


def _not_known(why: str) -> ProblemError:
    return ProblemError(503, "not-known", "Not known", why, headers={"Retry-After": "2"})
