"""When downstream groups passed an offset, as far as somebody was looking.

Owns: samples of committed offsets, bounded in number, and what they prove.
Does not own: taking them (watch.py).
Invariants: a sample is kept only where the offset moved, so a group that stands still costs
nothing. What is told is true however many samples were dropped; dropping only widens it.
"""

from typing import Final

import msgspec

SAMPLES_MAX: Final = 512
"""Samples kept of each group and partition; then every second one is dropped, the last two not."""

Key = tuple[str, str, int]
"""Group, topic and partition."""


class Passed(msgspec.Struct, frozen=True):
    """When a group passed an offset: after one instant and by another, ms since 1970.

    Attributes:
        after_ms: None where it had passed it before anybody looked.
    """

    after_ms: int | None
    by_ms: int


class _Sample(msgspec.Struct):
    """The group stood at `committed` at `since_ms`, and at `until_ms` still."""

    committed: int
    since_ms: int
    until_ms: int


class History:
    """Samples of every group and partition; for one thread that writes, and others that ask."""

    def __init__(self, samples_max: int = SAMPLES_MAX) -> None:
        self._samples_max = samples_max
        self._samples: dict[Key, list[_Sample]] = {}

    def note(self, key: Key, committed: int, at_ms: int) -> None:
        """Take a sample: the group's next offset as it was at an instant, never earlier again."""
        samples = self._samples.get(key, [])
        if samples and samples[-1].committed == committed:
            samples[-1].until_ms = at_ms
            return
        if len(samples) >= self._samples_max:
            samples = samples[:-2:2] + samples[-2:]
        # A new list, so that whoever asks meanwhile goes on with the old one.
        self._samples[key] = [*samples, _Sample(committed, at_ms, at_ms)]

    def passed(self, key: Key, offset: int) -> Passed | None:
        """When the group read the record at an offset; None where it has not, or nobody knows."""
        before: _Sample | None = None
        for sample in self._samples.get(key, []):
            if sample.committed > offset:
                return Passed(None if before is None else before.until_ms, sample.since_ms)
            before = sample
        return None
