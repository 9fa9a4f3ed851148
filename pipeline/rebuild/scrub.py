"""Scrubbing: whether users' state and progress are what the log says, without keeping anything.

Owns: which users are looked at, what is said of each who differs, the metrics of a run.
Does not own: the comparisons (compare.py, published.py), putting right (repairs.py).
Invariants: nothing is written to Kafka, and nothing stays on the disk but the metrics. A difference
counts when it is found twice, with everything read on in between, as traffic goes on meanwhile.

What a worker has on its own disk is not looked at, nor the store of an API process: each compares
its own in the background (worker/scrubbing.py, api/reads/store_scrub.py).
"""

import shlex
import tempfile
from collections.abc import Callable
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec.structs import asdict

from pipeline.observability.scrub_metrics import (
    LAST_RUN,
    USERS_CHECKED,
    USERS_DIFFERING,
    textfile,
)
from pipeline.ops.rebuild_diffs import spelled
from pipeline.ops.rebuilds import root_of
from pipeline.rebuild.compare import UserDifference
from pipeline.rebuild.partition import PartitionRebuild
from pipeline.rebuild.published import Deviation, Published, Wrong
from pipeline.rebuild.record import why
from pipeline.rebuild.replay import Wanted
from pipeline.rebuild.setup import Setup
from pipeline.whole_file import write_whole

Say = Callable[[int, int, int], None]
"""Is told of a partition how many of its inputs are done, and how many there are by now."""

_SPAN: Final = 1 << 64


class Finding(msgspec.Struct, frozen=True):
    """One user of whom something is not what the log says.

    Attributes:
        what: `state`, the live state in the changelogs; or, of a state that is right, `progress`,
            what was published last.
        why: of a state, as a rebuild's diff has it; of progress `published`.
        deviations: in what it differs.
        fix: the command with which to go on.
    """

    user_id: str
    partition: int
    what: Literal["state", "progress"]
    why: str
    deviations: tuple[Deviation, ...]
    fix: str


class Scrubbed(msgspec.Struct):
    """What was found, of a partition or of all.

    Attributes:
        findings: one a user.
        unsettled: users who changed too often to tell about their progress.
    """

    users_checked: int = 0
    unsettled: int = 0
    findings: list[Finding] = msgspec.field(default_factory=list)

    def add(self, other: "Scrubbed") -> None:
        """Add what was found elsewhere."""
        self.users_checked += other.users_checked
        self.unsettled += other.unsettled
        self.findings += other.findings


class Choice(msgspec.Struct, frozen=True):
    """Whom to look at.

    Attributes:
        user_id: this user alone.
        sample: about so many users of each partition; all without it.
        salt: of the sample: another one takes other users. At most 64 bytes.
    """

    user_id: str | None = None
    sample: int | None = None
    salt: bytes = b""


class Sampled:
    """A sample of users, the same for whoever has the same salt.

    Args:
        share: of all users, 0.0 to 1.0.
    """

    def __init__(self, share: float, salt: bytes) -> None:
        self._below = int(share * _SPAN)
        self._salt = salt

    def __call__(self, user_key: bytes) -> bool:
        """Whether a user is in it."""
        digest = blake2b(user_key, digest_size=8, key=self._salt).digest()
        return int.from_bytes(digest, "big") < self._below


def scrub(setup: Setup, partitions: list[int], choice: Choice, say: Say) -> Scrubbed:
    """Compare live state and published progress with the log, one partition after the other.

    Args:
        choice: with a sample of all these partitions together.

    Raises:
        ReplayError, OffsetGoneError, UnreadableLogError, StoreFormatError: see there.
    """
    if choice.sample is not None:
        each = -(-choice.sample // len(partitions))
        choice = msgspec.structs.replace(choice, sample=each)
    found = Scrubbed()
    root = root_of(setup.settings)
    root.mkdir(parents=True, exist_ok=True)
    for partition in partitions:
        with tempfile.TemporaryDirectory(prefix="scrub-", dir=root) as folder:
            found.add(_scrub_partition(setup, partition, Path(folder), choice, say))
    return found


def _scrub_partition(
    setup: Setup, partition: int, folder: Path, choice: Choice, say: Say
) -> Scrubbed:
    wanted: Wanted | None = None
    user_key = None if choice.user_id is None else choice.user_id.encode()
    if user_key is not None:
        wanted = user_key.__eq__
    # 1. Read who has progress, which tells how large a sample's share is.
    with closing(Published(setup, partition, folder / "scrub", user_key)) as published:
        published.read()
        known = set(published.users())
        if choice.sample is not None:
            wanted = Sampled(min(1.0, choice.sample / max(1, len(known))), choice.salt)
            known = set(filter(wanted, known))
        with PartitionRebuild(setup, partition, folder, wanted=wanted) as rebuild:
            # 2. Compare the state with the log; whoever differs has to differ once more.
            rebuild.catch_up(lambda done, total: say(partition, done, total))
            differing = rebuild.state_differences()
            if differing:
                rebuild.catch_up()
                again = {one.user_id for one in rebuild.state_differences()}
                differing = [one for one in differing if one.user_id in again]
            # 3. Compare progress with the state of the others: a repair publishes it anew.
            keys = known | rebuild.users()
            others = keys - {one.user_id.encode() for one in differing}
            wrong, unsettled = rebuild.wrongly_published(published, others)
    findings = [_of_state(one) for one in differing]
    findings += [_of_progress(partition, key, one) for key, one in sorted(wrong.items())]
    return Scrubbed(len(keys), unsettled, findings)


def _of_state(one: UserDifference) -> Finding:
    before, after = asdict(one.before), asdict(one.after)
    # The revision counts changes: a repair is one more.
    deviations = [
        Deviation(name, str(before[name]), str(after[name]))
        for name in before
        if name != "revision" and before[name] != after[name]
    ]
    if one.unreadable is not None:
        deviations.insert(0, Deviation("state", one.unreadable, "a state that can be decoded"))
    if one.dates_added:
        deviations.append(Deviation("dates", "missing", spelled(one.dates_added)))
    if one.dates_removed:
        deviations.append(Deviation("dates", spelled(one.dates_removed), "not there"))
    if one.portals_missed:
        deviations.append(Deviation("portals", "missing", ", ".join(one.portals_missed)))
    if one.window_records:
        records = f"{one.window_records} records"
        deviations.append(Deviation("dedupe window", records, "as the log says"))
    if not deviations:
        deviations.append(Deviation("state", "parts that show in no figure", "as the log says"))
    fix = _fix(one.user_id)
    return Finding(one.user_id, one.partition, "state", why(one), tuple(deviations), fix)


def _of_progress(partition: int, key: bytes, wrong: Wrong) -> Finding:
    user_id = key.decode()
    fix = _fix(user_id)
    return Finding(user_id, partition, "progress", "published", wrong.deviations, fix)


def _fix(user_id: str) -> str:
    return f"awaway rebuild start {shlex.quote(f'--user={user_id}')}"


def write_metrics(path: Path, found: Scrubbed, now_ms: int) -> None:
    """Write the metrics of a run, whole or not at all.

    Args:
        path: its name has to end in .prom for node_exporter to read it.
        now_ms: when the run came to its end, ms since 1970.
    """
    values = {
        USERS_CHECKED: found.users_checked,
        USERS_DIFFERING: len(found.findings),
        LAST_RUN: now_ms / 1000,
    }
    write_whole(path, textfile(values).encode())
