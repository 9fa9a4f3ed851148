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

import json
import time
import uuid
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Final

import msgspec

from pipeline.codec.repairs import decode_repair, encode_repair
from pipeline.core.identity import NAMESPACE
from pipeline.core.records import Command
from pipeline.core.repair import Repair
from pipeline.ops.adjust.send import Corrections, Effect
from pipeline.rebuild.compare import UserDifference
from pipeline.rebuild.partition import PartitionRebuild

ATTEMPTS_MAX: Final = 30
"""Max repairs of one user, who may change between the comparison and each of them."""

ANSWER_S_MAX: Final = 30.0
"""Seconds to wait for a worker to carry out the repairs that were sent together."""

AT_ONCE: Final = 500
"""Repairs that are under way at once."""

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


class Undo:
    """What puts each user back who was repaired: a file, a line a user.

    A line is written before its repair is sent, so a rollback knows of every repair there may be.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, differences: Iterable[UserDifference]) -> None:
        """Note the state that repairs will replace."""
        with self._path.open("ab") as file:
            for one in differences:
                line = {"user_id": one.user_id, "undo": encode_repair(one.undo).hex()}
                file.write(json.dumps(line).encode() + b"\n")

    def all(self) -> dict[str, Repair]:
        """The first noted state of each user."""
        found: dict[str, Repair] = {}
        if self._path.exists():
            for line in self._path.read_text("utf-8").splitlines():
                row = json.loads(line)
                repair = decode_repair(bytes.fromhex(row["undo"]), row["user_id"])
                if repair is not None:
                    found.setdefault(row["user_id"], repair)
        return found


def put_right(
    rebuild: PartitionRebuild,
    users: Collection[str],
    corrections: Corrections,
    order: Order,
    undo: Undo,
    say: Said = lambda _done, _total: None,
) -> Result:
    """Put users of one partition right, each as the log says at that time.

    Args:
        rebuild: of the partition.
        users: whom an operator approved.
        corrections: entered, so that no effect is missed.

    Raises:
        NotSentError, UnreadableLogError, ReplayError: see there; the others are as before.
    """
    result = Result()
    left = set(users)
    while left and result.attempts < ATTEMPTS_MAX:
        result.attempts += 1
        # 1. Derive anew, and see who still differs.
        rebuild.catch_up()
        differing = {one.user_id: one for one in rebuild.differences() if one.user_id in left}
        right = left - differing.keys()
        result.superseded += sorted(right - set(result.repaired))
        left -= right
        # 2. Send the repairs, some at a time, and wait for the worker's answers.
        wanted = list(differing.values())
        for start in range(0, len(wanted), AT_ONCE):
            group = wanted[start : start + AT_ONCE]
            undo.add(group)
            for effect in _sent(corrections, group, order, result.attempts):
                if effect.verdict == "applied":
                    result.repaired.append(effect.user_id)
                    result.portals += effect.unlock_ids
                    left.discard(effect.user_id)
                else:
                    result.failed[effect.user_id] = effect.rejection or effect.verdict
            say(len(users) - len(left), len(users))
    for user_id in result.repaired + result.superseded:
        result.failed.pop(user_id, None)
    for user_id in left:
        result.failed.setdefault(user_id, "no worker answered")
    return result


def _sent(
    corrections: Corrections,
    group: Iterable[UserDifference],
    order: Order,
    attempt: int,
) -> list[Effect]:
    """Send repairs and return their effects; where none came in time there is none."""
    for one in group:
        request = uuid.uuid5(NAMESPACE, f"{order.rebuild_id}/{one.user_id}/{attempt}")
        payload = encode_repair(one.repair)
        corrections.send(
            Command(
                f"{order.rebuild_id}-{request}",
                one.user_id,
                "repair",
                order.actor,
                order.reason,
                order.ticket,
                payload=payload,
            )
        )
    effects: list[Effect] = []
    deadline_s = time.monotonic() + ANSWER_S_MAX
    while corrections.pending and time.monotonic() < deadline_s:
        effects += corrections.poll()
    for pending in list(corrections.pending.values()):
        corrections.forget(pending)
    return effects
