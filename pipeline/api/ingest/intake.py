"""Sends the completions of a request to the log.

Owns: sending each content of an id once, as far as this process knows; the answer for each item.
Does not own: HTTP (routes/ingest.py), what is refused before it is sent (receiving.py), the
producer (producing.py), the index (index.py).

Invariants:
- A record has its user as key, the partition that every client would choose, and the bytes that
  were sent; so the pipeline treats a completion the same whichever way it came.
- A repeat of what this process sent within the history gets the first answer and is not sent again,
  so a phone that tries twice raises no alert. A completion that was sent with a warning is not
  remembered: the pipeline may have rejected it for its instant, and it may count when it comes
  again. Another process, or one that lost its index, sends the repeat on; the pipeline calls that
  an exact duplicate, which counts once and is reported at the lowest severity. The same id with
  other content is always sent on: that is a collision, which somebody has to hear of.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Literal

import msgspec
import structlog
from msgspec.structs import replace

from pipeline.api.http.auth import COMPLETIONS_WRITE, Principal, check
from pipeline.api.http.paths import completion_path
from pipeline.api.http.problems import Problem, ProblemError
from pipeline.api.ingest.producing import (
    Acknowledged,
    BusyError,
    Headers,
    InputProducer,
    NotAcknowledgedError,
    RecordRefusedError,
    TooLargeRequestError,
)
from pipeline.api.ingest.receiving import Fault, Received, judge
from pipeline.api.outcomes.index import Outcomes, Receipt
from pipeline.api.outcomes.statuses import Position
from pipeline.core.rulebook import PolicyBook

NOT_ACKNOWLEDGED: Final = "not_acknowledged"
TOO_LARGE: Final = "too_large"
FORBIDDEN: Final = "forbidden"
"""Reasons that only HTTP answers have; all others are those of dead letters."""

_log: Final = structlog.get_logger("awaway.api.ingest")


ItemStatus = Literal["recorded", "refused", "failed"]


class CompletionIn(msgspec.Struct, frozen=True):
    """A finished practice session. Instants are RFC 3339 with an offset."""

    completion_id: str
    user_id: str
    session_id: str
    practice: str
    started_at: str
    completed_at: str
    tz: str | None = None
    sent_at: str | None = None
    device_id: str | None = None
    app_version: str | None = None
    context: dict[str, str] | None = None


class Item(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What was done with one completion.

    Attributes:
        index: its place in the request, 0 and up.
        status: recorded (it is in the log), refused (send no more), failed (send again).
        position: in the log. url: tells what became of it.
        warning: it is recorded, and will probably be rejected for this.
        error: why it was refused or failed.
    """

    index: int
    status: ItemStatus
    completion_id: str | None = None
    user_id: str | None = None
    position: Position | None = None
    url: str | None = None
    warning: Fault | None = None
    error: Fault | None = None


class Batch(msgspec.Struct, frozen=True):
    """What was done with an array of completions, each in its place."""

    recorded: int
    refused: int
    failed: int
    items: tuple[Item, ...]


class RefusedProblem(Problem, frozen=True):
    """The problem of a request of which nothing was recorded."""

    items: tuple[Item, ...] = ()


class Intake:
    """Sends completions on, each content of an id once as far as it knows.

    Args:
        completions: the producer.
        outcomes: the index, which remembers what this process sent.
        policies: the rules that completions are judged by.
        now_ms: the time of day, ms since the epoch.
    """

    def __init__(
        self,
        completions: InputProducer,
        outcomes: Outcomes,
        policies: PolicyBook,
        now_ms: Callable[[], int],
    ) -> None:
        self._completions = completions
        self._outcomes = outcomes
        self._policies = policies
        self._now_ms = now_ms
        self._going: dict[tuple[str, str, bytes], asyncio.Future[Acknowledged]] = {}

    async def take(self, values: Sequence[bytes], principal: Principal, headers: Headers) -> Batch:
        """Judge and send the items of a request.

        Raises:
            ProblemError: 413, there are too many items; 429 or 503, nothing was sent.
        """
        now_ms = self._now_ms()
        policy = self._policies.at(now_ms)
        judged = [_permitted(judge(value, now_ms, policy), principal) for value in values]
        found = [one for one in judged if isinstance(one, Received)]
        self._check_room(found)
        sent = [self._send(one, headers) if isinstance(one, Received) else one for one in judged]
        items = [
            await self._item(index, one, result)
            for index, (one, result) in enumerate(zip(judged, sent, strict=True))
        ]
        states = [item.status for item in items]
        return Batch(
            states.count("recorded"), states.count("refused"), states.count("failed"), tuple(items)
        )

    def _check_room(self, found: Sequence[Received]) -> None:
        try:
            self._completions.check_room(len(found), sum(len(one.value) for one in found))
        except (BusyError, NotAcknowledgedError) as error:
            raise _busy(error) from error
        except TooLargeRequestError as error:
            raise ProblemError(
                413, "batch-too-large", "Too many completions", str(error)
            ) from error

    def _send(self, one: Received, headers: Headers) -> "asyncio.Future[Acknowledged] | Fault":
        completion = one.completion
        ids = (completion.user_id, completion.completion_id)
        going = self._going.get((*ids, one.digest))
        if going is not None:
            return going
        receipt = self._outcomes.receipt(*ids)
        if receipt is not None and receipt.digest == one.digest:
            known = asyncio.get_running_loop().create_future()
            known.set_result(Acknowledged(receipt.partition, receipt.offset))
            return known
        try:
            answer = self._completions.send(completion.user_id.encode(), one.value, headers)
        except (BusyError, NotAcknowledgedError) as error:
            return Fault(NOT_ACKNOWLEDGED, f"{error}; send it again")
        except RecordRefusedError as error:
            return _refused(error)
        self._going[(*ids, one.digest)] = answer
        answer.add_done_callback(lambda done: self._on_acknowledged(ids, one, done))
        return answer

    def _on_acknowledged(
        self, ids: tuple[str, str], one: Received, done: "asyncio.Future[Acknowledged]"
    ) -> None:
        self._going.pop((*ids, one.digest), None)
        if one.warning is not None or done.cancelled() or done.exception() is not None:
            return
        receipt = Receipt(one.digest, *done.result(), self._now_ms())
        self._outcomes.remember(*ids, receipt)

    async def _item(
        self, index: int, one: Received | Fault, sent: "asyncio.Future[Acknowledged] | Fault"
    ) -> Item:
        if isinstance(one, Fault):
            return Item(index=index, status="refused", error=one)
        completion = one.completion
        item = Item(
            index=index,
            status="failed",
            completion_id=completion.completion_id,
            user_id=completion.user_id,
        )
        if isinstance(sent, Fault):
            return _not_recorded(item, sent)
        try:
            at = await asyncio.shield(sent)
        except NotAcknowledgedError as error:
            fault = Fault(NOT_ACKNOWLEDGED, f"{error}; send it again, it counts once")
            return _not_recorded(item, fault)
        except RecordRefusedError as error:
            return _not_recorded(item, _refused(error))
        position = Position(self._completions.topic, at.partition, at.offset)
        url = status_url(completion.user_id, completion.completion_id, position)
        return replace(item, status="recorded", position=position, url=url, warning=one.warning)


def status_url(user_id: str, completion_id: str, position: Position) -> str:
    """Return the address of a completion's status; with the position any server can look it up."""
    path = completion_path(user_id, completion_id)
    return f"{path}?position={position.partition}-{position.offset}"


def _permitted(one: Received | Fault, principal: Principal) -> Received | Fault:
    """Return what was judged, or the refusal of an item that this principal may not send."""
    if isinstance(one, Received):
        try:
            check(principal, one.completion.user_id, COMPLETIONS_WRITE)
        except ProblemError as error:
            return Fault(FORBIDDEN, error.problem.detail, "user_id")
    return one


def _refused(error: RecordRefusedError) -> Fault:
    what = "it is larger than" if error.reason == TOO_LARGE else "it is not what"
    return Fault(error.reason, f"{what} the brokers take, as it is sent: {error.why}")


def _not_recorded(item: Item, error: Fault) -> Item:
    """Complete an item that is not in the log."""
    status: ItemStatus = "failed" if error.reason == NOT_ACKNOWLEDGED else "refused"
    return replace(item, status=status, error=error)


def _busy(error: BusyError | NotAcknowledgedError) -> ProblemError:
    _log.warning("completions are turned away", reason=str(error))
    if isinstance(error, BusyError):
        slug, title, status = "too-many-in-flight", "Too many in flight", 429
    else:
        slug, title, status = "brokers-slow", "Brokers are slow", 503
    return ProblemError(
        status, slug, title, f"{error}; nothing was recorded", headers={"Retry-After": "2"}
    )
