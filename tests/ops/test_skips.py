"""What the topic of skips says, and which inputs can be put aside; without a broker."""

import json
from typing import cast

import msgspec
import pytest
from confluent_kafka import Message

from pipeline.cli import main as cli
from pipeline.errors import AwawayError
from pipeline.kafka import committed_log
from pipeline.ops import skips as module
from pipeline.ops.skips import Skip, by_partition, current

SKIP = Skip("awaway.completions", 2, 41, "eva", "it ends the decoder", "O-12", 0)
BECAUSE = ("--reason", "it ends the decoder", "--ticket", "O-12", "--yes")


class Written:
    """A record of the topic."""

    def __init__(self, key: str, value: bytes | None) -> None:
        self._key, self._value = key.encode(), value

    def key(self) -> bytes:
        return self._key

    def value(self) -> bytes | None:
        return self._value

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 7


def skips(*records: tuple[str, bytes | None]) -> list[Skip]:
    return current(cast(list[Message], [Written(*record) for record in records]))


def test_of_each_key_the_last_record_holds() -> None:
    later = msgspec.structs.replace(SKIP, ticket="O-13")
    added, again = msgspec.json.encode(SKIP), msgspec.json.encode(later)
    assert skips((SKIP.place, added)) == [SKIP]
    assert skips((SKIP.place, added), (SKIP.place, again)) == [later]
    assert skips((SKIP.place, added), (SKIP.place, None)) == []
    assert by_partition([SKIP]) == {(SKIP.topic, 2): {41: SKIP}}


@pytest.mark.parametrize("bad", [b"", b"no json", b"{}", b"\xff"])
def test_a_tombstone_mends_a_bad_record_before_the_topic_is_compacted(bad: bytes) -> None:
    assert skips(("k", bad), ("k", None), (SKIP.place, msgspec.json.encode(SKIP))) == [SKIP]
    with pytest.raises(AwawayError, match="is none") as found:
        skips(("k", bad))
    assert "b'k'" in str(found.value.why) and "tombstone" in found.value.fix


@pytest.mark.parametrize("command", ["add", "withdraw"])
def test_only_an_input_is_put_aside(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    because = BECAUSE if command == "add" else ()
    code = cli.run(["skip", command, "deadletters", "0", "1", *because, "-o", "json"])
    error = json.loads(capsys.readouterr().out)
    assert (code, error["what"]) == (2, "'deadletters' is no topic of inputs")
    assert "completions or commands" in error["fix"]


def test_nobody_can_type_who_asks(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("skip", "add", "completions", "0", "1", "--actor", "eva", *BECAUSE, "-o", "json")
    assert cli.run(words) == 2
    assert "--actor" in json.loads(capsys.readouterr().out)["what"]


def test_an_offset_that_no_broker_has_is_a_wrong_word(capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.run(["skip", "add", "completions", "0", str(2**63), *BECAUSE, "-o", "json"])
    assert code == 2 and "9223372036854775807" in json.loads(capsys.readouterr().out)["what"]


@pytest.mark.parametrize("words", [("list",), ("add", "completions", "0", "1", *BECAUSE)])
def test_brokers_that_do_not_answer_are_told_in_words(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setattr(committed_log, "REQUEST_TIMEOUT_S", 0.3)
    monkeypatch.setattr(module, "_REQUEST_S", 0.3)
    monkeypatch.setenv("AWAWAY_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    assert cli.run(["skip", *words, "-o", "json"]) == 1
    told = capfd.readouterr()
    error = json.loads(told.out)
    assert "the brokers do not answer" in f"{error['what']}: {error['why']}"
    assert (error["fix"], told.err) == ("check AWAWAY_BOOTSTRAP_SERVERS", "")
