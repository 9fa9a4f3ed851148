"""Tells what became of a correction.

Owns: the form of the answer, waiting until the pipeline has decided and readers see the effect.
Does not own: the index (outcomes/index.py), the store (reads/), sending (adjusting.py).
Invariants: `applied` and `repeated` are said only of what the audit says so and progress shows
already; what is not known in time is `pending`, never guessed. Waiting costs no look-up until the
user's own records arrive.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, Literal
from urllib.parse import urlencode

import msgspec

from pipeline.api.http.paths import user_path
from pipeline.api.outcomes.index import Outcomes
from pipeline.api.outcomes.rows import Entry
from pipeline.api.outcomes.statuses import Position, Refusal
from pipeline.api.reads.user_read import Reads
from pipeline.api.reads.waiting import Waiters
from pipeline.core.enumerations import Action, is_request_kind
from pipeline.core.records import AuditEntry, Cause, DeadLetter

WAIT_S_MAX: Final = 5.0
"""Max seconds from a correction's acknowledgement to its answer."""

WAITING_MAX: Final = 1_000
"""Max corrections whose effect is waited for at once; further ones are answered as pending."""

AdjustmentState = Literal["pending", "applied", "repeated", "rejected"]


class AdjustmentStatus(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What became of a correction.

    Attributes:
        status: pending (not processed yet, or not readable), applied, repeated (the same was taken
            before under this id), rejected.
        url: where to ask for this later.
        verdict: as in the audit. kind: of the command that it became.
        position: of the command in the log.
        revision: of the user's progress after it; readable now.
        actor: who asked for it.
        refusal: of a rejected one.
    """

    user_id: str
    request_id: str
    status: AdjustmentState
    url: str
    verdict: str | None = None
    kind: str | None = None
    position: Position | None = None
    revision: int | None = None
    actor: str | None = None
    refusal: Refusal | None = None


_STATES: Final[dict[str, AdjustmentState]] = {
    "applied": "applied", "repeated": "repeated", "dead_letter": "rejected",
}  # fmt: skip


class ReadBack:
    """Waits for the effect of commands.

    Args:
        outcomes: the index, which has audit entries and dead letters.
        reads: the store of progress.
        topic: full name of the topic of commands.
        wait_s: max seconds that an answer waits; `WAIT_S_MAX` bounds it.
    """

    def __init__(self, outcomes: Outcomes, reads: Reads, topic: str, wait_s: float) -> None:
        self._outcomes = outcomes
        self._reads = reads
        self._topic = topic
        self._wait_s = min(wait_s, WAIT_S_MAX)
        self._waiters = Waiters(WAITING_MAX)
        outcomes.listeners.append(self._indexed)

    def _indexed(self, user_id: str, entry: Entry) -> None:
        if entry.cause.topic == self._topic:
            self._waiters.changed((user_id.encode(),))

    async def of(self, user_id: str, request_id: str, position: Position) -> AdjustmentStatus:
        """Wait for what becomes of a command that is in the log.

        Args:
            position: of the command.
        """
        deadline_s = _now_s() + self._wait_s
        found = await self._decided(user_id, request_id, position, deadline_s)
        if found is None:
            return _pending(user_id, request_id, position)
        return await self._readable(found, max(0.0, deadline_s - _now_s()))

    async def known(self, user_id: str, request_id: str) -> AdjustmentStatus | None:
        """Return what is known of a request by now; None when nothing is."""
        found = status_of(user_id, request_id, self._about(user_id, request_id))
        return None if found is None else await self._readable(found, 0.0)

    async def _readable(self, found: AdjustmentStatus, wait_s: float) -> AdjustmentStatus:
        """Return a status once readers see its revision; as pending when they do not in time."""
        revision = found.revision
        if revision is None or found.status == "rejected":
            return found
        if await self._reads.reached(found.user_id.encode(), revision, wait_s) is not None:
            return found
        return _pending(found.user_id, found.request_id, found.position)

    async def _decided(
        self, user_id: str, request_id: str, position: Position, deadline_s: float
    ) -> AdjustmentStatus | None:
        """Return what the audit says of a command; None when it says nothing in time."""
        if self._waiters.is_full:
            return None
        user = user_id.encode()
        event = self._waiters.join(user)
        try:
            async with asyncio.timeout(max(0.0, deadline_s - _now_s())):
                while True:
                    event.clear()
                    entries = self._about(user_id, request_id)
                    own = [one for one in entries if _position(one.cause) == position]
                    found = status_of(user_id, request_id, own)
                    if found is not None:
                        return found
                    await event.wait()
        except TimeoutError:
            return None
        finally:
            self._waiters.leave(user, event)

    def _about(self, user_id: str, request_id: str) -> list[Entry]:
        """Return the entries about a request; a completion may have the same id."""
        found = self._outcomes.of_completion(user_id, request_id)
        return [one for one in found if one.cause.topic == self._topic]


def status_of(user_id: str, request_id: str, entries: Sequence[Entry]) -> AdjustmentStatus | None:
    """Make the status of a request from what was published about it.

    Args:
        entries: about the request, in any order. If it was sent more than once, the answer is about
            the one that was applied; without one, about the first.

    Returns:
        None without an audit entry.
    """
    audits = [one.record for one in entries if isinstance(one.record, AuditEntry)]
    if not audits:
        return None
    audits.sort(key=lambda one: (one.verdict != "applied", one.cause.offset))
    chosen = audits[0]
    letters = [one.record for one in entries if isinstance(one.record, DeadLetter)]
    letter = next((one for one in letters if one.cause == chosen.cause), None)
    state = _STATES.get(chosen.verdict, "rejected")
    return AdjustmentStatus(
        user_id=user_id,
        request_id=request_id,
        status=state,
        url=status_url(user_id, request_id),
        verdict=chosen.verdict,
        kind=_kind(chosen.action),
        position=_position(chosen.cause),
        revision=chosen.revision or None,
        actor=chosen.actor,
        refusal=_refusal(chosen, letter) if state == "rejected" else None,
    )


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def status_url(user_id: str, request_id: str) -> str:
    """Return the address that tells what became of a request."""
    return f"{user_path(user_id)}/adjustments?{urlencode({'request_id': request_id})}"


def _refusal(entry: AuditEntry, letter: DeadLetter | None) -> Refusal:
    if letter is None:  # the dead letter comes by another topic, and may be behind
        return Refusal("validate", entry.rejection or "unknown", "the audit entry says no more")
    return Refusal(letter.stage, letter.reason, letter.detail)


def _kind(action: Action) -> str | None:
    return action if is_request_kind(action) else None


def _pending(user_id: str, request_id: str, position: Position | None) -> AdjustmentStatus:
    return AdjustmentStatus(
        user_id=user_id,
        request_id=request_id,
        status="pending",
        url=status_url(user_id, request_id),
        position=position,
    )


def _position(cause: Cause) -> Position:
    return Position(cause.topic, cause.partition, cause.offset)
