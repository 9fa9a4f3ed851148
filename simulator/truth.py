"""What people's states have to be: as the worker has them, and as the log says without damage.

Owns: both states of each person of a partition, folded over plain dictionaries in audited order;
what rebuilds and rollbacks have to come to.
Does not own: the folds (people.py), who does what when (operating.py), the counts (model.py).
Invariant: it reads inputs, and what the operator noted of rebuilds; it knows no batches,
transactions, changelogs or cuts.

| | what must hold |
|---|---|
| K | a repair applies exactly where it names revision and digest of the state that it meets |
| L | a revision grows by one with each change, and never steps back |
| M | a comparison names exactly those whose state differs from the log at its cut |
| N | whoever was approved was right at some time between the diff and the end of the approval |
| P | whoever was not damaged, or was repaired since, is as the log says |
| Q | a rollback puts back what there was, with what came since |
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from msgspec.structs import replace

from pipeline.codec.repairs import decode_repair
from pipeline.codec.state import decode_state
from pipeline.core.outcome import Outcome
from pipeline.core.records import Command
from pipeline.core.repair import Repair
from pipeline.core.runs import difference, union
from pipeline.core.sets import Sets, covered
from pipeline.core.state import EMPTY, UserState
from pipeline.engine.ports import Message
from pipeline.worker.window import expand
from simulator.people import DAMAGE, LIVE, Folds, LiveFolds, command_in, peoples_time, take, world

BACK: Final = "-back-"
"""In the id of a request of a rollback, behind that of its rebuild (rebuild/job.py)."""

FORGED: Final = "forged-"
"""The id of a request begins with it that no rebuild sent."""


@dataclass(frozen=True, slots=True)
class Note:
    """What the operator saw of a rebuild.

    Attributes:
        what: both states were compared, a diff was made of that, its users were approved, or the
            rebuild was rolled back; to the end.
        rebuild: its id.
        number: of inputs that the partition's audit had then; of a comparison, at its cut.
        people: who differ, of the diff, or approved.
    """

    what: Literal["compared", "diff", "approved", "rolled back"]
    rebuild: str
    number: int
    people: frozenset[bytes] = frozenset()


class _Table:
    """A table over a dictionary, as `TableView` without a transaction."""

    prefix = b""

    def __init__(self, *, is_window: bool) -> None:
        self.entries: dict[bytes, bytes] = {}
        self._expand = expand if is_window else lambda key, value: ((key, value),)
        self.get = self.get_local = self.entries.get

    def expand_owner(self, owner: bytes) -> None:
        """Nothing is lazy here."""

    def put(self, key: bytes, value: bytes | None) -> None:
        """Write what a record stands for."""
        for local, content in self._expand(key, value):
            if content is None:
                self.entries.pop(local, None)
            else:
                self.entries[local] = content

    def put_record(self, key: bytes, value: bytes, entries: Mapping[bytes, bytes]) -> None:
        """Write an accepted completion."""
        self.entries.update(entries)


class _Side:
    """The users and the window of one of both states."""

    def __init__(self) -> None:
        self.users, self.seen = _Table(is_window=False), _Table(is_window=True)

    def take(self, record: Message, folds: Folds) -> Outcome | None:
        return take(self.users, self.seen, record, folds)

    def state(self, key: bytes) -> UserState:
        raw = self.users.get(key)
        return EMPTY if raw is None else decode_state(raw)

    def window(self, now: int) -> Iterator[tuple[bytes, bytes]]:
        """What the window holds of all people at an instant."""
        oldest = now - world().policies.window_ms
        for key, value in self.seen.entries.items():
            if int.from_bytes(value[:8], "big", signed=True) >= oldest:
                yield key, value


class _PassingOver(LiveFolds):
    """Folds for which a repair is nothing."""

    def repair(self, state: UserState, event: Command, *given: Any) -> Outcome:
        return Outcome("repair", event.actor, verdict="dead_letter")


@dataclass(slots=True)
class _Repaired:
    """A person whom a rebuild repaired: their sets before, and as the repair had them."""

    before: Sets
    repaired: Sets
    is_disturbed: bool = False


@dataclass
class People:
    """The people of one partition.

    Attributes:
        notes: of its rebuilds, by number.
        complaints: so far.
    """

    notes: list[Note] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    _live: _Side = field(default_factory=_Side)
    _told: _Side = field(default_factory=_Side)
    _passing_over: Folds = field(default_factory=_PassingOver)
    _now: int = 0
    _number: int = 0
    _may_differ: set[bytes] = field(default_factory=set)
    _was_right: bool = False
    _right_since_diff: set[bytes] = field(default_factory=set)
    _disturbed_at: dict[bytes, int] = field(default_factory=dict)
    _rolled_back: set[str] = field(default_factory=set)
    _diff_at: dict[str, int] = field(default_factory=dict)
    _derived_at: dict[str, int] = field(default_factory=dict)
    _published: dict[bytes, set[tuple[int, str]]] = field(default_factory=dict)
    _repaired: dict[tuple[str, bytes], _Repaired] = field(default_factory=dict)

    def take(self, record: Message, number: int) -> Outcome | None:
        """Fold one input; returns what the worker must have made of it."""
        self._look(number - 1)
        self._number = number
        key, value = record.key() or b"", record.value() or b""
        before = self._live.state(key)
        self._was_right = key in self._may_differ and not self._differs(key)
        self._now = max(self._now, peoples_time(record.timestamp()[1]))
        outcome = self._live.take(record, LIVE)
        self._told.take(record, self._passing_over)
        revision = self._live.state(key).revision
        if outcome is not None and outcome.state is not None:
            if not before.revision + 1 == outcome.revision == revision:
                self._complain("L", key, f"revision {before.revision} became {revision}")
            for portal in outcome.unlocks:
                self._published.setdefault(key, set()).add((portal.lap, portal.portal))
        command = command_in(value)
        if value.startswith(DAMAGE):
            self._disturb(key)
        elif command is not None and command.kind == "repair" and outcome is not None:
            self._take_repair(key, command, before, outcome)
        return outcome

    def _complain(self, check: str, key: bytes, what: str) -> None:
        self.complaints.append(f"{check}: {key.decode()} at entry {self._number}: {what}")

    def _disturb(self, key: bytes) -> None:
        """Note that somebody's state may be wrong from now on, and is no rebuild's any more."""
        if self._was_right:
            self._right_since_diff.add(key)
        self._may_differ.add(key)
        self._disturbed_at[key] = self._number
        for (_, whose), one in self._repaired.items():
            one.is_disturbed = one.is_disturbed or whose == key

    def _take_repair(
        self, key: bytes, command: Command, before: UserState, outcome: Outcome
    ) -> None:
        repair = decode_repair(command.payload, command.user_id)
        if repair is None:
            self._complain("K", key, "a repair that is none")
            return
        fits = (repair.revision, repair.digest) == (before.revision, before.digest)
        if fits != (outcome.verdict == "applied"):
            said = f"{outcome.verdict} to {before.revision} {before.digest}"
            self._complain("K", key, f"a repair of {repair.revision} {repair.digest} was {said}")
        if outcome.verdict != "applied":
            return
        rebuild, is_back, _ = command.request_id.partition(BACK)
        if command.request_id.startswith(FORGED):
            self._disturb(key)
        elif is_back:
            self._take_rollback(key, rebuild, before.sets)
        else:
            self._take_rebuild(key, command.request_id.partition("-")[0], before.sets, repair)

    def _take_rebuild(self, key: bytes, rebuild: str, before: Sets, repair: Repair) -> None:
        if rebuild in self._rolled_back:
            self._complain("Q", key, f"{rebuild} repaired them after it was rolled back")
        for (other, whose), one in self._repaired.items():
            one.is_disturbed = one.is_disturbed or (whose == key and other != rebuild)
        # What is undone is what was there when the first repair was sent.
        is_disturbed = self._disturbed_at.get(key, 0) > self._diff_at.get(rebuild, 0)
        its = _Repaired(before, repair.state.sets, is_disturbed)
        self._repaired.setdefault((rebuild, key), its)
        if not self._differs(key):
            self._may_differ.discard(key)
            self._right_since_diff.add(key)

    def _take_rollback(self, key: bytes, rebuild: str, before: Sets) -> None:
        self._may_differ.add(key)
        one = self._repaired.pop((rebuild, key), None)
        if one is not None and not one.is_disturbed:
            self._judge_rollback(key, one, before, self._live.state(key).sets)

    def _judge_rollback(self, key: bytes, one: _Repaired, before: Sets, after: Sets) -> None:
        """What there was, and what came since, but for what the repair had brought itself."""
        came = difference(before.practised, one.repaired.practised)
        expected = union(one.before.practised, came)
        more = difference(after.practised, expected)
        less = difference(difference(expected, after.practised), one.repaired.practised)
        if more or less:
            self._complain("Q", key, f"{more} too many, {less} missing after a rollback")
        for name in ("credits", "revocations", "withdrawals", "claims"):
            was, then, by_now = (set(getattr(s, name)) for s in (one.before, one.repaired, before))
            if set(getattr(after, name)) != was | (by_now - then):
                self._complain("Q", key, f"{name} after a rollback: {getattr(after, name)}")

    # --- what is compared ------------------------------------------------------------------------

    def _differs(self, key: bytes) -> bool:
        """Whether somebody is not as the log says, but for what was published and cannot be taken
        back, and for counters."""
        live, told = self._live.state(key), self._told.state(key)
        portals = {(lap, slug) for slug, runs in live.sets.unlocked for lap in _numbers(runs)}
        is_published = (
            portals
            == self._published.get(key, set())
            == {(row.lap, row.slug) for row in live.portals}
        )
        meanings = [
            (replace(one.sets, unlocked=()), one.tz, one.tz_at, one.tz_id, one.dateline)
            for one in (live, told)
        ]
        start = key + b"\0"
        windows = [
            {name: value for name, value in side.window(self._now) if name[1:].startswith(start)}
            for side in (self._live, self._told)
        ]
        is_filtered = live.seen_filter == told.seen_filter
        longest = max((length for _, length in covered(live.sets)), default=0)
        is_checked_further = live.checked_days > max(longest, told.checked_days)
        return (
            not is_published
            or not is_filtered
            or (is_checked_further and live.checked_policy != "")
            or meanings[0] != meanings[1]
            or windows[0] != windows[1]
        )

    def _everybody(self) -> set[bytes]:
        sides = (self._live, self._told)
        return {key for side in sides for key in side.users.entries}

    def _look(self, number: int) -> None:
        """Judge what was noted when the audit had so many entries."""
        while self.notes and self.notes[0].number <= number:
            note = self.notes.pop(0)
            if note.what == "compared":
                self._derived_at.setdefault(note.rebuild, note.number)
                differing = {key for key in self._everybody() if self._differs(key)}
                if differing != note.people:
                    self.complaints.append(
                        f"M: {note.rebuild} at entry {note.number}: the comparison has"
                        f" {sorted(note.people)}, the model {sorted(differing)}"
                    )
            elif note.what == "diff":
                self._diff_at[note.rebuild] = note.number
                self._derived_at.pop(note.rebuild)
                self._right_since_diff -= note.people
            elif note.what == "approved":
                for key in sorted(note.people - self._right_since_diff):
                    # What happens once a repair is derived is found by the next rebuild.
                    is_later = self._disturbed_at.get(key, 0) > self._derived_at[note.rebuild]
                    if self._differs(key) and not is_later:
                        self._complain("N", key, f"{note.rebuild} did not put them right")
            else:
                self._rolled_back.add(note.rebuild)
                for (rebuild, key), one in list(self._repaired.items()):
                    if rebuild == note.rebuild:
                        del self._repaired[rebuild, key]
                        now = self._live.state(key).sets
                        if not one.is_disturbed:
                            self._judge_rollback(key, one, now, now)

    def end(self) -> list[str]:
        """Judge what is left; returns all complaints."""
        self._look(1 << 62)
        for key in sorted(self._everybody() - self._may_differ):
            if self._differs(key):
                self._complain("P", key, "is not as the log says")
        return self.complaints

    def state(self, run_ms: int) -> Iterator[tuple[bytes, bytes]]:
        """The local entries that an input appended at this time of the run has to find."""
        for key, value in self._live.users.entries.items():
            yield b"u" + key, value
        for key, value in self._live.window(peoples_time(run_ms)):
            yield b"s" + key, value


def _numbers(runs: tuple[tuple[int, int], ...]) -> Iterator[int]:
    for start, length in runs:
        yield from range(start, start + length)
