"""Brokers that would break exactly-once are refused, each setting by name."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from pipeline.dev.local.stack import LocalStack
from pipeline.errors import EXIT_FAILED
from pipeline.ops.assets.catalogue import open_store, publish
from pipeline.worker.broker_checks import SWEEP, Times, UnsafeBrokerError, check_brokers
from tests.integration.ledger import Ledger

SAFE = {
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "offsets.topic.replication.factor": "3",
    "unclean.leader.election.enable": "false",
    SWEEP: "1000",
    "transaction.max.timeout.ms": "900000",
    "group.min.session.timeout.ms": "6000",
    "group.max.session.timeout.ms": "1800000",
}
SAFE_TOPIC = {"min.insync.replicas": "2", "unclean.leader.election.enable": "false"}
TIMES = Times(session_timeout_ms=10_000, transaction_timeout_ms=5_000)


class Brokers:
    """Brokers with these settings."""

    def __init__(
        self,
        broker: Mapping[str, str] | None = None,
        topic: Mapping[str, str] | None = None,
        replicas: int = 3,
    ) -> None:
        self._broker = SAFE | dict(broker or {})
        self._topic = SAFE_TOPIC | dict(topic or {})
        self._replicas = replicas

    def broker_settings(self) -> Mapping[str, Mapping[str, str]]:
        return {"1": SAFE, "2": self._broker}

    def topic_settings(self, topics: Iterable[str]) -> Mapping[str, Mapping[str, str]]:
        return dict.fromkeys(topics, self._topic)

    def replication_factors(self, topics: Iterable[str]) -> Mapping[str, int]:
        return dict.fromkeys(topics, self._replicas)


def test_safe_brokers_give_no_warning() -> None:
    assert check_brokers(Brokers(), ["audit"], TIMES, is_development=False) == []


@pytest.mark.parametrize(
    ("brokers", "named"),
    [
        (Brokers({"transaction.state.log.replication.factor": "1"}), "broker 2: transaction.state"),
        (Brokers({"transaction.state.log.min.isr": "1"}), "transaction.state.log.min.isr=1"),
        (Brokers({"offsets.topic.replication.factor": "2"}), "needs 3 and up"),
        (Brokers({"unclean.leader.election.enable": "true"}), "broker 2: unclean.leader"),
        (Brokers(topic={"unclean.leader.election.enable": "true"}), "topic audit: unclean.leader"),
        (Brokers(topic={"min.insync.replicas": "1"}), "topic audit: min.insync.replicas=1"),
        (Brokers(replicas=2), "topic audit: replication factor=2"),
    ],
)
def test_what_can_lose_a_commit_is_refused_but_for_development(
    brokers: Brokers, named: str
) -> None:
    with pytest.raises(UnsafeBrokerError) as caught:
        check_brokers(brokers, ["audit"], TIMES, is_development=False)
    assert named in caught.value.why
    assert "AWAWAY_DEVELOPMENT_BROKER" in caught.value.fix
    warned = check_brokers(brokers, ["audit"], TIMES, is_development=True)
    assert any(named in warning for warning in warned)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("transaction.max.timeout.ms", "4999"),
        ("group.min.session.timeout.ms", "10001"),
        ("group.max.session.timeout.ms", "9999"),
    ],
)
def test_what_cannot_work_is_refused_always(setting: str, value: str) -> None:
    with pytest.raises(UnsafeBrokerError, match=setting):
        check_brokers(Brokers({setting: value}), ["audit"], TIMES, is_development=True)


def test_a_slow_sweep_is_a_warning() -> None:
    slow = Brokers({SWEEP: "10000"})
    (warning,) = check_brokers(slow, ["audit"], TIMES, is_development=False)
    assert f"{SWEEP}=10000" in warning


def test_every_wrong_setting_is_named_at_once() -> None:
    wrong = Brokers({"transaction.state.log.min.isr": "1"}, {"min.insync.replicas": "1"}, 1)
    with pytest.raises(UnsafeBrokerError) as caught:
        check_brokers(wrong, ["audit", "portals"], TIMES, is_development=False)
    assert [line.split("=")[0] for line in caught.value.why.splitlines()] == [
        "broker 2: transaction.state.log.min.isr",
        "2 topics, as audit: min.insync.replicas",
        "2 topics, as audit: replication factor",
    ]


@pytest.fixture
def ledger(stack: LocalStack, topic_prefix: str, tmp_path: Path) -> Iterator[Ledger]:
    assets = tmp_path / "assets"
    publish(open_store(str(assets), create=True))
    made = Ledger(stack, topic_prefix, tmp_path, assets)
    made.set_up()
    yield made
    made.close()


def test_a_single_real_broker_is_refused_unless_told(ledger: Ledger) -> None:
    worker = ledger.start_worker(DEVELOPMENT_BROKER="false", LOG_FORMAT="json")
    assert worker.wait(60) == EXIT_FAILED
    last = next(
        line
        for line in reversed(ledger.log().splitlines())
        if line.startswith("{") and "exactly-once" in line
    )
    assert "transaction.state.log.replication.factor=1" in json.dumps(json.loads(last))
    assert "topics, as" in last
    assert "replication factor=1, needs 3 and up" in last
