"""Whether the brokers keep what exactly-once leans on.

Owns: the broker and topic settings that a worker needs, why, and the refusal.
Does not own: the topics' own shape (checks.py), setting any of them.
Invariant: checks only read; each refusal names every setting that is wrong, not just the first.

A transaction that was committed must not be lost with one broker: its log, the group's offsets and
the topics all stand on several, and no replica that is behind may become leader. One broker alone
cannot promise that, so it is refused unless the worker is told that it is one for development.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from pipeline.errors import AwawayError

REPLICAS_MIN: Final = 3
IN_SYNC_MIN: Final = 2
SWEEP_MS_MAX: Final = 2_000
SWEEP: Final = "transaction.abort.timed.out.transaction.cleanup.interval.ms"


class UnsafeBrokerError(AwawayError):
    """The brokers are set up so that a committed transaction can be lost, or none can be made.

    Operator action: set what the message names; on a broker for development only, set
    `AWAWAY_DEVELOPMENT_BROKER=true`.
    """


class Brokers(Protocol):
    """What is asked of the cluster; `engine.kafka.cluster.KafkaCluster` is one."""

    def broker_settings(self) -> Mapping[str, Mapping[str, str]]:
        """The settings of each broker, by its id."""
        ...

    def topic_settings(self, topics: Iterable[str]) -> Mapping[str, Mapping[str, str]]:
        """The settings of each topic as the brokers apply them."""
        ...

    def replication_factors(self, topics: Iterable[str]) -> Mapping[str, int]:
        """The least number of replicas that a partition of each topic has."""
        ...


@dataclass(frozen=True)
class Times:
    """What the worker asks of the brokers, in milliseconds."""

    session_timeout_ms: int
    transaction_timeout_ms: int


@dataclass(frozen=True)
class _Need:
    """A setting, what it has to be, and what happens otherwise."""

    setting: str
    is_met: Callable[[str], bool]
    needed: str
    otherwise: str


def _at_least(setting: str, least: int, otherwise: str) -> _Need:
    return _Need(setting, lambda found: int(found) >= least, f"{least} and up", otherwise)


def _at_most(setting: str, most: int, otherwise: str) -> _Need:
    return _Need(setting, lambda found: int(found) <= most, f"{most} at most", otherwise)


UNCLEAN: Final = _Need(
    "unclean.leader.election.enable",
    lambda found: found == "false",
    "false",
    "a replica that is behind could become leader, and committed records would be gone",
)
DURABILITY: Final = (
    _at_least(
        "transaction.state.log.replication.factor",
        REPLICAS_MIN,
        "open transactions could not be settled after the loss of one broker",
    ),
    _at_least(
        "transaction.state.log.min.isr",
        IN_SYNC_MIN,
        "a commit could be acknowledged by one broker alone and be lost with it",
    ),
    _at_least(
        "offsets.topic.replication.factor",
        REPLICAS_MIN,
        "the group's offsets could be lost with one broker",
    ),
    UNCLEAN,
)
TOPIC_DURABILITY: Final = (
    _at_least(
        "min.insync.replicas",
        IN_SYNC_MIN,
        "a record could be acknowledged by one broker alone and be lost with it",
    ),
    UNCLEAN,
)


def check_brokers(
    brokers: Brokers, topics: Iterable[str], times: Times, *, is_development: bool
) -> list[str]:
    """Check what exactness leans on.

    Args:
        topics: full names of the worker's inputs, outputs and changelogs; they exist.
        times: of this worker.
        is_development: told that losing a broker may lose data here.

    Returns:
        What is worth a warning: what is slower than it need be, and on a development broker what
        would be refused elsewhere.

    Raises:
        UnsafeBrokerError: naming every setting that is wrong.
        BrokerError: it did not answer.
    """
    topics = list(topics)
    settings = brokers.broker_settings()
    impossible = _unmet(_possible(times), settings, "broker")
    unsafe = _unmet(DURABILITY, settings, "broker")
    unsafe += _unmet(TOPIC_DURABILITY, brokers.topic_settings(topics), "topic")
    replicas = {
        topic: {_REPLICAS.setting: str(found)}
        for topic, found in brokers.replication_factors(topics).items()
    }
    unsafe += _unmet((_REPLICAS,), replicas, "topic")
    if impossible or (unsafe and not is_development):
        raise UnsafeBrokerError(
            "the brokers' settings would break exactly-once",
            why="\n".join(impossible + ([] if is_development else unsafe)),
            fix="set them as said (topics: `awaway topics apply` after replication in topics.yaml);"
            " on a broker for development only, AWAWAY_DEVELOPMENT_BROKER=true",
        )
    return _unmet((_SLOW_SWEEP,), settings, "broker") + unsafe


_REPLICAS: Final = _at_least(
    "replication factor", REPLICAS_MIN, "its records could be lost with one broker"
)
_SLOW_SWEEP: Final = _at_most(
    SWEEP, SWEEP_MS_MAX, "what a dead worker left open keeps its partitions waiting for as long"
)


def _possible(times: Times) -> tuple[_Need, ...]:
    return (
        _at_least(
            "transaction.max.timeout.ms",
            times.transaction_timeout_ms,
            "the worker's transactions would be refused (AWAWAY_TRANSACTION_TIMEOUT_MS)",
        ),
        _at_most(
            "group.min.session.timeout.ms",
            times.session_timeout_ms,
            "the worker could not join its group (AWAWAY_SESSION_TIMEOUT_MS)",
        ),
        _at_least(
            "group.max.session.timeout.ms",
            times.session_timeout_ms,
            "the worker could not join its group (AWAWAY_SESSION_TIMEOUT_MS)",
        ),
    )


def _unmet(
    needs: Iterable[_Need], settings: Mapping[str, Mapping[str, str]], what: str
) -> list[str]:
    """What is wrong, one line for each setting and value, however many have it.

    A setting that a broker does not have cannot be wrong.
    """
    problems = []
    for need in needs:
        wrong: dict[str, list[str]] = {}
        for name, its in settings.items():
            found = its.get(need.setting)
            if found is not None and not need.is_met(found):
                wrong.setdefault(found, []).append(name)
        problems += [
            f"{_named(what, names)}: {need.setting}={found}, needs {need.needed}: {need.otherwise}"
            for found, names in wrong.items()
        ]
    return problems


def _named(what: str, names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"{what} {names[0]}"
    return f"{len(names)} {what}s, as {names[0]}"
