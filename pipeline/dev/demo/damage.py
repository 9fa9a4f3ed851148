"""Damaging users' states, as a disk that lies would.

Owns: what is lost, the record in the changelog; whom a demonstration hits.
Does not own: how it is found and put right (pipeline/rebuild/), the order of steps (rebuild.py).
Invariant: it takes practised dates away and nothing else, so unlocked portals stay.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import msgspec
from confluent_kafka import KafkaError, Message, Producer

from pipeline.codec.state import decode_state, encode_state
from pipeline.core.sets import digest_of
from pipeline.core.state import UserState
from pipeline.dev.demo.errors import DemoError
from pipeline.kafka.committed_log import LOG_LEVEL, CommittedLog

USERS_PER_DAMAGED: Final = 100
DAMAGED_MIN: Final = 3
"""One user in so many is damaged, and at least these."""

_TIMEOUT_S: Final = 60.0

Choice = Callable[[Mapping[str, UserState]], Collection[str]]
"""Given the states by user, returns who is to be damaged."""


def some(users: int, days_left: int) -> Choice:
    """Choose some of those whose portals cannot come out otherwise because of the damage.

    What is left of the last run is too short to reach a portal on another date than the log says,
    before the days that are still to come are over.

    Args:
        users: of the demonstration.
        days_left: that are still to come; each damaged user loses more.
    """

    def choose(states: Mapping[str, UserState]) -> Collection[str]:
        long = [one for one in sorted(states) if last_run_days(states[one]) > days_left + 1]
        if not long:
            raise DemoError(
                f"nobody has practised on more than {days_left + 1} days in a row",
                fix="take more --users or more --days",
            )
        return long[: max(DAMAGED_MIN, users // USERS_PER_DAMAGED)]

    return choose


def damage(client: Mapping[str, Any], changelog: str, choose: Choice) -> list[str]:
    """Take dates away from some users' states, in the changelog alone.

    Args:
        client: librdkafka settings that reach the cluster.
        changelog: of the users; no worker writes to it meanwhile.

    Returns:
        The ids of the users who were hit, sorted.

    Raises:
        DemoError: there is nobody to hit, or the broker refused.
        UnreadableLogError: the changelog cannot be read.
    """
    last: dict[str, tuple[int, bytes]] = {}
    with CommittedLog(client, [changelog]) as log:
        for record in log.rest(_TIMEOUT_S):
            key, value = record.key(), record.value()
            if key and value and not key.startswith(b"\0"):
                last[key.decode()] = (int(record.partition() or 0), value)
    states = {user_id: decode_state(value) for user_id, (_, value) in last.items()}
    hit = sorted(choose(states))
    failed: list[str] = []

    def delivered(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failed.append(str(error))

    producer = Producer({**client, "log_level": LOG_LEVEL})
    for user_id in hit:
        value = encode_state(damaged(states[user_id]))
        producer.produce(
            changelog, value, user_id.encode(), partition=last[user_id][0], on_delivery=delivered
        )
    if producer.flush(_TIMEOUT_S) or failed:
        raise DemoError("no state could be damaged", why=failed[0] if failed else "no answer")
    return hit


def last_run_days(state: UserState) -> int:
    """The length of the last run of practised dates, in days."""
    return state.sets.practised[-1][1] if state.sets.practised else 0


def damaged(state: UserState) -> UserState:
    """The state with only the last date left of its last run of practised dates."""
    *before, (start, length) = state.sets.practised
    kept = (*before, (start + length - 1, 1))
    sets = msgspec.structs.replace(state.sets, practised=kept)
    return msgspec.structs.replace(state, sets=sets, digest=digest_of(sets))
