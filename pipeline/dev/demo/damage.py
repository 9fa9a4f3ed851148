"""Damaging users' states, as a disk that lies would.

Owns: whom it hits, what is lost, the record in the changelog.
Does not own: how it is found and put right (pipeline/rebuild/), the order of steps (rebuild.py).
Invariants: it takes practised dates away and nothing else, so unlocked portals stay. What is left
of the last run is too short to reach a portal on another date than the log says, before the days
that are still to come are over.
"""

from typing import Final

import msgspec
from confluent_kafka import KafkaError, Message, Producer

from pipeline.codec.state import decode_state, encode_state
from pipeline.core.sets import digest_of
from pipeline.core.state import UserState
from pipeline.dev.demo.errors import DemoError
from pipeline.dev.demo.stage import Stage
from pipeline.kafka.committed_log import LOG_LEVEL, CommittedLog

USERS_PER_DAMAGED: Final = 100
DAMAGED_MIN: Final = 3
"""One user in so many is damaged, and at least these."""

_TIMEOUT_S: Final = 60.0


def damage(stage: Stage, users: int, days_left: int) -> list[str]:
    """Take dates away from some users' states, in the changelog alone.

    Args:
        stage: no worker runs on it.
        users: of the demo.
        days_left: that are still to come; each damaged user loses more.

    Returns:
        The ids of the users who were hit, sorted.

    Raises:
        DemoError: nobody has practised long enough, or the broker refused.
    """
    topic = stage.settings.topic(f"{stage.settings.generation}.streaks-changelog")
    last: dict[bytes, tuple[int, bytes]] = {}
    with CommittedLog(stage.settings.kafka_client(), [topic]) as log:
        for record in log.rest(_TIMEOUT_S):
            key, value = record.key(), record.value()
            if key and value and not key.startswith(b"\0"):
                last[key] = (int(record.partition() or 0), value)
    states = {key: decode_state(value) for key, (_, value) in last.items()}
    count = max(DAMAGED_MIN, users // USERS_PER_DAMAGED)
    hit = [key for key in sorted(states) if last_run_days(states[key]) > days_left + 1][:count]
    if not hit:
        raise DemoError(
            f"nobody has practised on more than {days_left + 1} days in a row",
            fix="take more --users or more --days",
        )
    failed: list[str] = []

    def delivered(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failed.append(str(error))

    producer = Producer({**stage.settings.kafka_client(), "log_level": LOG_LEVEL})
    for key in hit:
        value = encode_state(damaged(states[key]))
        producer.produce(topic, value, key, partition=last[key][0], on_delivery=delivered)
    if producer.flush(_TIMEOUT_S) or failed:
        raise DemoError("no state could be damaged", why=failed[0] if failed else "no answer")
    return [key.decode() for key in hit]


def last_run_days(state: UserState) -> int:
    """The length of the last run of practised dates, in days."""
    return state.sets.practised[-1][1] if state.sets.practised else 0


def damaged(state: UserState) -> UserState:
    """The state with only the last date left of its last run of practised dates."""
    *before, (start, length) = state.sets.practised
    kept = (*before, (start + length - 1, 1))
    sets = msgspec.structs.replace(state.sets, practised=kept)
    return msgspec.structs.replace(state, sets=sets, digest=digest_of(sets))
