"""What a rebuild's folder says of it, as values.

Owns: the form of its files.
Does not own: when they are written (job.py), how they are shown (cli/rebuild.py).
"""

import msgspec

from pipeline.core.calendar import day_of
from pipeline.core.runs import Runs
from pipeline.rebuild.compare import Figures, UserDifference
from pipeline.rebuild.replay import Parting


class Step(msgspec.Struct, frozen=True):
    """What somebody did with a rebuild, and when (ms since the epoch)."""

    at: int
    actor: str
    what: str
    reason: str = ""
    ticket: str = ""


class Rebuild(msgspec.Struct):
    """What `rebuild.json` says.

    Attributes:
        state: replaying, compared, repairing, approved, rolled_back or aborted.
        partitions: those that are rebuilt. user_id: the only user, if there is one.
        tries_policy: it tries another policy, and will never be approved.
        processes: that shared the partitions. seconds, inputs: of the replays so far.
    """

    id: str
    group: str
    state: str
    partitions: list[int]
    user_id: str | None
    tries_policy: bool
    steps: list[Step]
    seconds: float = 0.0
    inputs: int = 0


class Progress(msgspec.Struct):
    """How far one partition is: inputs done, of how many, since when (ms since the epoch)."""

    partition: int
    done: int
    total: int
    began: int
    at: int
    first: int = 0


class ShownDifference(msgspec.Struct, frozen=True):
    """A user who would change, as the diff shows it; see `UserDifference`."""

    user_id: str
    partition: int
    why: str
    before: Figures
    after: Figures
    dates_added: Runs
    dates_removed: Runs
    portals_missed: tuple[str, ...]
    window_records: int
    parting: Parting | None
    summary: str


class Diff(msgspec.Struct, frozen=True):
    """The difference between the log and what is live.

    Attributes:
        digest: of the whole diff; to be named when it is approved.
    """

    rebuild_id: str
    digest: str
    users: list[ShownDifference]


def why(difference: UserDifference) -> str:
    """Why a user differs, in a word: state, policy, decided, unreadable, stored or published."""
    if difference.unreadable is not None:
        return "unreadable"
    if difference.is_unpublished:
        return "published"
    return "stored" if difference.cause is None else difference.cause.kind


def shown(one: UserDifference) -> ShownDifference:
    return ShownDifference(
        one.user_id,
        one.partition,
        why(one),
        one.before,
        one.after,
        one.dates_added,
        one.dates_removed,
        one.portals_missed,
        one.window_records,
        one.cause,
        one.summary,
    )


def spelled(runs: Runs) -> str:
    """Return runs of dates as a person reads them."""
    return ", ".join(
        str(day_of(start)) if length == 1 else f"{day_of(start)} to {day_of(start + length - 1)}"
        for start, length in runs
    )
