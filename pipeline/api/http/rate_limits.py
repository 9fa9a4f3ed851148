"""Limits how often somebody may ask.

Owns: the allowance of each principal, and of each address whose tokens are refused.
Does not own: who asks (auth.py), how large and how long a request may be (limits_and_headers.py),
how many records may be in flight (producing.py).
Invariants: a decision takes a look-up and a few additions; memory is bounded, and the allowances
that were not used lately are forgotten first.

This is the generic cell rate algorithm: a token bucket that keeps one number, the time at which the
bucket is full again. The library `limits` takes 4 to 10 µs for the same, this 0.4 µs; a whole read
of the API takes about 40 µs.
"""

import time
from collections.abc import Callable
from typing import Final

from pipeline.api.http.auth import Kind, Principal
from pipeline.api.http.problems import ProblemError

KEYS_MAX: Final = 100_000
"""Max keys of each of the two tables; the older table is dropped when the younger one is full."""

_ROUNDING_S: Final = 1e-6
"""A shorter wait is a rounding error, s."""

REFUSED_PER_S: Final = 10.0
"""Requests without a valid token that one address may send per second."""

REFUSED_BURST: Final = 200
"""Requests without a valid token that one address may send at once."""


class Allowance:
    """Token buckets of one size, by key.

    Args:
        per_s: tokens that are refilled per second; 0: there is no limit.
        burst: tokens in a full bucket, 1 and up.
        now_s: a monotonic clock, s.
    """

    def __init__(
        self, per_s: float, burst: float, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._token_s = 1.0 / per_s if per_s else 0.0
        self._bucket_s = burst * self._token_s
        self._now_s = now_s
        self._young: dict[str, float] = {}
        self._old: dict[str, float] = {}

    def take(self, key: str, cost: float = 1.0) -> float:
        """Take tokens from a bucket.

        Args:
            cost: tokens; a bucket never gives more than it holds.

        Returns:
            0 when the tokens were taken; else the seconds until there are enough, and none is
            taken.
        """
        now_s = self._now_s()
        full_at_s = self._young.get(key)
        if full_at_s is None:
            full_at_s = self._old.get(key, now_s)
            if len(self._young) >= KEYS_MAX:
                self._old, self._young = self._young, {}
        full_at_s = max(full_at_s, now_s) + cost * self._token_s
        wait_s = full_at_s - now_s - self._bucket_s
        if wait_s > _ROUNDING_S:
            return wait_s
        self._young[key] = full_at_s
        return 0.0


class Limits:
    """The allowances of a server.

    Args:
        people: the allowance of each user, supporter and operator.
        services: the allowance of each service.
        refused: the allowance of each address whose tokens are refused.
    """

    def __init__(
        self, people: Allowance, services: Allowance, refused: Allowance | None = None
    ) -> None:
        self._people = people
        self._services = services
        self._refused = refused or Allowance(REFUSED_PER_S, REFUSED_BURST)

    def admit(self, principal: Principal, cost: float = 1.0) -> None:
        """Charge a principal.

        Args:
            cost: 1 for a request, and 1 for each record after the first.

        Raises:
            ProblemError: 429, with `Retry-After`.
        """
        allowance = self._services if principal.kind is Kind.SERVICE else self._people
        wait_s = allowance.take(principal.name, cost)
        if wait_s:
            raise too_many("this token's principal sends too many requests", wait_s)

    def suspect(self, address: str) -> None:
        """Charge an address for a refused token.

        Raises:
            ProblemError: 429, with `Retry-After`.
        """
        wait_s = self._refused.take(address)
        if wait_s:
            raise too_many("too many requests without a valid token came from here", wait_s)


def too_many(why: str, wait_s: float) -> ProblemError:
    """Make the answer 429.

    Args:
        wait_s: seconds after which the same request may succeed.
    """
    return ProblemError(
        429,
        "too-many-requests",
        "Too many requests",
        f"{why}; try again after the seconds that Retry-After says",
        headers={"Retry-After": str(max(1, int(wait_s + 0.999)))},
    )
