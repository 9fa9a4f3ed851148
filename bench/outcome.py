"""Whether a peer was right: its outputs against the generator's truth.

Owns: reading a peer's progress and portals back, read_committed, and comparing.
Does not own: the truth (truth.py), the speed (measure.py).
Invariant: a peer passes only when the accepted completions, the portals and every user's longest
streak and lifetime days are exactly the input's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from bench.errors import WrongResultError
from bench.truth import Truth
from pipeline.kafka.committed_log import CommittedLog

READ_TIMEOUT_S: Final = 300.0

Decode = Callable[[bytes], Any]
"""A progress record's bytes to a mapping of its fields."""


@dataclass(frozen=True)
class Outcome:
    """What a peer's outputs say.

    Attributes:
        accepted: the sum of all users' last revisions; each accepted completion raises one by one.
        progress: progress records. portals: portal records.
        users_wrong: users whose longest streak or lifetime days differ from the truth, or are
            absent.
    """

    accepted: int
    progress: int
    portals: int
    users_wrong: int


def read_outcome(bootstrap: str, prefix: str, truth: Truth, decode: Decode) -> Outcome:
    """Read `<prefix>progress` and `<prefix>portals` to their ends."""
    last: dict[bytes, bytes] = {}
    progress = 0
    with CommittedLog(bootstrap, [f"{prefix}progress"]) as log:
        for message in log.rest(READ_TIMEOUT_S):
            progress += 1
            last[_present(message.key())] = _present(message.value())
    with CommittedLog(bootstrap, [f"{prefix}portals"]) as log:
        portals = sum(1 for _ in log.rest(READ_TIMEOUT_S))
    accepted = 0
    right = 0
    for key, value in last.items():
        said = decode(value)
        accepted += said["revision"]
        user = truth.by_user.get(key.decode())
        if user is None:
            continue
        right += (
            said["longest_days"] == user.longest_days
            and said["lifetime_days"] == user.lifetime_days
        )
    strangers = len(last.keys() - {user.encode() for user in truth.by_user})
    return Outcome(accepted, progress, portals, len(truth.by_user) - right + strangers)


def check_outcome(name: str, outcome: Outcome, truth: Truth, *, collapsed: bool = False) -> None:
    """Refuse a peer whose results are wrong.

    Args:
        collapsed: it may write fewer progress records than it accepts completions.

    Raises:
        WrongResultError: with what it should have been.
    """
    problems = []
    if outcome.accepted != truth.accepted:
        problems.append(f"accepted {outcome.accepted}, should be {truth.accepted}")
    if outcome.portals != truth.portals:
        problems.append(f"portals {outcome.portals}, should be {truth.portals}")
    if outcome.users_wrong:
        problems.append(f"{outcome.users_wrong} users have a wrong streak")
    enough = len(truth.by_user) if collapsed else truth.accepted
    if not enough <= outcome.progress <= truth.accepted:
        problems.append(f"progress records {outcome.progress}, should be {truth.accepted}")
    if problems:
        raise WrongResultError(f"{name} is wrong", why="; ".join(problems))


def decode_json(value: bytes) -> Any:
    """For the peers that write JSON."""
    return msgspec.json.decode(value)


def _present(part: bytes | None) -> bytes:
    if part is None:
        raise WrongResultError("an output record has no key or no value")
    return part
