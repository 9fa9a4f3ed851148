"""What inputs left behind, for judging more of them.

Owns: users' states and the window in memory, their form in a file, states made from what was
published.
Does not own: judging (verdicts.py), what a state is (core/state.py).
Invariant: what was saved and loaded again judges further inputs as if nothing had come between.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from pipeline.codec.errors import readable
from pipeline.core.dedupe import Cover, SeenCompletion, SeenUpdate
from pipeline.core.records import Instant, LocalDate, ProgressUpdated, Run
from pipeline.core.runs import Runs, from_numbers
from pipeline.core.sets import Sets, digest_of
from pipeline.core.state import NEVER, Unlocked, UserState
from pipeline.core.zones import zone_of
from pipeline.errors import ConfigError

FORMAT: Final = "awaway-state-1"
PUBLISHED: Final = "published/"
"""With this the ids of requests begin that a published progress shows the effect of, but not."""

DATE_MAX: Final = 700_000
"""Days before or after 1970 up to which dates are written with four digits, and a margin."""

Revocations = Mapping[LocalDate, Sequence[str]]
"""Ids of the requests that may revoke a date."""

UNKNOWN: Final[Revocations] = {}


class Remembered:
    """The window of one log. A `SeenView` of `now`, ms.

    Attributes:
        ids: accepted completions by user and id, in the order in which they were accepted.
    """

    def __init__(self, window_ms: int) -> None:
        self.now = 0
        self.window_ms = window_ms
        self.ids: dict[tuple[str, str], SeenCompletion] = {}
        self._sessions: dict[tuple[str, str], SeenCompletion] = {}
        self.covers: dict[tuple[str, int], tuple[Instant, Cover]] = {}

    def by_id(self, user_id: str, completion_id: str) -> SeenCompletion | None:
        """As SeenView."""
        return self._live(self.ids.get((user_id, completion_id)))

    def by_session(self, user_id: str, session_id: str) -> SeenCompletion | None:
        """As SeenView."""
        return self._live(self._sessions.get((user_id, session_id)))

    def cover(self, user_id: str, cell: int) -> Cover:
        """As SeenView."""
        changed_at, cover = self.covers.get((user_id, cell), (0, ()))
        return cover if changed_at + self.window_ms >= self.now else ()

    def _live(self, entry: SeenCompletion | None) -> SeenCompletion | None:
        if entry is None or entry.append_time + self.window_ms < self.now:
            return None
        return entry

    def remember(self, user_id: str, update: SeenUpdate) -> None:
        """Take in an accepted completion."""
        entry = update.entry
        self.ids.pop((user_id, entry.completion_id), None)  # so that it comes last, as it does here
        self.ids[user_id, entry.completion_id] = entry
        self._sessions[user_id, entry.session_id] = entry
        for cell, cover in update.covers:
            self.covers[user_id, cell] = (entry.append_time, cover)


class _Saved(msgspec.Struct):
    """The form in a file.

    Attributes:
        covers: (user, cell, append time of its last change, its sessions).
    """

    format: str
    users: dict[str, UserState]
    seen: list[tuple[str, SeenCompletion]]
    covers: list[tuple[str, int, Instant, Cover]]


class LeftBehind:
    """Users' states, and what the window holds.

    Args:
        window_ms: how long accepted completions are remembered, by append time.

    Attributes:
        users: states by user id.
        seen: the window.
    """

    def __init__(self, window_ms: int) -> None:
        self.users: dict[str, UserState] = {}
        self.seen = Remembered(window_ms)

    def encode(self) -> bytes:
        """The bytes of a file that `decode` takes."""
        seen = self.seen
        ids = [(user_id, entry) for (user_id, _), entry in seen.ids.items()]
        covers = [(user_id, cell, *cover) for (user_id, cell), cover in seen.covers.items()]
        return msgspec.json.encode(_Saved(FORMAT, self.users, ids, covers))


def decode(raw: bytes, window_ms: int, origin: str) -> LeftBehind:
    """What a file says was left behind.

    Args:
        raw: what `encode` made; or progress as it is published, one JSON object or an array of
            them.
        origin: where it is from, for the message.

    Raises:
        ConfigError: it is neither.
    """
    left = LeftBehind(window_ms)
    try:
        if isinstance(found := msgspec.json.decode(raw), dict) and "format" in found:
            saved = msgspec.json.decode(raw, type=_Saved)
            if saved.format != FORMAT:
                raise ValueError(f"its format is {saved.format!r}, not {FORMAT!r}")
            left.users = saved.users
            for user_id, state in saved.users.items():
                _check_state(user_id, state)
            for user_id, entry in saved.seen:
                _check_date(entry.local_date)
                left.seen.remember(user_id, SeenUpdate(entry, ()))
            left.seen.covers = {
                (user_id, cell): (changed_at, cover)
                for user_id, cell, changed_at, cover in saved.covers
            }
        else:
            published = found if isinstance(found, list) else [found]
            for one in msgspec.convert(published, list[ProgressUpdated]):
                for run in (run for runs in msgspec.structs.astuple(one.dates) for run in runs):
                    _check_run(run.start, run.length)
                left.users[one.user_id] = state = state_of(one)
                _check_state(one.user_id, state)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"{origin} holds no state",
            why=readable(str(error)),
            fix="give a file that --save wrote, or progress as it is published, as JSON",
            path=origin,
        ) from error
    return left


def _check_state(user_id: str, state: UserState) -> None:
    """Raise ValueError for what no worker would have left behind."""
    if state.digest != digest_of(state.sets):
        raise ValueError(
            f"the digest of {user_id!r} is not that of their dates: the file was edited"
        )
    for runs in (state.sets.practised, state.sets.bridged):
        for start, length in runs:
            _check_run(start, length)
    for _, dated in (*state.sets.credits, *state.sets.revocations):
        _check_date(dated)
    if state.tz and zone_of(state.tz) is None:
        raise ValueError(f"nobody knows the zone {state.tz!r} of {user_id!r}")


def _check_run(start: LocalDate, length: int) -> None:
    if length < 1:
        raise ValueError(f"a run of {length} days is none")
    _check_date(start)
    _check_date(start + length - 1)


def _check_date(number: LocalDate) -> None:
    if not -DATE_MAX <= number <= DATE_MAX:
        raise ValueError(f"there is no date {number} days from 1970-01-01")


def state_of(progress: ProgressUpdated, revocations: Revocations = UNKNOWN) -> UserState:
    """The state that a published progress stands for.

    Args:
        progress: of one user.
        revocations: where the requests behind its revoked dates are known, their ids.

    What a progress does not say is as if it had never been: the window, requests that were
    withdrawn, who asked for what, and the first and last completion of recent dates. So repeats of
    earlier completions count once more, and no bridge reaches back.
    """
    dates = progress.dates
    laps: dict[str, list[int]] = {}
    for portal in progress.portals:
        laps.setdefault(portal.slug, []).append(portal.lap)
    sets = Sets(
        _runs(dates.practised),
        _runs(dates.bridged),
        _requests("credit", dates.credited, UNKNOWN),
        _requests("revoke", dates.revoked, revocations),
        (),
        tuple([(f"{PUBLISHED}claim/{key}", key) for key in progress.keys.claimed]),
        tuple(sorted((slug, from_numbers(found)) for slug, found in laps.items())),
    )
    return UserState(
        progress.revision,
        digest_of(sets),
        sets,
        tuple([Unlocked(*msgspec.structs.astuple(portal)) for portal in progress.portals]),
        progress.keys.granted,
        progress.tz if progress.tz_known else "",
        progress.updated_at if dates.practised else NEVER,
        "",
        frame_published=progress.frame,
    )


def _runs(runs: tuple[Run, ...]) -> Runs:
    return tuple([(run.start, run.length) for run in runs])


def _requests(kind: str, runs: tuple[Run, ...], known: Revocations) -> tuple[tuple[str, int], ...]:
    dates = [date for run in runs for date in range(run.start, run.start + run.length)]
    found = [
        (request, date)
        for date in dates
        for request in known.get(date) or (f"{PUBLISHED}{kind}/{date}",)
    ]
    return tuple(sorted(found))
