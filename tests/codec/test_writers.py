"""What a worker says of a schema id, and what that asks of the registry and of those who wait."""

import logging
import threading
from typing import Any

import pytest
from confluent_kafka.schema_registry import SchemaRegistryError
from httpx2 import ConnectError

from pipeline.codec import writers
from pipeline.codec.avro import framing
from pipeline.codec.avro_reader import UnresolvableSchemaError
from pipeline.codec.errors import (
    DecodeError,
    RegistryUnavailableError,
    SchemaNotReadableError,
    UnknownSchemaIdError,
)
from pipeline.codec.inputs import InputDecoder
from pipeline.codec.writers import (
    READINGS_AT_ONCE,
    REFUSED_S,
    UNKNOWN_MAX,
    UNKNOWN_S,
    WAIT_S,
    subjects_of,
)
from tests.codec.registry_scene import REFUSALS, SILENCES, FakeRegistry, raising
from tests.codec.samples import SCHEMAS
from tests.codec.writers_scene import BROKER_MS, SUBJECT, TEXT, Scene


@pytest.fixture
def scene() -> Scene:
    return Scene()


def unknown(scene: Scene, schema_id: int) -> str:
    with pytest.raises(UnknownSchemaIdError) as caught:
        scene.schemas.writer_schema(schema_id)
    return str(caught.value)


def test_what_is_in_the_table_is_told_whatever_the_registry_does(scene: Scene) -> None:
    scene.schemas.prefetch()
    scene.registry.answer = raising(ConnectError("gone"))
    for _ in range(3):
        scene.appended()
        assert scene.schemas.writer_schema(11)["name"] == "PracticeCompleted"
    assert scene.readings == 1


def test_the_first_record_of_a_new_version_is_not_lost(scene: Scene) -> None:
    """A producer registers and sends at once; nobody has read the subject since."""
    scene.schemas.prefetch()
    for schema_id in range(20, 60):
        scene.clock.now_s += 5
        scene.registry.put(SUBJECT, schema_id, TEXT)
        scene.appended(age_s=0.001)
        assert scene.schemas.writer_schema(schema_id)["name"] == "PracticeCompleted"


def test_an_id_of_no_version_is_unknown_at_once(scene: Scene) -> None:
    scene.schemas.prefetch()
    scene.clock.now_s += 60
    scene.appended()
    message = unknown(scene, 12)
    assert "schema id 12 is not among the versions of c-value" in message
    assert scene.readings == 2


def test_a_flood_asks_once_for_a_batch_and_for_all_that_were_in_the_log(scene: Scene) -> None:
    scene.schemas.prefetch()
    scene.clock.now_s += 60
    scene.appended(age_s=0.2)
    for schema_id in range(1_000, 2_000):
        unknown(scene, schema_id)
    asked = len(scene.registry.asked)
    scene.clock.now_s += 0.1
    scene.appended(age_s=0.3)  # appended a moment before the reading
    for schema_id in range(2_000, 6_000):
        unknown(scene, schema_id)
    assert len(scene.registry.asked) == asked
    assert scene.readings == 2


def test_a_flood_that_goes_on_is_read_for_once_a_second(scene: Scene) -> None:
    scene.schemas.prefetch()
    scene.clock.now_s += 60
    said = []
    for n in range(100):
        scene.clock.now_s += 0.1
        scene.appended()
        said.append(unknown(scene, 1_000 + n))
    assert scene.readings <= 1 + READINGS_AT_ONCE + 10
    assert sum("s ago" in one for one in said) > 80
    scene.clock.now_s += 10
    scene.registry.put(SUBJECT, 12, TEXT)
    scene.appended()
    assert scene.schemas.writer_schema(12)


def test_a_registry_that_is_slow_is_read_for_a_tenth_of_the_time(scene: Scene) -> None:
    scene.schemas.prefetch()
    scene.reading_s = 0.4  # of each of the two requests
    begun = scene.clock.now_s
    for n in range(2_000):
        scene.clock.now_s += 0.1
        scene.appended()
        with pytest.raises((UnknownSchemaIdError, RegistryUnavailableError)):
            scene.schemas.writer_schema(1_000 + n)
    spent = 0.8 * scene.readings
    assert spent < 0.15 * (scene.clock.now_s - begun) + 0.8 * READINGS_AT_ONCE


def test_an_id_that_was_not_there_is_not_read_for_again_for_a_while(scene: Scene) -> None:
    scene.schemas.prefetch()
    for _ in range(20):
        scene.appended()
        unknown(scene, 12)
        scene.clock.now_s += 1
    assert scene.readings == 1
    scene.registry.put(SUBJECT, 12, TEXT)
    scene.clock.now_s += UNKNOWN_S
    scene.appended()
    assert scene.schemas.writer_schema(12)
    for schema_id in range(1_000, 1_000 + 2 * UNKNOWN_MAX):
        unknown(scene, schema_id)
    assert len(scene.schemas._unknown_until) == UNKNOWN_MAX


def test_clocks_need_not_agree(scene: Scene) -> None:
    """What is younger than a reading is told by the broker's clock alone."""
    scene.schemas.prefetch()
    scene.appended(age_s=30)  # a backlog: as far as we know, the log's time is 30 s ago
    unknown(scene, 50)
    asked = scene.readings
    scene.clock.now_s += 0.1
    scene.registry.put(SUBJECT, 12, TEXT)
    scene.appended(age_s=29)  # may be of after the reading
    assert scene.schemas.writer_schema(12)
    assert scene.readings == asked + 1
    scene.appended(age_s=0, partition=3)  # another leader's clock says nothing of this one
    scene.clock.now_s += 0.1
    scene.registry.put(SUBJECT, 13, TEXT)
    scene.appended(age_s=20)
    assert scene.schemas.writer_schema(13)


def test_a_brokers_clock_that_is_set_back_is_believed_in_the_end(scene: Scene) -> None:
    scene.appended(age_s=-10)
    scene.clock.now_s += 11_000
    scene.schemas.prefetch()
    scene.clock.now_s += 0.5
    scene.registry.put(SUBJECT, 12, TEXT)
    scene.appended()
    assert scene.schemas.writer_schema(12)


@pytest.mark.parametrize("failure", SILENCES)
def test_no_answer_is_waited_for_however_long(scene: Scene, failure: Exception) -> None:
    scene.registry.answer = raising(failure)
    for _ in range(1_000):
        scene.appended()
        with pytest.raises(RegistryUnavailableError):
            scene.schemas.writer_schema(12)
        scene.clock.now_s += 1
    assert scene.readings < 100
    scene.registry.answer = lambda _: None
    scene.registry.put(SUBJECT, 12, TEXT)
    scene.clock.now_s += 15
    scene.appended()
    assert scene.schemas.writer_schema(12)


@pytest.mark.parametrize("failure", REFUSALS)
def test_a_refusal_is_told_after_a_while(scene: Scene, failure: Exception) -> None:
    scene.schemas.prefetch()
    scene.registry.answer = raising(failure)
    first = scene.clock.now_s + 1
    outcomes = []
    for _ in range(150):
        scene.clock.now_s += 1
        scene.appended()
        assert scene.schemas.writer_schema(11)
        try:
            scene.schemas.writer_schema(12)
        except RegistryUnavailableError:
            outcomes.append("away")
        except SchemaNotReadableError as error:
            if "not readable" not in outcomes:
                assert scene.clock.now_s - first >= REFUSED_S
                assert f"HTTP {getattr(failure, 'http_status_code', 200)}" in str(error)
                assert SUBJECT in str(error)
            outcomes.append("not readable")
    assert outcomes == sorted(outcomes)
    assert outcomes.count("away") == REFUSED_S
    scene.registry.answer = lambda _: None
    scene.clock.now_s += 30
    scene.appended()
    unknown(scene, 12)


def test_silence_among_refusals_begins_the_time_anew(scene: Scene) -> None:
    for n in range(300):
        scene.registry.answer = raising((SILENCES if n % 30 == 0 else REFUSALS)[3])
        scene.clock.now_s += 1
        scene.appended()
        with pytest.raises(RegistryUnavailableError):
            scene.schemas.writer_schema(12)


def test_a_registry_says_when_to_ask_again(scene: Scene) -> None:
    error = SchemaRegistryError(429, -1, "slow down")
    error.retry_after_s = 20.0  # type: ignore[attr-defined]
    scene.registry.answer = raising(error)
    for _ in range(20):
        scene.appended()
        with pytest.raises(RegistryUnavailableError, match="HTTP 429"):
            scene.schemas.writer_schema(12)
        scene.clock.now_s += 1
    assert scene.readings == 1
    error.retry_after_s = 1e9  # type: ignore[attr-defined]
    for _ in range(100):
        scene.appended()
        with pytest.raises((RegistryUnavailableError, SchemaNotReadableError)):
            scene.schemas.writer_schema(12)
        scene.clock.now_s += 1
    assert scene.readings == 5


def test_one_version_that_cannot_be_had_does_not_stop_the_others_for_ever(scene: Scene) -> None:
    scene.registry.put(SUBJECT, 12, TEXT)
    scene.registry.put(SUBJECT, 13, TEXT)

    def answer(line: str) -> Any:
        if line.startswith("version 2 "):
            raise SchemaRegistryError(500, 50001, "cannot parse it")

    scene.registry.answer = answer
    scene.appended()
    with pytest.raises(RegistryUnavailableError, match="version 2 of c-value"):
        scene.schemas.writer_schema(12)
    assert scene.schemas.writer_schema(11)
    assert scene.schemas.writer_schema(13)
    for _ in range(int(REFUSED_S) + 1):
        scene.clock.now_s += 1
        scene.appended()
        with pytest.raises((RegistryUnavailableError, SchemaNotReadableError)) as caught:
            scene.schemas.writer_schema(99)
    assert isinstance(caught.value, SchemaNotReadableError)
    assert "HTTP 500" in str(caught.value)
    scene.registry.answer = lambda _: None
    scene.clock.now_s += 15
    scene.appended()
    assert scene.schemas.writer_schema(12)


def test_a_subject_that_is_gone_says_nothing_of_an_id(scene: Scene) -> None:
    """Somebody lost the registry's data; what is known goes on, and a record is not called bad."""
    scene.schemas.prefetch()
    scene.registry.subjects.clear()
    scene.appended()
    with pytest.raises(UnknownSchemaIdError):
        scene.schemas.writer_schema(12)  # this is what it said last
    scene.clock.now_s += 40
    scene.appended()
    with pytest.raises(RegistryUnavailableError, match="has no subject"):
        scene.schemas.writer_schema(12)
    assert scene.schemas.writer_schema(11)


def test_what_is_not_avro_is_told_apart_from_what_is_unknown(scene: Scene) -> None:
    scene.registry.put(SUBJECT, 12, "{}", kind="JSON")
    scene.registry.put(SUBJECT, 13, TEXT, refers=True)
    scene.registry.put(SUBJECT, 14, "<html>")
    for schema_id, why in ((12, "JSON, not Avro"), (13, "refers to other"), (14, "not JSON")):
        scene.appended()
        with pytest.raises(UnresolvableSchemaError, match=why):
            scene.schemas.writer_schema(schema_id)


def test_nobody_waits_for_a_reading_longer_than_a_moment(scene: Scene) -> None:
    scene.held = []
    scene.schemas.prefetch()
    scene.schemas.prefetch()
    assert len(scene.held) == 1

    def wait(timeout: float) -> bool:
        assert timeout <= WAIT_S
        scene.clock.now_s += timeout / 2 + 0.1
        return False

    scene.schemas._changed.wait = wait  # type: ignore[method-assign,assignment]
    scene.appended()
    with pytest.raises(RegistryUnavailableError, match="are being read"):
        scene.schemas.writer_schema(11)
    scene.held.pop()()
    assert scene.schemas.writer_schema(11)
    scene.clock.now_s += 0.1
    scene.appended()
    with pytest.raises(RegistryUnavailableError, match="are being read"):
        scene.schemas.writer_schema(12)
    scene.held.pop()()
    unknown(scene, 12)


def test_a_fault_of_ours_is_no_answer(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene.schemas._table, "read", lambda: 1 / 0)
    scene.appended()
    with pytest.raises(ZeroDivisionError):  # it ends the thread, if there is one
        scene.schemas.prefetch()
    with pytest.raises(RegistryUnavailableError, match="a fault of this program"):
        scene.schemas.writer_schema(12)


def test_a_machine_without_threads_is_waited_for(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(scene, "start", no_thread)
    scene.schemas = scene.made()
    scene.appended()
    for _ in range(2):
        with pytest.raises(RegistryUnavailableError, match="can't start new thread"):
            scene.schemas.writer_schema(11)
    monkeypatch.undo()
    monkeypatch.setattr(scene.schemas, "_start", scene.start)
    assert scene.schemas.writer_schema(11)["name"] == "PracticeCompleted"


def test_a_state_is_logged_when_it_changes(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, writers.logger.name)
    scene.registry.answer = raising(REFUSALS[5])
    for _ in range(100):
        scene.clock.now_s += 5
        scene.schemas.prefetch()
    scene.registry.answer = lambda _: None
    scene.schemas.prefetch()
    scene.schemas.prefetch()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "HTTP 403" in caplog.text


def test_each_topic_has_its_subject_and_a_thread_reads_it() -> None:
    registry: Any = FakeRegistry()
    registry.put("completions-value", 11, TEXT)
    registry.put("commands-value", 12, SCHEMAS["Command"].text)
    made = subjects_of(["completions", "commands"], registry)
    decoder = InputDecoder(SCHEMAS, *(one.writer_schema for one in made.values()))
    for one in made.values():
        one.begin(0, BROKER_MS)
    with pytest.raises(DecodeError, match="completions-value") as caught:
        decoder.decode_completion(framing(12) + b"x")
    assert (caught.value.reason, caught.value.schema_id) == ("unknown_schema_id", 12)
    with pytest.raises(DecodeError) as caught:
        decoder.decode_command(framing(12) + b"x")
    assert caught.value.reason == "truncated_avro"
    assert not any(one.name == "schemas" and not one.daemon for one in threading.enumerate())


def test_a_registry_that_refuses_is_a_reason_of_its_own(scene: Scene) -> None:
    scene.registry.answer = raising(SchemaRegistryError(403, 40301, "not for you"))
    decoder = InputDecoder(SCHEMAS, scene.schemas.writer_schema)
    for _ in range(int(REFUSED_S) + 1):
        scene.clock.now_s += 1
        scene.appended()
        with pytest.raises((RegistryUnavailableError, DecodeError)) as caught:
            decoder.decode_completion(framing(12) + b"x")
    assert isinstance(caught.value, DecodeError)
    assert (caught.value.reason, caught.value.schema_id) == ("schema_not_readable", 12)
    assert "HTTP 403: not for you" in caught.value.detail
