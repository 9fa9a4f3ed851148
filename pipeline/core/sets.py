"""The grow-only sets that a user consists of.

Owns: the sets, how each grows, what they cover, and their digest.
Does not own: what makes them grow (fold.py), what is derived from the covered dates (streak.py).
Invariants: nothing is ever removed; any order of the same additions ends in equal sets, and equal
sets have equal bytes and equal digests.
"""

from bisect import bisect_left
from hashlib import blake2b
from typing import Final

import msgspec

from pipeline.core.enumerations import RequestKind
from pipeline.core.records import LocalDate
from pipeline.core.runs import Runs, contains, difference, from_numbers, union, with_number

REQUESTS_MAX: Final = 10_000
"""Most requests of one kind for one user; far above what support and rewards ever ask for in a
lifetime."""

Dated = tuple[tuple[str, LocalDate], ...]
"""(request id, date), sorted."""

Named = tuple[tuple[str, str], ...]
"""(request id, what it names), sorted."""


class Sets(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Everything kept about a user that has a meaning.

    Attributes:
        practised, bridged: dates. A bridged date may also be practised; it shows as practised.
        credits, revocations: what support gave and took, live or withdrawn.
        withdrawals: (request id of the withdrawal, request id that it cancels).
        claims: (request id, key id), granted yet or not.
        unlocked: for each slug, sorted, the laps in which the portal was unlocked.
    """

    practised: Runs = ()
    bridged: Runs = ()
    credits: Dated = ()
    revocations: Dated = ()
    withdrawals: Named = ()
    claims: Named = ()
    unlocked: tuple[tuple[str, Runs], ...] = ()


_encoder: Final = msgspec.msgpack.Encoder()


def digest_of(sets: Sets) -> str:
    """Return BLAKE2b of the sets' encoding: 16 hexadecimal digits, the same in every generation."""
    return blake2b(_encoder.encode(sets), digest_size=8).hexdigest()


def withdrawn(sets: Sets) -> frozenset[str]:
    """Return the request ids that were withdrawn, whether they have come yet or not."""
    return frozenset(target for _, target in sets.withdrawals)


def live_dates(requests: Dated, cancelled: frozenset[str]) -> Runs:
    """Return the dates of the requests that were not withdrawn."""
    return from_numbers(date for request, date in requests if request not in cancelled)


def covered(sets: Sets) -> Runs:
    """Return the dates that count: practised, bridged or credited, and not revoked."""
    # equivalent (False): a short cut; empty sets add and take away no date
    if not (sets.bridged or sets.credits or sets.revocations):
        # equivalent (removed): a short cut; empty sets add and take away no date
        return sets.practised
    cancelled = withdrawn(sets)
    given = union(union(sets.practised, sets.bridged), live_dates(sets.credits, cancelled))
    # guard (argument): a revocation wins over a credit
    return difference(given, live_dates(sets.revocations, cancelled))


def revoking(sets: Sets, date: LocalDate) -> tuple[str, ...]:
    """Return the requests, sorted, that revoke a date and were not withdrawn."""
    # equivalent (False): a short cut; of no revocations no request comes out
    if not sets.revocations:
        # equivalent (removed): a short cut; of no revocations no request comes out
        return ()
    cancelled = withdrawn(sets)
    return tuple([req for req, on in sets.revocations if on == date and req not in cancelled])


def claimed_keys(sets: Sets) -> tuple[str, ...]:
    """Return the key ids with a claim that was not withdrawn, sorted."""
    # equivalent (False): a short cut; of no claims no key comes out
    if not sets.claims:
        # equivalent (removed): a short cut; of no claims no key comes out
        return ()
    cancelled = withdrawn(sets)
    return tuple(sorted({key for request, key in sets.claims if request not in cancelled}))


_FIELDS: Final[dict[RequestKind, str]] = {
    "credit": "credits",
    "revoke": "revocations",
    "withdraw": "withdrawals",
    "claim_key": "claims",
}


def request_of(sets: Sets, request_id: str) -> tuple[RequestKind, LocalDate | str] | None:
    """Return the kind of a request that was taken in, and its date or the id that it names."""
    for kind, field in _FIELDS.items():
        requests: tuple[tuple[str, LocalDate | str], ...] = getattr(sets, field)
        i = bisect_left(requests, request_id, key=_request_id)
        if i < len(requests) and requests[i][0] == request_id:
            return kind, requests[i][1]
    return None


def request_count(sets: Sets, kind: RequestKind) -> int:
    """Return how many requests of a kind were taken in."""
    return len(getattr(sets, _FIELDS[kind]))


def with_request(sets: Sets, kind: RequestKind, request_id: str, about: LocalDate | str) -> Sets:
    """Return the sets with one more request.

    Args:
        request_id: that `request_of` does not know.
        about: the date of a credit or revoke, the id that another kind names.
    """
    requests = getattr(sets, _FIELDS[kind])
    i = bisect_left(requests, request_id, key=_request_id)
    added = (*requests[:i], (request_id, about), *requests[i:])
    return msgspec.structs.replace(sets, **{_FIELDS[kind]: added})


def _request_id(request: tuple[str, LocalDate | str]) -> str:
    return request[0]


def is_unlocked(sets: Sets, lap: int, slug: str) -> bool:
    """Tell whether a portal was unlocked in a lap."""
    for name, laps in sets.unlocked:
        if name == slug:
            return contains(laps, lap)
    return False


def with_unlocked(
    unlocked: tuple[tuple[str, Runs], ...], lap: int, slug: str
) -> tuple[tuple[str, Runs], ...]:
    """Return the unlocked portals with one more."""
    laps = dict(unlocked)
    laps[slug] = with_number(laps.get(slug, ()), lap)
    return tuple(sorted(laps.items()))
