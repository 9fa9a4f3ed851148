"""Putting users right: each by a command that the worker carries out like any other.

Owns: sending repairs, and what becomes of each; sending it once more where the user changed
meanwhile.
Does not own: what a repair contains (compare.py), when it applies (core/fold.py), sending and
reading back as such (ops/adjust/send.py).

Ordering and atomicity that it relies on: a repair names the revision and the digest of the state
that it replaces, and the worker applies it only to that state, in the transaction of its poll. So a
user is at every instant as the live pipeline has them or as the log says, never in between; a
repair that was sent twice applies once; and whoever is killed between two of them has put some
users right and left the others as they were.
"""

import os
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from pipeline.codec.repairs import encode_repair
from pipeline.core.identity import NAMESPACE
from pipeline.core.records import Command
from pipeline.core.repair import Repair
from pipeline.core.runs import difference, union
from pipeline.core.sets import Sets, digest_of
from pipeline.core.state import UserState
from pipeline.ops.adjust.send import Corrections, Effect, NotSentError
from pipeline.rebuild.compare import UserDifference
from pipeline.rebuild.partition import PartitionRebuild

ATTEMPTS_MAX: Final = 30
"""Max repairs of one user, who may change between the comparison and each of them."""

ANSWER_S_MAX: Final = 300.0
"""Seconds to wait for a worker to carry out the repairs that were sent together."""

AT_ONCE: Final = 500
"""Repairs that are under way at once."""

RUNS: Final = frozenset({"practised", "bridged"})
"""Sets that are kept as runs of dates; the others are sorted pairs."""

Said = Callable[[int, int], None]
"""Is told how many users are right, of how many."""


class Order(msgspec.Struct, frozen=True):
    """Who has users put right, and why, for the audit of each.

    Attributes:
        rebuild_id: the ids of the requests begin with it.
    """

    rebuild_id: str
    actor: str
    reason: str
    ticket: str


class Sender(msgspec.Struct, frozen=True):
    """Sends repairs.

    Attributes:
        corrections: entered, so that no effect is missed.
        say: is told how far it is.
        stamp: of each command where topics have simulated time, ms; 0 is now.
        unsent: by user, why there is no answer to their repair.
    """

    corrections: Corrections
    order: Order
    say: Said = lambda _done, _total: None
    stamp: Callable[[], int] = lambda: 0
    unsent: dict[str, str] = msgspec.field(default_factory=dict)


class Result(msgspec.Struct):
    """What became of the repairs of one partition.

    Attributes:
        repaired: users who were put right. superseded: who were right when their turn came.
        failed: by user, why they are as they were.
        portals: ids of those that the repairs unlocked.
    """

    repaired: list[str] = msgspec.field(default_factory=list)
    superseded: list[str] = msgspec.field(default_factory=list)
    failed: dict[str, str] = msgspec.field(default_factory=dict)
    portals: list[str] = msgspec.field(default_factory=list)
    attempts: int = 0


class Replaced(msgspec.Struct, frozen=True):
    """A user's sets before a repair, and as the repair has them."""

    before: Sets
    repaired: Sets


class Undo:
    """What was replaced of each user: a file, a line a repair.

    A line is written before its repair is sent, so a rollback knows of every repair there may be.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, differences: Iterable[UserDifference]) -> None:
        """Note the states that repairs will replace; they are on the disk when it returns."""
        with self._path.open("a+b") as file:
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)  # half a line of somebody who was killed
            for one in differences:
                line = one.user_id, Replaced(one.live.sets, one.repair.state.sets)
                file.write(msgspec.json.encode(line) + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def all(self) -> dict[str, Replaced]:
        """The first line of each user, as its file has been written whole."""
        found: dict[str, Replaced] = {}
        lines = self._path.read_bytes().split(b"\n")[:-1] if self._path.exists() else []
        for line in lines:
            user_id, replaced = msgspec.json.decode(line, type=tuple[str, Replaced])
            found.setdefault(user_id, replaced)
        return found


Plan = Callable[[set[str]], Mapping[str, Repair]]
"""Given the users who are left, returns the repairs of those who are not right yet, as of now."""


def put_right(
    rebuild: PartitionRebuild, users: Collection[str], sender: Sender, undo: Undo
) -> Result:
    """Put users of one partition right, each as the log says at that time.

    Args:
        rebuild: of the partition.
        users: whom an operator approved.

    Raises:
        NotSentError, UnreadableLogError, ReplayError: see there; the others are as before.
    """

    def plan(left: set[str]) -> Mapping[str, Repair]:
        rebuild.catch_up()
        differing = [one for one in rebuild.differences() if one.user_id in left]
        undo.add(differing)
        return {one.user_id: one.repair for one in differing}

    return _carry_out(plan, users, sender)


def roll_back(
    rebuild: PartitionRebuild, users: Collection[str], sender: Sender, undo: Undo
) -> Result:
    """Put users of one partition back to where they were, with what came since; raises as above.

    A user's sets only grow, and grow alike in whatever order: what came since is what the live
    state has beyond the repair. A date that the repair added goes, also where the user practised on
    it once more since. Portals that were published since stay, so none is told twice, and so does
    the dedupe window, which must not forget what it has seen.
    """
    replaced = undo.all()

    def plan(left: set[str]) -> Mapping[str, Repair]:
        rebuild.catch_up()
        planned = {}
        for user_id in left & replaced.keys():
            live = rebuild.live_state(user_id)
            before = put_back(replaced[user_id], live)
            if before.sets != live.sets:
                planned[user_id] = Repair(live.revision, live.digest, before)
        return planned

    return _carry_out(plan, users, sender)


def put_back(replaced: Replaced, live: UserState) -> UserState:
    """Return the state before a repair, with what the live state has beyond that repair."""
    old, mid, now = replaced.before, replaced.repaired, live.sets
    joined: dict[str, Any] = {}
    for name in Sets.__struct_fields__:
        was, then, by_now = getattr(old, name), getattr(mid, name), getattr(now, name)
        if name in RUNS:
            joined[name] = union(was, difference(by_now, then))
        else:
            joined[name] = tuple(sorted({*was, *(set(by_now) - set(then))}))
    sets = Sets(**joined | {"unlocked": now.unlocked})
    return msgspec.structs.replace(live, sets=sets, digest=digest_of(sets))


def _carry_out(plan: Plan, users: Collection[str], sender: Sender) -> Result:
    """Send each user's repair until the worker has applied it, or none is needed any more."""
    result = Result()
    left = set(users)
    while left and result.attempts < ATTEMPTS_MAX:
        result.attempts += 1
        # 1. Derive anew, and see who is not right yet.
        planned = plan(left)
        result.superseded += sorted(left - planned.keys())
        left &= planned.keys()
        # 2. Send the repairs, some at a time, and wait for the worker's answers.
        wanted = sorted(planned.items())
        for start in range(0, len(wanted), AT_ONCE):
            for effect in _sent(sender, wanted[start : start + AT_ONCE], result.attempts):
                if effect.verdict == "applied":
                    result.repaired.append(effect.user_id)
                    result.portals += effect.unlock_ids
                    left.discard(effect.user_id)
                    continue
                result.failed[effect.user_id] = effect.rejection or effect.verdict
                if effect.rejection != "state_changed":
                    left.discard(effect.user_id)  # it would be rejected again
            for user_id in sender.unsent:
                result.failed[user_id] = sender.unsent[user_id]
                left.discard(user_id)
            sender.say(len(users) - len(left), len(users))
    for user_id in result.repaired + result.superseded:
        result.failed.pop(user_id, None)
    for user_id, why in result.failed.items():
        if why == "state_changed":
            result.failed[user_id] = (
                "state_changed: the user changes all the time, or the worker's disk has another"
                " state than its changelog (docs/REBUILDING.md)"
            )
    return result


def _sent(sender: Sender, group: Iterable[tuple[str, Repair]], attempt: int) -> list[Effect]:
    """Send repairs and return their effects; where none came in time there is none."""
    corrections, order = sender.corrections, sender.order
    for user_id, repair in group:
        request = uuid.uuid5(NAMESPACE, f"{order.rebuild_id}/{user_id}/{attempt}")
        payload = encode_repair(repair)
        command = Command(
            f"{order.rebuild_id}-{request}",
            user_id,
            "repair",
            order.actor,
            order.reason,
            order.ticket,
            payload=payload,
        )
        try:
            corrections.send(command, sender.stamp())
        except NotSentError as error:  # such as a repair that is too large
            sender.unsent[user_id] = str(error)
    effects: list[Effect] = []
    deadline_s = time.monotonic() + ANSWER_S_MAX
    while corrections.pending and time.monotonic() < deadline_s:
        effects += corrections.poll()
        for pending in [one for one in corrections.pending.values() if one.error is not None]:
            sender.unsent[pending.command.user_id] = str(pending.error)
            corrections.forget(pending)
    for pending in list(corrections.pending.values()):
        sender.unsent[pending.command.user_id] = (
            f"no worker answered within {ANSWER_S_MAX:.0f} s; it takes effect when one does"
        )
        corrections.forget(pending)
    return effects
