"""The scrub in the background: whether a worker's disk and its changelog say the same of each user.

Owns: the thread, its pace, the walk over a partition, what is said of users who differ.
Does not own: reading the disk (engine/pages.py), the changelog as of an instant
(changelog_index.py), whether either of them is what the log says (`awaway scrub`).

Invariants: nothing is written but a scratch store, which goes after each walk; the engine's thread
is asked for one page at a time. A user counts who differs twice, each time as of the same instant
on both sides, with everything read on in between; so whoever changes meanwhile does not count.

Only users' state is looked at: window records expire on the two sides at different times.
"""

import logging
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, Self

import structlog

from pipeline.codec.state import StateDecodeError, decode_state
from pipeline.core.sets import digest_of
from pipeline.engine.errors import CorruptStoreError
from pipeline.engine.pages import Page, Pages
from pipeline.engine.state.rocks import RocksDisk
from pipeline.errors import AwawayError
from pipeline.kafka.reader import Reader
from pipeline.observability.prometheus import WorkerMetrics
from pipeline.worker.changelog_index import ChangelogIndex
from pipeline.worker.telemetry import Telemetry

WALK_EVERY_S: Final = 5.0
"""Seconds from the end of one walk to the next one, of the next partition."""

PAGE_USERS: Final = 250
"""Users whom the engine's thread hands out at once."""

SUSPECTS_MAX: Final = 1_000
"""Users who are looked at again after a walk; with more, the disk as a whole is at fault."""

SHOWN_MAX: Final = 20
"""Users whom a log line names."""

_LOOK_S: Final = 0.5
_JOIN_S: Final = 5.0
_QUEUE_KIB: Final = 4_096
_FIX: Final = (
    "`awaway scrub --user=U` says whether the changelog is right;"
    " then docs/runbooks/disk-differs.md"
)
_log = structlog.get_logger("awaway.scrub")
_client_log = logging.getLogger("awaway.scrub.kafka")

Kind = Literal["disk", "changelog", "undecided"]
"""Which side is wrong: the one whose state is missing, or does not agree with itself; undecided
where both states could be."""

Findings = dict[bytes, Kind]


class _InterruptedError(Exception):
    """The walk cannot be ended: the partition moved, or the worker stops.

    Operator action: none; the partition's next owner walks it.
    """


def kind_of(disk: bytes | None, changelog: bytes | None) -> Kind:
    """Which of two different states is wrong."""
    is_disk_sound, is_changelog_sound = _is_sound(disk), _is_sound(changelog)
    if is_disk_sound == is_changelog_sound:
        return "undecided"
    return "changelog" if is_disk_sound else "disk"


def _is_sound(value: bytes | None) -> bool:
    """Whether there is a state, and it agrees with itself."""
    if value is None:
        return False
    try:
        state = decode_state(value)
    except StateDecodeError:
        return False
    return state.digest == digest_of(state.sets)


def walk(
    ask: Callable[[bytes, int], Page],
    index: ChangelogIndex,
    first: Page,
    compared: Callable[[int], None],
) -> Findings:
    """Compare everybody of a partition; return who differs.

    Args:
        ask: returns a page of the partition: so many users from a key on.
        index: of its changelog.
        first: a page of now.
        compared: is told how many users were compared with each page.

    Raises:
        OffsetGoneError, UnreadableLogError, CorruptStoreError: see there.
    """

    def page_from(start: bytes, users: int) -> Page:
        page = ask(start, users)
        if page.topic_id != first.topic_id:
            raise _InterruptedError  # the changelog was recreated, or written for the first time
        index.read_to(page.next_offset)
        return page

    index.read_to(first.next_offset)
    suspects: list[bytes] = []
    start: bytes | None = b""
    while start is not None:
        page = page_from(start, PAGE_USERS)
        suspects += islice(index.unlike(start, page), SUSPECTS_MAX - len(suspects))
        compared(len(page.entries))
        start = page.following
    found: Findings = {}
    for key in suspects:
        page = page_from(key, 1)
        if key in index.unlike(key, page):
            found[key] = kind_of(dict(page.entries).get(key), index.value_of(key))
    return found


class Scrubber:
    """Walks the worker's partitions one after the other, for ever: a context manager.

    Args:
        client: librdkafka settings that reach the cluster.
        pages: of the users' table.
        folder: of the scratch store; whatever is in it goes.
        per_s: how many changelog records and users on the disk are looked at each second.
        telemetry: which partitions are owned.
        metrics: where findings go.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        pages: Pages,
        folder: Path,
        per_s: int,
        telemetry: Telemetry,
        metrics: WorkerMetrics,
    ) -> None:
        self._client = client
        self._pages = pages
        self._folder = folder
        self._per_s = per_s
        self._telemetry = telemetry
        self._metrics = metrics
        self._known: dict[int, Findings] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scrub", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop; the thread is a daemon, so a request under way keeps nobody waiting for long."""
        self._stop.set()
        self._thread.join(_JOIN_S)

    def _run(self) -> None:
        last = -1
        while not self._stop.wait(WALK_EVERY_S):
            owned = sorted(self._telemetry.owned)
            self._known = {n: known for n, known in self._known.items() if n in owned}
            if not owned:
                continue
            last = next((number for number in owned if number > last), owned[0])
            try:
                self._walk(last)
            except _InterruptedError:
                continue
            except AwawayError as error:
                _log.warning("the scrub waits", partition=last, reason=str(error), fix=error.fix)
            except Exception:  # noqa: BLE001 - a thread that dies unseen finds nothing
                _log.exception("the scrub failed and begins anew", partition=last)

    def _walk(self, partition: int) -> None:
        metrics = self._metrics
        try:
            found = self._found(partition)
        except CorruptStoreError as error:
            found = {b"": "disk"}
            reason = str(error)
            _log.error("the disk cannot be read", partition=partition, reason=reason, fix=_FIX)
        known = self._known.get(partition, {})
        for kind, count in Counter(found[key] for key in found.keys() - known.keys()).items():
            metrics.scrub_found(kind, count)
        metrics.scrubbed(partition, len(found))
        if found != known:
            self._tell(partition, found)
        self._known[partition] = found

    def _tell(self, partition: int, found: Findings) -> None:
        if not found:
            _log.info("disk and changelog say the same again", partition=partition)
            return
        shown = sorted(found)[:SHOWN_MAX]
        _log.error(
            "disk and changelog differ",
            partition=partition,
            users={key.decode(errors="backslashreplace"): found[key] for key in shown},
            more=len(found) - len(shown),
            fix=_FIX,
        )

    def _found(self, partition: int) -> Findings:
        first = self._ask(partition, b"", 1)
        users = 0

        def spend(count: int) -> None:
            if partition not in self._telemetry.owned:
                raise _InterruptedError
            left = max(0, first.next_offset - index.position)
            self._metrics.scrub_progressed(partition, left, users)
            if self._stop.wait(count / self._per_s):
                raise _InterruptedError

        def compared(count: int) -> None:
            nonlocal users
            users += count
            spend(count)

        settings = {**self._client, "queued.max.messages.kbytes": _QUEUE_KIB}
        source = (self._pages.changelog, partition)
        shutil.rmtree(self._folder, ignore_errors=True)
        try:
            with (
                Reader(settings, f"{self._pages.changelog}-scrub", logger=_client_log) as log,
                closing(RocksDisk(self._folder).open(partition)) as store,
            ):
                index = ChangelogIndex(log, source, store, spend)
                return walk(
                    lambda key, most: self._ask(partition, key, most), index, first, compared
                )
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _ask(self, partition: int, start: bytes, users: int) -> Page:
        answer = self._pages.ask(partition, start, users)
        while not self._stop.is_set():
            try:
                page = answer.result(_LOOK_S)
            except TimeoutError:
                continue
            if page is None:
                break
            return page
        raise _InterruptedError
