"""Which tests one process of a parallel run gets as a whole.

Owns: what is a unit of work.
Does not own: how units are handed out (pytest-xdist).
Invariant: a file is never split, so what a file sets up is set up once.
"""

from typing import Final

from xdist.scheduler import LoadFileScheduling

TOGETHER: Final = ("tests/api/",)
"""Folders that are one unit: else three processes would each keep a worker and an API."""


class Scheduling(LoadFileScheduling):  # type: ignore[misc] # xdist has no types
    """By file, but a folder out of TOGETHER goes to one process."""

    def _split_scope(self, nodeid: str) -> str:
        for folder in TOGETHER:
            if nodeid.startswith(folder):
                return folder
        scope: str = super()._split_scope(nodeid)
        return scope
