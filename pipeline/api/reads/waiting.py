"""Lets reads wait for a revision.

Owns: which reads wait for which user, waking them.
Does not own: the store, how long a read may wait (user_read.py).
Invariants: the number of waiting reads is bounded; no change is missed, as a read looks at the
store once more after it has joined. Only the event loop's thread uses the list, except for
`changed`.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress


class Waiters:
    """The waiting reads.

    Args:
        waiting_max: max reads that wait at once.
    """

    def __init__(self, waiting_max: int) -> None:
        self._waiting_max = waiting_max
        self._by_user: dict[bytes, list[asyncio.Event]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self.count = 0

    @property
    def is_full(self) -> bool:
        """Tell whether no further read may wait."""
        return self.count >= self._waiting_max

    def changed(self, users: Sequence[bytes]) -> None:
        """Wake the reads of users whose records were replaced; on any thread."""
        loop = self._loop
        if loop is None or not self._by_user:
            return
        found = [user for user in users if user in self._by_user]
        if found:
            # The loop is closed when the process ends; then no read waits any more.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._wake, found)

    def _wake(self, users: Sequence[bytes]) -> None:
        for user in users:
            for event in self._by_user.get(user, ()):
                event.set()

    def join(self, user: bytes) -> asyncio.Event:
        """Begin to wait; the event is set at each change of the user. Call `leave` at the end."""
        self._loop = asyncio.get_running_loop()
        event = asyncio.Event()
        self._by_user.setdefault(user, []).append(event)
        self.count += 1
        return event

    def leave(self, user: bytes, event: asyncio.Event) -> None:
        """Stop waiting."""
        waiting = self._by_user[user]
        waiting.remove(event)
        if not waiting:
            del self._by_user[user]
        self.count -= 1
