"""One date credited to many users, from a file.

Owns: the rows of the file, the id of each row's request, the numbers of the preview, the rate, the
verdict on each row.
Does not own: sending and reading back (send.py), a single preview (preview.py), the progress bar
and the report's place (cli/adjust_many.py).
Invariants: a row's request id follows from ticket, user and date alone, and what is in the log
already is not sent again. So a run that was killed is begun anew with the same words, and a file
that was sorted or completed meanwhile sends only what is new. After a request whose effect does not
come, nothing more is sent.

The log itself says how far a run was, so there is no other file that could disagree with it.
"""

import csv
import io
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from hashlib import sha256
from typing import Final, Literal, Protocol, TypeAlias

import msgspec

from pipeline.core.outcome import World
from pipeline.core.records import Command, Instant
from pipeline.core.rejection import quoted
from pipeline.core.state import EMPTY, UserState
from pipeline.errors import ConfigError
from pipeline.ops.adjust.preview import AdjustmentPreview, previewed
from pipeline.ops.adjust.request import Asked, command_of
from pipeline.ops.adjust.send import Effect, Pending

ROWS_MAX: Final = 200_000
IN_FLIGHT_MAX: Final = 200
"""Requests that wait for their effect at the same time."""

_HEADING: Final = "user_id"

RowVerdict: TypeAlias = Literal["applied", "repeated", "rejected", "not_read_back", "not_sent"]


class Row(msgspec.Struct, frozen=True):
    """One line of the file. number: of the line, 1 and up."""

    number: int
    user_id: str
    local_date: date


class Planned(msgspec.Struct, frozen=True):
    """A row with its request, and what that would change."""

    row: Row
    command: Command
    preview: AdjustmentPreview


class Numbers(msgspec.Struct, frozen=True):
    """What a whole file would change.

    Attributes:
        users_changed: for whom a date starts to count. unknown_users: of whom nothing is known.
        keys: granted with the portals.
        to_send, repeated: rows. without_effect: rows to send for dates that count, or stay revoked.
        rejected: rows by reason.
    """

    rows: int
    users: int
    users_changed: int
    unknown_users: int
    portals: int
    keys: int
    to_send: int
    repeated: int
    without_effect: int
    rejected: Mapping[str, int]


class RowResult(msgspec.Struct, frozen=True):
    """What became of a row.

    Attributes:
        why: it was rejected, or has no effect yet; empty otherwise.
        revision: of the user after it; None where nothing was read back.
        portals: how many it unlocked. seconds: until its effect was read back.
    """

    row: int
    user_id: str
    local_date: date
    request_id: str
    verdict: RowVerdict
    why: str
    revision: int | None = None
    portals: int = 0
    seconds: float | None = None


class Sends(Protocol):
    """What of `Corrections` is needed here."""

    pending: dict[str, Pending]

    def send(self, command: Command) -> None:
        """Hand it to the brokers."""
        ...

    def poll(self) -> list[Effect]:
        """The effects that are known by now."""
        ...

    def forget(self, one: Pending) -> None:
        """Wait no more for it."""
        ...


class Pace(msgspec.Struct, frozen=True):
    """How fast rows are sent, and how long each one's effect is waited for."""

    per_s: float
    wait_s: float


def rows_of(raw: bytes, default: date | None, origin: str) -> list[Row]:
    """Return the rows of a CSV file: `user_id[,local_date]`, with or without that heading.

    Args:
        default: the date of rows that name none.
        origin: the file, for messages.

    Raises:
        ConfigError: it is no such file; the message names the line.
    """
    try:
        text = raw.decode("utf-8-sig")
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise _bad(origin, str(error)) from error
    rows = []
    for number, cells in enumerate(lines, 1):
        if not any(cells) or (number == 1 and cells[0].strip() == _HEADING):
            continue
        rows.append(_row(number, cells, default, origin))
    if not rows:
        raise _bad(origin, "it has no rows")
    if len(rows) > ROWS_MAX:
        raise _bad(origin, f"it has {len(rows)} rows; at most {ROWS_MAX} go at once")
    return rows


def _row(number: int, cells: Sequence[str], default: date | None, origin: str) -> Row:
    where = f"line {number}"
    if len(cells) > 2:
        raise _bad(origin, f"{where} has {len(cells)} columns")
    given = cells[1].strip() if len(cells) == 2 else ""
    if not given and default is None:
        raise _bad(origin, f"{where} has no date, and there is no --date for all")
    try:
        day = date.fromisoformat(given) if given else default
    except ValueError:
        raise _bad(origin, f"{where}: {quoted(given)} is no date such as 2026-03-01") from None
    return Row(number, cells[0], day or date.min)


def _bad(origin: str, why: str) -> ConfigError:
    fix = "give a CSV file with the columns user_id and, if there is no --date, local_date"
    return ConfigError(f"{origin} is no list of users", why=why, fix=fix, path=origin)


def request_id_of(ticket: str, row: Row) -> str:
    """Return the id of a row's request: the same ticket credits a user a date once."""
    name = msgspec.json.encode((ticket, row.user_id, row.local_date))
    return f"amnesty-{sha256(name).hexdigest()[:32]}"


def plan(
    rows: Iterable[Row],
    states: Mapping[str, UserState],
    asked: Callable[[Row], tuple[Asked, str]],
    world: World,
    append_time: Instant,
) -> list[Planned]:
    """Return what each row would change, over those before it.

    Args:
        states: of every user in the rows.
        asked: what a row asks for, and who asks.
        append_time: now.
    """
    known = dict(states)
    planned = []
    for row in rows:
        what, actor = asked(row)
        command = command_of(what, actor, request_id_of(what.ticket, row))
        state, preview = previewed(known.get(row.user_id, EMPTY), command, world, append_time)
        known[row.user_id] = state
        planned.append(Planned(row, command, preview))
    return planned


def numbers_of(planned: Sequence[Planned]) -> Numbers:
    """Return the plan in numbers."""
    applied = [one for one in planned if one.preview.verdict == "applied"]
    rejected = Counter(
        one.preview.rejection.reason for one in planned if one.preview.rejection is not None
    )
    return Numbers(
        rows=len(planned),
        users=len({one.row.user_id for one in planned}),
        users_changed=len({one.row.user_id for one in applied if one.preview.dates_added}),
        unknown_users=len({one.row.user_id for one in planned if one.preview.revision == 0}),
        portals=sum(len(one.preview.portals) for one in applied),
        keys=sum(len(portal.keys) for one in applied for portal in one.preview.portals),
        to_send=len(applied),
        repeated=sum(one.preview.verdict == "repeated" for one in planned),
        without_effect=sum(not one.preview.changes_something for one in applied),
        rejected=dict(sorted(rejected.items())),
    )


class Run:
    """Sends a plan, a row after the other.

    Args:
        planned: every row. corrections: sends and reads back.

    Attributes:
        results: by request id, of the rows that are done.
    """

    def __init__(self, planned: Sequence[Planned], corrections: Sends, pace: Pace) -> None:
        self._planned = planned
        self._corrections = corrections
        self._pace = pace
        self._rows = {one.command.request_id: one for one in reversed(planned)}
        self.results: dict[str, RowResult] = {}

    def send_all(self, tell: Callable[[int, int], None]) -> bool:
        """Send what is to be sent, and wait for the effects.

        Args:
            tell: told how many rows are done, of how many.

        Returns:
            Whether every effect came; nothing more is sent after one that did not.

        Raises:
            NotSentError, UnreadableLogError: the brokers do not take a row, or refuse.
        """
        queue = [one for one in self._planned if one.preview.verdict == "applied"][::-1]
        total, began_s = len(queue), time.monotonic()
        sent = 0
        while queue or self._corrections.pending:
            due = 1 + int((time.monotonic() - began_s) * self._pace.per_s)
            while queue and sent < due and len(self._corrections.pending) < IN_FLIGHT_MAX:
                self._corrections.send(queue.pop().command)
                sent += 1
            for effect in self._corrections.poll():
                self.results[effect.request_id] = _done(self._rows[effect.request_id], effect)
            for one in self._overdue():
                queue.clear()
                self._corrections.forget(one)
                planned = self._rows[one.command.request_id]
                self.results[one.command.request_id] = _late(planned, one, self._pace.wait_s)
            tell(len(self.results), total)
        return all(one.verdict != "not_read_back" for one in self.results.values())

    def _overdue(self) -> list[Pending]:
        now_s = time.monotonic()
        return [
            one
            for one in self._corrections.pending.values()
            if one.error is not None or now_s - one.sent_s > self._pace.wait_s
        ]

    def report(self) -> list[RowResult]:
        """Every row's verdict, as far as the run came."""
        told: set[str] = set()
        rows = []
        for one in self._planned:
            request_id = one.command.request_id
            found = self.results.get(request_id) if request_id not in told else None
            told.add(request_id)
            rows.append(found or _unsent(one))
        return rows


def _result(
    one: Planned,
    verdict: RowVerdict,
    why: str = "",
    effect: Effect | None = None,
) -> RowResult:
    row, request_id = one.row, one.command.request_id
    if effect is None:
        return RowResult(row.number, row.user_id, row.local_date, request_id, verdict, why)
    return RowResult(
        row.number,
        row.user_id,
        row.local_date,
        request_id,
        verdict,
        why,
        effect.revision,
        len(effect.unlock_ids),
        effect.seconds,
    )


def _done(one: Planned, effect: Effect) -> RowResult:
    verdict: RowVerdict = "rejected"
    if effect.verdict == "applied":
        verdict = "applied"
    elif effect.verdict == "repeated":
        verdict = "repeated"
    return _result(one, verdict, effect.rejection or "", effect)


def _late(one: Planned, pending: Pending, wait_s: float) -> RowResult:
    where = pending.error or (
        f"in the log at {pending.place}" if pending.place else "not acknowledged"
    )
    return _result(one, "not_read_back", f"no effect within {wait_s:g} s: {where}")


def _unsent(one: Planned) -> RowResult:
    rejection = one.preview.rejection
    if rejection is not None:
        return _result(one, "rejected", f"{rejection.reason}: {rejection.detail}")
    if one.preview.verdict == "repeated":
        return _result(one, "repeated")
    return _result(one, "not_sent", "the run ended before")


def as_csv(rows: Iterable[RowResult]) -> str:
    """The report as a CSV file."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(RowResult.__struct_fields__)
    writer.writerows(msgspec.structs.astuple(row) for row in rows)
    return text.getvalue()
