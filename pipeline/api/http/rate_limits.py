"""How often somebody may ask.

Owns: the allowance of each principal, and of each address that sends tokens which are refused.
Does not own: who asks (auth.py), how large and how long a request may be (limits_and_headers.py),
how many records may be on their way (ingest.py).
Invariants: a decision is a look-up and a few additions; memory is bounded, whoever asks; what is
forgotten to keep it so is an allowance that was not used lately.

The generic cell rate algorithm, which is a token bucket that keeps one number: the time at which
the bucket would be full again. The library `limits` does the same in 4 to 10 µs, this in 0.4; a
read of the API takes about 40 in all.
"""

import time
from collections.abc import Callable
from typing import Final

from pipeline.api.http.auth import Kind, Principal
from pipeline.api.http.problems import ProblemError

KEYS_MAX: Final = 100_000
"""So many principals are remembered twice over, before the ones not seen lately are forgotten."""

_ROUNDING_S: Final = 1e-6

REFUSED_PER_S: Final = 10.0
REFUSED_BURST: Final = 200
"""Requests without a valid token that one address may send."""


class Allowance:
    """Buckets of one size, by key.

    Args:
        per_s: tokens that come back in a second; 0: there is no limit.
        burst: tokens in a full bucket, 1 and up.
        now_s: a clock that never goes back, in s.
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
            cost: tokens; more than the bucket holds are never given.

        Returns:
            0 when they were there; else the seconds until they are, and none is taken.
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
        people: of each user, supporter and operator. services: of each service.
        refused: of each address whose tokens are refused.
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
            cost: 1 for a request; one more for each further record that it carries.

        Raises:
            ProblemError: 429, with `Retry-After`.
        """
        allowance = self._services if principal.kind is Kind.SERVICE else self._people
        wait_s = allowance.take(principal.name, cost)
        if wait_s:
            raise too_many("this token's principal sends too many requests", wait_s)

    def suspect(self, address: str) -> None:
        """Charge an address for a token that was refused.

        Raises:
            ProblemError: 429, with `Retry-After`.
        """
        wait_s = self._refused.take(address)
        if wait_s:
            raise too_many("too many requests without a valid token came from here", wait_s)


def too_many(why: str, wait_s: float) -> ProblemError:
    """The answer 429.

    Args:
        wait_s: after which the same may succeed.
    """
    return ProblemError(
        429,
        "too-many-requests",
        "Too many requests",
        f"{why}; try again after the seconds that Retry-After says",
        headers={"Retry-After": str(max(1, int(wait_s + 0.999)))},
    )
