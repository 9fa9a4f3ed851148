"""What the folder of a rebuild says, for everybody who reads it.

Owns: the form of its files but the diff, reading them, what to do next.
Does not own: the diff (rebuild_diffs.py), when files are written (rebuild/job.py), how they are
shown (cli/rebuild.py, api/console/rebuilds.py).
Invariant: each file is whole or not there, so anybody may read at any time: another process, or
another machine that has a copy of the folder.

Layout of `<data_dir>/rebuilds/<group>/<id>/`: `rebuild.json` (`Rebuild`), `progress-<partition>`
(`Progress`), `diff.jsonl` (rebuild_diffs.py); the rest is for the rebuild alone (rebuild/job.py).
"""

import re
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from pipeline.core.rejection import quoted
from pipeline.errors import AwawayError, UsageError
from pipeline.settings.worker import Settings

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_DIGEST_UNSEEN: Final = "DIGEST"

Form = TypeVar("Form")


class UnreadableRebuildError(AwawayError):
    """A file of a rebuild is not what this release writes.

    **Operator action**: was it copied whole? Another release may have written it: begin a new
    rebuild, and delete this folder when nobody has to roll it back.
    """


class Step(msgspec.Struct):
    """What somebody asked of a rebuild, and what came of it.

    Attributes:
        at: when it was asked first, ms since the epoch.
        what: start, approve, rollback or abort.
        about: what exactly, as the audit has it.
        places: where it lies for the audit, by partition: offsets in the topic `commands`.
        ended: when it was done, ms since the epoch; 0 while it is not. outcome: in words.
    """

    at: int
    actor: str
    what: str
    reason: str
    ticket: str
    about: str
    places: dict[int, int] = {}
    ended: int = 0
    outcome: str = ""

    def is_cut_short(self, asked: "Step") -> bool:
        """Whether it did not end, and the same is asked now, by the same person."""
        mine = (self.actor, self.what, self.reason, self.ticket, self.about)
        theirs = (asked.actor, asked.what, asked.reason, asked.ticket, asked.about)
        return not self.ended and mine == theirs


class Rebuild(msgspec.Struct):
    """What `rebuild.json` says.

    Attributes:
        state: replaying, compared, repairing, approved, rolled_back or aborted.
        partitions: those that are rebuilt. user_id: the only user, if there is one.
        tries_policy: it tries another policy, and will never be approved.
        began: ms since the epoch.
        seconds, inputs: of the replays so far.
        digest, differing: of the last diff: its digest, and how many users differ by why.
    """

    id: str
    group: str
    state: str
    partitions: list[int]
    user_id: str | None
    tries_policy: bool
    began: int
    steps: list[Step] = []
    seconds: float = 0.0
    inputs: int = 0
    digest: str = ""
    differing: dict[str, int] = {}

    @property
    def scope(self) -> str:
        """What it is about, for people."""
        if self.user_id is not None:
            return f"user {self.user_id}"
        first, last = self.partitions[0], self.partitions[-1]
        if first == last:
            return f"partition {first}"
        if len(self.partitions) == last - first + 1:
            return f"partitions {first} to {last}"
        return f"{len(self.partitions)} partitions between {first} and {last}"


class Progress(msgspec.Struct):
    """How far one partition is: inputs done, of how many, since when (ms since the epoch)."""

    partition: int
    done: int
    total: int
    began: int
    at: int
    first: int = 0

    @property
    def rate(self) -> float:
        """Inputs a second."""
        return max(0, self.done - self.first) / max(1, self.at - self.began) * 1000

    @property
    def left_s(self) -> float:
        """Seconds that are left at that rate; 0 where nothing is known."""
        return (self.total - self.done) / self.rate if self.rate else 0.0


def folder_of(settings: Settings, rebuild_id: str) -> Path:
    """The folder of a rebuild, which may not be there.

    Raises:
        UsageError: the id cannot be one.
    """
    if not _ID.fullmatch(rebuild_id):
        raise UsageError(
            f"{quoted(rebuild_id)} is no id of a rebuild",
            fix="`awaway rebuild list` shows them",
        )
    return root_of(settings) / rebuild_id


def root_of(settings: Settings) -> Path:
    """The folder of the rebuilds of one topic prefix and generation."""
    return settings.data_dir / "rebuilds" / settings.group_id


def all_of(settings: Settings) -> tuple[list[Rebuild], list[str]]:
    """The rebuilds of a data folder, the newest first, and why others cannot be read."""
    found: list[Rebuild] = []
    complaints: list[str] = []
    for path in sorted(root_of(settings).glob("*/rebuild.json")):
        try:
            found.append(rebuild_in(path.parent))
        except UnreadableRebuildError as error:
            complaints.append(str(error))
    return sorted(found, key=lambda one: one.began, reverse=True), complaints


def rebuild_in(folder: Path) -> Rebuild:
    """What the rebuild of a folder is now.

    Raises:
        UsageError: there is none.
        UnreadableRebuildError: it is not what this release writes.
    """
    try:
        return _decoded(folder / "rebuild.json", Rebuild)
    except FileNotFoundError:
        raise UsageError(
            f"there is no rebuild {folder.name} here",
            fix="`awaway rebuild list` shows those of this data folder and generation",
        ) from None


def progress_in(folder: Path) -> list[Progress]:
    """How far each partition is that has begun.

    Raises:
        UnreadableRebuildError: it is not what this release writes.
    """
    found = [_decoded(path, Progress) for path in folder.glob("progress-*")]
    return sorted(found, key=lambda one: one.partition)


def _decoded(path: Path, form: type[Form]) -> Form:
    try:
        return msgspec.json.decode(path.read_bytes(), type=form)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> UnreadableRebuildError:
    """Say that a file cannot be read."""
    return UnreadableRebuildError(
        f"{path} cannot be read",
        why=str(error),
        fix="was it copied whole? If another release wrote it, begin a new rebuild",
    )


def next_step(rebuild: Rebuild, *, is_seen: bool = False) -> str:
    """What to do next with a rebuild.

    Args:
        is_seen: the diff is shown beside it, so its digest may be named.
    """
    name = rebuild.id
    digest = rebuild.digest if is_seen else _DIGEST_UNSEEN
    back = f"awaway rebuild rollback {name} --reason WHY --ticket TICKET"
    if rebuild.state == "replaying":
        return f"go on: awaway rebuild start --id {name}"
    if rebuild.state == "compared":
        if rebuild.tries_policy or not rebuild.differing:
            return f"nothing to approve; awaway rebuild abort {name} frees the disk"
        return f"put them right: {approval(rebuild, digest)}"
    if rebuild.state == "repairing":
        return f"go on with the same `approve`, or take it back: {back}"
    if rebuild.state == "approved":
        return f"take it back, if it must be: {back}"
    return "nothing is left to do"


def approval(rebuild: Rebuild, digest: str) -> str:
    """The command line that approves a diff."""
    return f"awaway rebuild approve {rebuild.id} --digest {digest} --reason WHY --ticket TICKET"
