"""The group coordinator: static members, the group's generations, the group's offsets.

Owns: who is in the group, which partitions each has, which offsets are committed.
Does not own: transactions (transactions.py), the members' side (consumers.py).
Invariants: an assignment belongs to one generation of the group; offsets of a transaction are held
back until it ends, and a request for stable offsets is refused while any are.

The classic protocol: when a member is new or gone, all members join again; the group's next
generation begins when all have, or their sessions timed out. A static member that comes back under
its slot gets the slot's partitions without a rebalance, and fences the member that had the slot.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from simulator.log import Transaction
from simulator.refusal import (
    FENCED_MEMBER,
    ILLEGAL_GENERATION,
    REBALANCING,
    UNKNOWN_MEMBER,
    UNSTABLE,
    RefusedError,
)
from simulator.world import World

TICK_S = 0.5

COMMITS_KEPT: Final = 200
"""Max commits that the coordinator can forget at once."""

NOBODY: Final = ("", "", -1)
"""Slot, member id and group generation of a sender of offsets that is no member; in transactions a
broker accepts them, as from clients that send no group metadata."""


@dataclass(slots=True)
class _Member:
    """A static member."""

    member_id: str
    client_id: str
    heard_at: float
    has_joined: bool = True


class Group:
    """The one consumer group.

    Attributes:
        generation: of the group: number of the last completed rebalance.
        offsets: the committed ones.
        at_expiry: called with the slot of a member whose session timed out.
    """

    def __init__(self, world: World, partitions: int, session_s: float) -> None:
        self._world = world
        self._partitions = partitions
        self._session_s = session_s
        self._members: dict[str, _Member] = {}
        self._assigned: dict[str, list[int]] = {}
        self._is_stable = True
        self._given = 0
        self.generation = 0
        self.offsets: dict[tuple[str, int], int] = {}
        self._held: dict[Transaction, dict[tuple[str, int], int]] = {}
        self._replaced: deque[dict[tuple[str, int], int | None]] = deque(maxlen=COMMITS_KEPT)
        self.at_expiry: Callable[[str], None] = lambda _: None
        world.later(TICK_S, self._tick)

    @property
    def is_empty(self) -> bool:
        """Whether there is no member, nor anything pending."""
        return not self._members and not self._held

    @property
    def slots(self) -> list[str]:
        """Slots of the members."""
        return sorted(self._members)

    # --- membership ------------------------------------------------------------------------------

    def join(self, slot: str, member_id: str, client_id: str) -> str:
        """Join or join again; returns the member id.

        Raises:
            RefusedError: another client has taken the slot since.
        """
        member = self._members.get(slot)
        if member is None:
            member_id = self._new_id(slot)
            self._members[slot] = _Member(member_id, client_id, self._world.now)
            self._rebalance(joined=slot)
        elif not member_id:
            member_id = self._new_id(slot)
            self._members[slot] = _Member(member_id, client_id, self._world.now)
            if not self._is_stable:
                self._complete_if_all_joined()
        elif member_id != member.member_id:
            raise RefusedError(FENCED_MEMBER)
        else:
            member.has_joined = True
            member.heard_at = self._world.now
            self._complete_if_all_joined()
        return member_id

    def _new_id(self, slot: str) -> str:
        self._given += 1
        return f"{slot}-{self._given}"

    def _rebalance(self, joined: str = "") -> None:
        for slot, member in self._members.items():
            member.has_joined = slot == joined or (member.has_joined and not self._is_stable)
        self._is_stable = False
        self._complete_if_all_joined()

    def _complete_if_all_joined(self) -> None:
        if self._is_stable or not all(member.has_joined for member in self._members.values()):
            return
        self._is_stable = True
        self.generation += 1
        self._assigned = range_assignment(self._members, self._partitions)
        self._world.tell("broker", f"generation {self.generation}: {self._assigned}")

    def assignment(self, slot: str, member_id: str) -> tuple[int, list[int]] | None:
        """The group's generation and a member's partitions, once its rebalance is over."""
        member = self._members.get(slot)
        if member is None or member.member_id != member_id or not self._is_stable:
            return None
        return self.generation, self._assigned[slot]

    def heartbeat(self, slot: str, member_id: str, generation: int) -> str | None:
        """Take a member's heartbeat; returns the error that it is answered with, if any."""
        member = self._members.get(slot)
        if member is None:
            return UNKNOWN_MEMBER
        if member.member_id != member_id:
            return FENCED_MEMBER
        member.heard_at = self._world.now
        if not self._is_stable:
            return None if member.has_joined else REBALANCING
        return None if generation == self.generation else ILLEGAL_GENERATION

    def partitions_of(self, slot: str) -> list[int]:
        """The partitions of a slot in the group's present generation."""
        return self._assigned.get(slot, []) if slot in self._members and self._is_stable else []

    def holder(self, slot: str) -> str | None:
        """Client id of the member that has a slot."""
        member = self._members.get(slot)
        return None if member is None else member.client_id

    def _tick(self) -> None:
        now = self._world.now
        gone = [s for s, m in self._members.items() if now - m.heard_at > self._session_s]
        for slot in gone:
            del self._members[slot]
            self.at_expiry(slot)
            self._world.tell("broker", f"session of {slot} timed out")
        if gone:
            self._rebalance()
        self._world.later(TICK_S, self._tick)

    def hear_all(self) -> None:
        """A broker that has just started gives every member a whole session."""
        for member in self._members.values():
            member.heard_at = self._world.now

    # --- offsets ---------------------------------------------------------------------------------

    def check_member(self, slot: str, member_id: str, generation: int) -> None:
        """Refuse a sender that is not a member of the group's present generation.

        Raises:
            RefusedError: it is not.
        """
        if (slot, member_id, generation) == NOBODY:
            return
        member = self._members.get(slot)
        if member is None:
            raise RefusedError(UNKNOWN_MEMBER)
        if member.member_id != member_id:
            raise RefusedError(FENCED_MEMBER)
        if generation != self.generation:
            raise RefusedError(ILLEGAL_GENERATION)

    def hold(self, transaction: Transaction, offsets: dict[tuple[str, int], int]) -> None:
        """Keep offsets until their transaction ends."""
        self._held.setdefault(transaction, {}).update(offsets)

    def end(self, transaction: Transaction) -> None:
        """End a transaction, and with it earlier ones of its producer that were never ended."""
        of_producer = [t for t in self._held if t.producer == transaction.producer]
        for ended in of_producer:
            held = self._held.pop(ended)
            if transaction.is_committed and held:
                self._replaced.append({tp: self.offsets.get(tp) for tp in held})
                self.offsets.update(held)

    def stable_offsets(
        self, partitions: Iterable[tuple[str, int]]
    ) -> dict[tuple[str, int], int | None]:
        """Committed offsets.

        Raises:
            RefusedError: a transaction over one of them is open; ask again.
        """
        wanted = list(partitions)
        for held in self._held.values():
            if any(tp in held for tp in wanted):
                raise RefusedError(UNSTABLE)
        return {tp: self.offsets.get(tp) for tp in wanted}

    def expire_offsets(self) -> None:
        """Forget the group's offsets, as a broker does with a group that was empty for long."""
        self.offsets.clear()
        self._replaced.clear()

    def go_back(self, commits: int) -> int:
        """Have the coordinator's memory as it was so many commits ago; the members join again.

        Returns:
            How many offsets went back.
        """
        back: dict[tuple[str, int], int | None] = {}
        for replaced in list(self._replaced)[: -commits - 1 : -1]:
            back |= replaced
        for tp, offset in back.items():
            self.offsets.pop(tp, None)
            if offset is not None:
                self.offsets[tp] = offset
        self._held.clear()
        self._replaced.clear()
        self._rebalance()
        return len(back)


def range_assignment(slots: Iterable[str], partitions: int) -> dict[str, list[int]]:
    """Contiguous ranges, the first slots one longer when they do not fit evenly."""
    ordered = sorted(slots)
    if not ordered:
        return {}
    each, more = divmod(partitions, len(ordered))
    found, start = {}, 0
    for index, slot in enumerate(ordered):
        end = start + each + (index < more)
        found[slot] = list(range(start, end))
        start = end
    return found
