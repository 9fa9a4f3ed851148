"""The question for the group's members: who asks stops waiting, the client goes on."""

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.engine.errors import BrokerError
from pipeline.engine.kafka import group as asking
from pipeline.engine.kafka import unanswered
from pipeline.engine.kafka.config import KafkaConfig
from pipeline.engine.kafka.group import KafkaGroup


class SlowAdmin:
    """Takes a request and answers when it is told to.

    librdkafka 2.16 ends the process when a request's own time-out passes while the group's
    coordinator is being looked for: one that is frozen, or whose broker is, may come to that.
    """

    def __init__(self) -> None:
        self.answer: Future[Any] = Future()
        self.time_out_s = 0.0

    def list_topics(self, _topic: str, timeout: float) -> None:
        assert timeout > 0

    def describe_consumer_groups(
        self, names: list[str], request_timeout: float
    ) -> dict[str, Future[Any]]:
        self.time_out_s = request_timeout
        return dict.fromkeys(names, self.answer)


def held() -> list[Any]:
    return list(unanswered.held())


def test_a_late_answer_is_not_waited_for_and_its_client_is_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    admins = [SlowAdmin() for _ in range(asking.ATTEMPTS_MAX + 1)]
    made = iter(admins)
    monkeypatch.setattr(asking, "AdminClient", lambda *_, **__: next(made))
    monkeypatch.setattr(asking, "REQUEST_TIMEOUT_S", 0.06)
    monkeypatch.setattr(unanswered, "_held", [])
    group = KafkaGroup(KafkaConfig({}, "group", "slot"))
    with pytest.raises(BrokerError, match="no answer about the group"):
        group.members()
    assert held() == admins[: asking.ATTEMPTS_MAX]
    assert admins[0].time_out_s == asking.NEVER_S
    for admin in admins:
        admin.answer.set_result(SimpleNamespace(members=["ada"]))
    assert group.members() == ["ada"]
    assert held() == admins[-1:]
