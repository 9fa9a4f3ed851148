"""Users whose states an operator's acts are about, with a history that is known.

Owns: who they are, when they practise, dates, keys and requests of corrections.
Does not own: the acts (acts.py), what must follow from all this, which the oracle says.
Invariant: no portal is reached on another date because a state was damaged. Their dates are one run
that ends yesterday. What a damaged state has lost comes back only by a repair: they practise on
within the last days of the run alone, and those that come while it is damaged are too few for a
portal that they do not have.
"""

import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from chaos.errors import ChaosError
from chaos.sender import Sender
from pipeline.clock import now_ms
from pipeline.core.keys import key_ids
from pipeline.core.state import UserState
from pipeline.dev.demo.damage import last_run_days
from pipeline.dev.workload.ground_truth import InputRecord
from pipeline.dev.workload.people import DAY_MS, MINUTE_MS
from pipeline.dev.workload.wire import plain_completion

USERS: Final = 12
FIRST_DAYS: Final = 9
ALL_DAYS: Final = 13
"""Days of the run before the damage, and with those that come while states are damaged: the portal
of that day is missed, and a repair has to unlock it."""

AGAIN_DAYS: Final = 4
"""The last days of the run, on which they practise again and again."""

SPREAD_MINUTES: Final = 240
PAUSE_S: Final = 0.25
CLAIMED: Final = (0, "bindu", 1)
"""Lap, portal and number of keys of the portal whose key is claimed."""


class Cohort:
    """Some users of one round of acts.

    Args:
        name: begins their ids; no earlier round has had it.
        sender: what they send with.
    """

    def __init__(self, name: str, sender: Sender, rng: random.Random) -> None:
        self.name = name
        self.users = [f"{name}-{n}" for n in range(USERS)]
        self._sender = sender
        self._rng = rng
        self._noon_ms = now_ms() // DAY_MS * DAY_MS - DAY_MS // 2
        self._sent = 0
        self._sent_s = 0.0

    def begin(self) -> None:
        """Practise on the first days, as which they are counted from the end of the run."""
        self._practise_on(range(FIRST_DAYS))

    def go_on(self) -> None:
        """Practise on the days before these, which make the run longer."""
        self._practise_on(range(FIRST_DAYS, ALL_DAYS))

    def practise(self) -> None:
        """Let somebody practise once more, now and then, on a day that counts already."""
        if time.monotonic() - self._sent_s >= PAUSE_S:
            self._send(self._rng.choice(self.users), self._rng.randrange(AGAIN_DAYS))
        self._sender.poll()

    def date(self, days: int) -> str:
        """The date so many days before the end of the run."""
        return datetime.fromtimestamp(self._instant(days) / 1000, UTC).date().isoformat()

    def key(self, user_id: str) -> str:
        """The id of a key that the user has."""
        return key_ids(user_id, *CLAIMED)[0]

    def request(self, correction: str) -> str:
        """The id of the request for a correction, of which there is one of each kind."""
        return f"{self.name}-{correction}"

    def chosen(self, states: Mapping[str, UserState]) -> list[str]:
        """Everybody, to be damaged.

        Raises:
            ChaosError: not everything is processed that comes before.
        """
        for user_id in self.users:
            if user_id not in states or last_run_days(states[user_id]) < FIRST_DAYS:
                raise ChaosError(f"the states of {self.name} are not there yet")
        return self.users

    def _practise_on(self, days: range) -> None:
        for user_id in self.users:
            for day in days:
                self._send(user_id, day)
        self._sender.poll()

    def _instant(self, days: int) -> int:
        return self._noon_ms - days * DAY_MS

    def _send(self, user_id: str, day: int) -> None:
        self._sent += 1
        self._sent_s = time.monotonic()
        end_ms = self._instant(day) + self._rng.randrange(SPREAD_MINUTES) * MINUTE_MS
        value = plain_completion(user_id, f"{user_id}-{self._sent}", end_ms)
        self._sender.send(InputRecord("completions", None, user_id.encode(), value, end_ms, (), ""))
