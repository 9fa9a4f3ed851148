"""People: users whose state is the product's, among users who are mere counts (agent.py).

Owns: what the inputs of people are, what follows from each, how a state is damaged; the rules and
the calendar that they live by.
Does not own: which inputs come when (operating.py), how it all has to end (truth.py).
Invariant: deterministic, whatever tables it works on: a worker's, a replay's or the oracle's.

Real, that is the product's own code: the folds of completions, adjustments and repairs, the state
and its bytes, the dedupe window and its records, a repair's content and bytes. A model: what is
around them, as inputs and audit entries are not encoded as the product's are; there is no progress
topic, the audit entry says the revision. A second of a run is six hours of people.
"""

from functools import cache
from typing import Any, Final, Protocol, cast

import msgspec
from msgspec.structs import replace

from pipeline.codec.repairs import decode_repair
from pipeline.codec.state import decode_seen, decode_state, encode_state
from pipeline.core import fold
from pipeline.core.calendar import DAY_MS
from pipeline.core.dedupe import CELL_MS
from pipeline.core.geometry.catalogue import GoldenCatalogue
from pipeline.core.outcome import Outcome, World
from pipeline.core.policy import load_policy
from pipeline.core.records import AuditEntry, Cause, Command, PortalUnlocked, PracticeCompleted
from pipeline.core.runs import Runs, difference, union
from pipeline.core.sets import digest_of
from pipeline.core.state import EMPTY, UserState
from pipeline.engine.batch import TableView
from pipeline.engine.ports import Message
from pipeline.worker.window import Window, is_record

PERSON: Final = b"person-"
COMPLETION: Final = b"c"
COMMAND: Final = b"k"
DAMAGE: Final = b"d"
"""First byte of a person's input; what follows is the record, or the damage's name and, after a
slash, the id of the completion that is forgotten."""

SPEED: Final = 21_600
START_MS: Final = 1_767_225_600_000
"""People's time when a run starts, and their milliseconds to one of the run's."""

DAMAGES: Final = (b"dates lost", b"dates invented", b"digest forgotten", b"window lost")
RULES: Final = """\
cycle_days: 108
earliest_date: 2025-01-01
window_days: 2
versions:
  - version: "1"
    effective_from: 1970-01-01T00:00:00Z
    day_start: "03:00"
    late_days: 1
    skew_tolerance_s: 0
    clock_ahead_s_max: 0
    future_skew_s: 0
    session_s_min: 60
    session_s_max: 43200
    portals:
"""
PORTAL_DAYS: Final = (1, 2, 3, 4, 5, 7, 9, 11, 13, 21, 30, 40)

_json: Final = msgspec.json.Encoder().encode
_entry: Final = msgspec.json.Decoder(AuditEntry).decode
_portal: Final = msgspec.json.Decoder(PortalUnlocked).decode
_completion: Final = msgspec.msgpack.Decoder(PracticeCompleted).decode
_command: Final = msgspec.msgpack.Decoder(Command).decode
encode: Final = msgspec.msgpack.Encoder().encode


@cache
def world() -> World:
    """The rules, and the drawings."""
    portals = [
        f"      - {{day: {day}, slug: portal-{day}, title: Portal {day}, figure: bindu, keys: 1}}\n"
        for day in PORTAL_DAYS
    ]
    return World(load_policy(RULES + "".join(portals)), GoldenCatalogue())


def peoples_time(run_ms: int) -> int:
    """The instant at a time of the run, both in milliseconds."""
    return START_MS + run_ms * SPEED


def is_person(key: bytes) -> bool:
    """Whether a key is a person's."""
    return key.startswith(PERSON)


class Table(Protocol):
    """What people need of a table; `TableView` is one."""

    def get(self, key: bytes) -> bytes | None: ...
    def put(self, key: bytes, value: bytes | None) -> None: ...


class Folds(Protocol):
    """The folds of a worker, or of a replay: `pipeline.rebuild.replay.Folds` are some."""

    def completion(
        self, state: UserState, seen: Any, event: Any, cause: Cause, at: int, world: World
    ) -> Outcome: ...
    def command(
        self, state: UserState, event: Command, cause: Cause, at: int, world: World
    ) -> Outcome: ...
    def repair(self, state: UserState, event: Command, *given: Any) -> Outcome: ...


class LiveFolds:
    """A worker's folds."""

    completion = staticmethod(fold.fold_completion)
    command = staticmethod(fold.fold_command)
    repair = staticmethod(fold.fold_repair)


def command_in(value: bytes) -> Command | None:
    """The command that an input is; None for another."""
    return _command(value[1:]) if value.startswith(COMMAND) else None


LIVE: Final[Folds] = LiveFolds()


def take(users: Table, seen: Table, record: Message, folds: Folds = LIVE) -> Outcome | None:
    """Fold one input of a person, and write what follows.

    Args:
        folds: a worker's; with others there was never a faulty release.

    Returns:
        None where it is no record: a damage.
    """
    key, value = record.key() or b"", record.value() or b""
    if value.startswith(DAMAGE):
        if folds is LIVE:
            _damage(value[1:], key, users, seen)
        return None
    at, its = peoples_time(record.timestamp()[1]), world()
    window = Window(cast(TableView, seen), its.policies.window_ms)
    window.now = at
    raw = users.get(key)
    state = EMPTY if raw is None else decode_state(raw)
    where = str(record.topic()), int(record.partition() or 0), int(record.offset() or 0)
    command = command_in(value)
    if command is None:
        event = _completion(value[1:])
        cause = Cause(*where, event.completion_id)
        outcome = folds.completion(state, window, event, cause, at, its)
    elif command.kind == "repair":
        repair = decode_repair(command.payload, command.user_id)
        if repair is not None and not all(is_record(*one) for one in repair.window):
            repair = None
        cause = Cause(*where, command.request_id)
        outcome = folds.repair(state, command, repair, cause, at, its)
    else:
        cause = Cause(*where, command.request_id)
        outcome = folds.command(state, command, cause, at, its)
    if outcome.seen is not None:
        window.remember(key.decode(), outcome.seen)
    for name, content in outcome.window:
        window.repair(name, content)
    if outcome.state is not None:
        users.put(key, encode_state(outcome.state))
    return outcome


def audit_entry(record: Message, number: int, outcome: Outcome | None) -> bytes:
    """The audit entry of a person's input: first what every input's has, then the product's.

    Args:
        number: of inputs so far, with this one.
    """
    topic, offset = str(record.topic()), int(record.offset() or 0)
    cause = Cause(topic, int(record.partition() or 0), offset)
    got = outcome or Outcome("unknown", "unknown", verdict="dead_letter")
    entry = AuditEntry(
        "",
        "blue",
        cause.partition,
        number - 1,
        got.user_id,
        got.action,
        got.actor,
        got.reason,
        got.ticket,
        got.verdict,
        got.local_date,
        tuple([one.unlock_id for one in got.unlocks]),
        got.digest_before,
        got.digest_after,
        got.revision,
        got.policy_version,
        "",
        peoples_time(record.timestamp()[1]),
        cause,
        None if got.rejection is None else got.rejection.reason,
        got.tz,
        got.tz_assumed,
        got.revoked_by,
        got.operation,
        got.subject,
        b"",
        b"",
    )
    start = f"{topic}|{offset}|{got.verdict}|{got.revision}|{number}|"
    return start.encode() + _json(entry)


def entry_in(value: bytes) -> AuditEntry:
    """The product's audit entry of a person's input."""
    return _entry(value.split(b"|", 5)[5])


def unlocked_by(outcome: Outcome | None) -> list[bytes]:
    """The portals that an input unlocked, as they are published."""
    return [] if outcome is None else [_json(one) for one in outcome.unlocks]


def portal_in(value: bytes) -> PortalUnlocked:
    """A portal that was published."""
    return _portal(value)


# --- damage ---------------------------------------------------------------------------------------


def with_dates(state: UserState, practised: Runs, *, is_digest_kept: bool = False) -> UserState:
    """A state with other dates."""
    sets = replace(state.sets, practised=practised)
    digest = state.digest if is_digest_kept else digest_of(sets)
    return replace(state, sets=sets, digest=digest)


def damaged(state: UserState, how: bytes) -> UserState:
    """What a faulty release makes of a state, which keeps its revision and its portals."""
    practised = state.sets.practised
    if how == b"dates invented":
        first = practised[0][0] if practised else START_MS // DAY_MS - 1
        return with_dates(state, union(practised, ((first - 6, 7),)))
    last = practised[-1:]
    return with_dates(state, difference(practised, last), is_digest_kept=how == b"digest forgotten")


def _damage(what: bytes, key: bytes, users: Table, seen: Table) -> None:
    """Do what a faulty release would: write a wrong state, or forget a completion."""
    how, _, completion_id = what.partition(b"/")
    raw = users.get(key)
    if how != b"window lost":
        if raw is not None:
            users.put(key, encode_state(damaged(decode_state(raw), how)))
        return
    name = b"i" + key + b"\0" + completion_id
    stored = seen.get(name)
    if stored is None:
        return
    session = decode_seen(stored[8:])
    seen.put(name, None)
    # The record that is gone was that of the covers, too, which this release does not forget.
    for cell in range(session.started_at // CELL_MS, (session.completed_at - 1) // CELL_MS + 1):
        name = b"o" + key + b"\0" + cell.to_bytes(8, "big", signed=True)
        cover = seen.get(name)
        if cover is not None:
            seen.put(name, cover)
