"""Bounds how many requests read something slow at once, and how many wait to do so.

Owns: the turns, and the refusal of those who come on top.
Does not own: what is read, the answer to who was refused.
Invariants: at most `AT_ONCE` calls run at the same time, each on a thread; at most `WAITING_MAX`
requests wait or run. A request that is cancelled while it waits gives its turn to the next.
"""

import asyncio
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

AT_ONCE: Final = 2
"""Max calls that run at the same time."""

WAITING_MAX: Final = 16
"""Max requests that wait or run."""

P = ParamSpec("P")
T = TypeVar("T")


class TooManyWaitError(Exception):
    """As many requests as may wait do so already.

    **Operator action**: none; if it is often so, see who asks so much.
    """


class Turns:
    """The turns of one kind of reading."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def take(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking call on a thread when its turn comes; what it raises is raised.

        Raises:
            TooManyWaitError: nothing was run.
        """
        if self._waiting >= WAITING_MAX:
            raise TooManyWaitError
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(call, *args, **kwargs)
        finally:
            self._waiting -= 1
