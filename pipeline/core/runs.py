"""Runs of consecutive whole numbers: local dates, or laps.

Owns: the (start, length) form of a set of numbers, and its algebra.
Does not own: which dates count (sets.py), what a streak is (streak.py).
Invariant: runs are sorted, disjoint and never adjacent, so equal sets compare and encode equal.
"""

from bisect import bisect_right
from collections.abc import Iterable

Runs = tuple[tuple[int, int], ...]
"""(start, length) pairs; length is 1 and up."""

_BEYOND = 1 << 62


def with_number(runs: Runs, number: int) -> Runs:
    """Cover one more number.

    Args:
        runs: any runs.
        number: any order, repeats allowed.

    Returns:
        The same object when `number` was covered, else a new one; at most one run longer, at least
        one shorter (when it closes a gap). The end is the quick place to add to.
    """
    if not runs:
        return ((number, 1),)
    start, length = runs[-1]
    end = start + length
    if number > end:
        return (*runs, (number, 1))
    if number == end:
        return (*runs[:-1], (start, length + 1))
    # equivalent (False, >): a short cut; `_inserted` finds the same
    if number >= start:
        # equivalent (removed): a short cut; `_inserted` finds the same
        return runs
    return _inserted(runs, number)


def _inserted(runs: Runs, number: int) -> Runs:
    i = bisect_right(runs, (number, _BEYOND))
    first, last = number, number
    head, tail = runs[:i], runs[i:]
    if head:
        start, length = head[-1]
        if number < start + length:
            return runs
        if number == start + length:
            first, head = start, head[:-1]
    if tail[0][0] == number + 1:
        last, tail = tail[0][0] + tail[0][1] - 1, tail[1:]
    return (*head, (first, last - first + 1), *tail)


def from_numbers(numbers: Iterable[int]) -> Runs:
    """Return the runs of any numbers, in any order, repeats allowed."""
    runs: Runs = ()
    for number in sorted(set(numbers)):
        runs = with_number(runs, number)
    return runs


def contains(runs: Runs, number: int) -> bool:
    """Tell whether `number` is covered; logarithmic in the number of runs."""
    i = bisect_right(runs, (number, _BEYOND))
    return i > 0 and number < runs[i - 1][0] + runs[i - 1][1]


def union(left: Runs, right: Runs) -> Runs:
    """Return what either covers; linear, and one of the arguments itself when the other is
    empty."""
    if not left or not right:
        return left or right
    merged: list[tuple[int, int]] = []
    for start, length in sorted((*left, *right)):
        if merged and start <= merged[-1][0] + merged[-1][1]:
            first, covered = merged[-1]
            merged[-1] = (first, max(covered, start + length - first))
        else:
            merged.append((start, length))
    return tuple(merged)


def difference(left: Runs, right: Runs) -> Runs:
    """Return what `left` covers and `right` does not; linear."""
    if not left or not right:
        return left
    kept: list[tuple[int, int]] = []
    # equivalent (number): the loop below goes back to the first hole that matters
    i = 0
    for start, length in left:
        at, end = start, start + length
        # equivalent (>=): a hole that ends where the run starts takes nothing from it
        while i and right[i - 1][0] + right[i - 1][1] > at:
            i -= 1
        # equivalent (<=): a hole that starts where the run ends takes nothing from it
        while i < len(right) and right[i][0] < end:
            hole, hole_end = right[i][0], right[i][0] + right[i][1]
            if hole > at:
                kept.append((at, hole - at))
            at = max(at, hole_end)
            i += 1
        if at < end:
            kept.append((at, end - at))
    return tuple(kept)


def first_reaching(runs: Runs, number: int) -> tuple[int, int] | None:
    """Return the earliest run whose last number is `number` or more; None without one."""
    i = len(runs)
    while i and runs[i - 1][0] + runs[i - 1][1] > number:
        i -= 1
    return runs[i] if i < len(runs) else None
