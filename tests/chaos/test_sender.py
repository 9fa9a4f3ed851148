"""A producer that delivers nothing any more is replaced; one that only waits is not."""

from collections.abc import Callable
from typing import Any, cast

import confluent_kafka as ck
import pytest

from chaos import sender
from chaos.ledger import Ledger
from chaos.sender import Sender
from pipeline.dev.workload.ground_truth import InputRecord

RECORD = InputRecord("completions", None, b"ada", b"{}", 0, (), "")


class Client:
    """A producer that delivers, keeps or refuses what it is given."""

    def __init__(self, habit: str) -> None:
        self.habit = habit
        self.kept: list[Callable[[Any, Any], None]] = []

    def __len__(self) -> int:
        return len(self.kept)

    def produce(self, *_: Any, on_delivery: Callable[[Any, Any], None], **__: Any) -> None:
        if self.habit == "refuses":
            raise ck.KafkaException(ck.KafkaError(ck.KafkaError._FATAL))
        self.kept.append(on_delivery)

    def poll(self, _: float) -> None:
        while self.kept and self.habit == "delivers":
            self.kept.pop()(None, None)

    def purge(self) -> None:
        self.kept.clear()


class Clients:
    """A ledger that gives out one client after the other."""

    def __init__(self, *habits: str) -> None:
        self.made: list[Client] = []
        self._habits = iter(habits)

    def new_producer(self, **_: Any) -> Client:
        self.made.append(Client(next(self._habits)))
        return self.made[-1]

    def topic(self, name: str) -> str:
        return name


@pytest.mark.parametrize("habit", ["keeps", "refuses"])
def test_a_client_that_has_gone_silent_is_replaced(
    monkeypatch: pytest.MonkeyPatch, habit: str
) -> None:
    clients = Clients(habit, "keeps")
    sending = Sender(cast(Ledger, clients))
    monkeypatch.setattr(sender, "SILENT_S", 3_600)
    sending.send(RECORD)
    sending.poll()
    assert sending.replaced == 0
    monkeypatch.setattr(sender, "SILENT_S", -1)
    sending.poll()
    assert sending.replaced == 1
    monkeypatch.setattr(sender, "SILENT_S", 3_600)
    sending.send(RECORD)
    assert [len(one) for one in clients.made] == [0, 1]


def test_flushing_ends_when_all_is_delivered_or_the_client_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sender, "SILENT_S", 3_600)
    sending = Sender(cast(Ledger, Clients("delivers")))
    sending.send(RECORD)
    sending.flush()
    assert sending.replaced == 0
    sending = Sender(cast(Ledger, Clients("keeps", "keeps")))
    sending.send(RECORD)
    monkeypatch.setattr(sender, "SILENT_S", -1)
    sending.flush()
    assert sending.replaced == 1


def test_a_client_without_anything_to_deliver_may_be_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sender, "SILENT_S", -1)
    sending = Sender(cast(Ledger, Clients("delivers")))
    sending.poll()
    assert sending.replaced == 0
