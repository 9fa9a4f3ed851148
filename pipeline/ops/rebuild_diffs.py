"""The diff of a rebuild, as its file has it.

Owns: the form of `diff.jsonl`, reading it whole or page by page, what it says in words.
Does not own: how differences are found (rebuild/compare.py), when the file is written
(rebuild/job.py), how it is shown (cli/rebuild.py, api/console/rebuilds.py).
Invariant: the file is the digest, then a `ShownDifference` a line, in the order of the users' ids;
so a page of a large diff costs a page.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from pipeline.core.calendar import day_of
from pipeline.core.runs import Runs
from pipeline.ops.rebuilds import unreadable

WHY: Final = {
    "state": "the state changed between two inputs: an entry found other sets than were left",
    "stored": "the stored state is not what the last entry left",
    "unreadable": "the stored state cannot be decoded",
    "published": "the state is right; the progress that was published last is not",
    "policy": "another version of the policy was in force",
    "decided": "an input was decided otherwise: by another release, or over a damaged state",
}
"""What each cause of a difference means."""


class Figures(msgspec.Struct, frozen=True):
    """Where a user stands."""

    revision: int
    streak_days: int
    longest_days: int
    lifetime_days: int
    portals: int
    keys: int
    frame: int


class Parting(msgspec.Struct, frozen=True, array_like=True):
    """Where the log of one user first differs from the replay.

    Attributes:
        kind: `state`: the entry found other sets than the entry before had left; `policy`: another
            version of the policy was in force; `decided`: the verdict or the date is another.
        sequence, topic, offset: of the entry and its input.
        recorded, derived: what the entry says, and what the replay says.
    """

    kind: str
    sequence: int
    topic: str
    offset: int
    recorded: str
    derived: str


class ShownDifference(msgspec.Struct, frozen=True):
    """A user who would change, as the diff shows it; see `rebuild/compare.py`."""

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


def diff_lines(diff: Diff) -> bytes:
    """A diff as its file has it."""
    return msgspec.json.Encoder().encode_lines([diff.digest, *diff.users])


def diff_in(folder: Path) -> Diff | None:
    """The diff of the last comparison; None before the first.

    Raises:
        UnreadableRebuildError: it is not what this release writes.
    """
    page = diff_page(folder)
    return None if page is None else Diff(folder.name, page.digest, page.users)


class DiffPage(msgspec.Struct, frozen=True):
    """A part of a diff.

    Attributes:
        next_at: where the next page begins; 0 on the last.
    """

    digest: str
    users: list[ShownDifference]
    next_at: int


class Named(msgspec.Struct, frozen=True):
    """A user of a diff, and why they are in it."""

    user_id: str
    why: str


def diff_page(
    folder: Path,
    at: int = 0,
    limit: int = sys.maxsize,
    wanted: Callable[[Named], bool] = lambda _: True,
) -> DiffPage | None:
    """A part of the diff of the last comparison; None before the first.

    Args:
        at: `next_at` of the page before, of the same digest; what cannot be one is the beginning.
        limit: users at most.
        wanted: only these; the others are passed over.

    Raises:
        UnreadableRebuildError: it is not what this release writes.
    """
    path = folder / "diff.jsonl"
    users: list[ShownDifference] = []
    try:
        with path.open("rb") as file:
            digest = msgspec.json.decode(file.readline(), type=str)
            start = file.tell()
            file.seek(max(start, at) - 1)
            if file.read(1) != b"\n":
                file.seek(start)
            while line := file.readline():
                if not wanted(msgspec.json.decode(line, type=Named)):
                    continue
                if len(users) == limit:
                    return DiffPage(digest, users, file.tell() - len(line))
                users.append(msgspec.json.decode(line, type=ShownDifference))
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error
    return DiffPage(digest, users, 0)


def spelled(runs: Runs) -> str:
    """Return runs of dates as a person reads them."""
    return ", ".join(
        str(day_of(start)) if length == 1 else f"{day_of(start)} to {day_of(start + length - 1)}"
        for start, length in runs
    )
