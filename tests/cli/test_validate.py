"""`awaway validate`: the forms of files, and what is wrong with them."""

import io
import json
from pathlib import Path
from typing import Any

import fastavro
import pytest

from tests.cli.validating import AT, ROOT, Captured, completion, said, written


def test_one_object(tmp_path: Path, capsys: Captured) -> None:
    code, lines = said(capsys, written(tmp_path / "one.json", completion(1)), *AT)
    assert code == 0
    (line,) = lines
    assert (line["name"], line["verdict"], line["local_date"]) == ("one", "accepted", "2026-07-08")
    assert (line["stage"], line["reason"], line["streak_days"]) == (None, None, 1)
    assert line["portals"] == ["bindu"]


def test_an_array_is_folded_in_order(tmp_path: Path, capsys: Captured) -> None:
    items = [completion(n, day=n) for n in (6, 7, 8)] + [completion(8), {"request_id": "r"}]
    code, lines = said(capsys, written(tmp_path / "many.json", items), *AT)
    assert code == 1
    assert [line["name"] for line in lines] == [f"many[{n}]" for n in range(5)]
    assert [line["streak_days"] for line in lines] == [0, 2, 3, 3, None]
    assert [line["portals"] for line in lines] == [["bindu"], [], ["vesica-piscis"], [], []]
    assert lines[3]["verdict"] == "exact"
    assert (lines[4]["topic"], lines[4]["reason"]) == ("commands", "missing_field")


def test_lines_of_which_one_is_no_json(tmp_path: Path, capsys: Captured) -> None:
    lines = [json.dumps(completion(1)), "{no json", "", json.dumps(completion(2, user_id="bob"))]
    file = written(tmp_path / "lines.jsonl", "\n".join(lines).encode())
    code, found = said(capsys, file, *AT)
    assert code == 1
    assert [one["verdict"] for one in found] == ["accepted", "dead_letter", "accepted"]
    assert [one["name"] for one in found] == ["lines:1", "lines:2", "lines:4"]
    assert found[1]["reason"] == "malformed_json"


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"garbage\ngarbage2\n", ["x:1", "x:2"]),
        (b"\n garbage\r\n\r\ngarbage2", ["x:2", "x:4"]),
        (b'{"a":}\n{"b":\n', ["x:1", "x:2"]),
        (b'{"a": {}\n{"b":}\nrest', ["x"]),
        (b'{\n"a": 1,\n}', ["x"]),
        (b"gar\x00bage\ngarbage2", ["x"]),
        (b"\n\ngarbage", ["x"]),
    ],
)
def test_each_broken_line_is_an_input(
    tmp_path: Path, capsys: Captured, content: bytes, names: list[str]
) -> None:
    code, found = said(capsys, written(tmp_path / "x.jsonl", content), *AT)
    assert code == 1
    assert [one["name"] for one in found] == names
    assert {one["verdict"] for one in found} == {"dead_letter"}


def test_a_log_says_when_and_under_which_key(tmp_path: Path, capsys: Captured) -> None:
    log = [
        {"topic": "awaway.completions", "append_time": "2026-07-08T09:00:01Z", "key": "ada"}
        | {"value": completion(1)},
        {"append_time": "2026-07-08T09:00:02Z", "key": "eve", "value": completion(2)},
        {"append_time": "2026-07-08T09:00:03Z", "value": json.dumps(completion(3))},
        {"topic": "commands", "append_time": "2026-07-08T09:00:04Z", "value": None},
        {"append_time": "2026-07-08T09:00:05Z", "value_base64": "e30="},
    ]
    code, found = said(capsys, written(tmp_path / "log.json", {"id": "L", "log": log}))
    assert code == 1
    assert [one["name"] for one in found] == [f"L[{n}]" for n in range(5)]
    assert [one["reason"] for one in found] == [
        *(None, "key_not_user", None, "null_value", "missing_field"),
    ]


def test_an_entry_of_a_log_is_judged_by_its_own_bytes(tmp_path: Path, capsys: Captured) -> None:
    twice = json.dumps(completion(1))[:-1] + ', "user_id": "ada"}'
    entry = '{"append_time": "2026-07-08T09:00:01Z", "key": "ada", "value": ' + twice + "}"
    for text in (entry, f'{{"log": [{entry}]}}', f'{{"input": {{"log": [{entry}]}}}}'):
        code, (found,) = said(capsys, written(tmp_path / "log.json", text.encode()))
        assert (code, found["reason"]) == (1, "duplicate_field")
    code, (found,) = said(
        capsys, written(tmp_path / "log.json", entry.replace('"ada"}}', "NaN}}").encode())
    )
    assert (code, found["reason"]) == (1, "malformed_json")


def test_a_completion_may_have_a_field_called_log(tmp_path: Path, capsys: Captured) -> None:
    others: list[dict[str, Any]] = [{"log": ["started"]}, {"input": {"log": []}}]
    for other in others:
        file = written(tmp_path / "one.json", completion(1, **other))
        code, (line,) = said(capsys, file, *AT)
        assert (code, line["verdict"], line["ignored_fields"]) == (0, "accepted", 1)


def test_one_value_with_a_fault_is_judged_once(tmp_path: Path, capsys: Captured) -> None:
    faulty = json.dumps(completion(1), indent=2)[:-2] + ",\n}"
    code, (line,) = said(capsys, written(tmp_path / "faulty.json", faulty.encode()), *AT)
    assert (code, line["name"], line["reason"]) == (1, "faulty", "malformed_json")


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        (5, "it is no object"),
        ({"topic": "portals", "value": {}}, "neither completions nor commands"),
        ({"append_time": "noon", "value": {}}, "is no instant"),
        ({"value_base64": "%"}, "value_base64"),
        ({"append_tme": "2026-07-08T09:00:01Z", "value": {}}, "fields unknown: append_tme"),
    ],
)
def test_what_is_no_entry_of_a_log(
    tmp_path: Path, capsys: Captured, entry: object, complaint: str
) -> None:
    log = [{"append_time": "2026-07-08T09:00:01Z", "value": completion(1)}, entry]
    code, (one, error) = said(capsys, written(tmp_path / "log.json", {"id": "L", "log": log}))
    assert (code, one["verdict"]) == (1, "accepted")
    assert error["what"] == "L[1] is no entry of a log" and complaint in error["why"]


@pytest.mark.parametrize(
    ("entry", "unknown"),
    [
        ({"append_tme": "2026-07-08T09:00:01Z", "value": {}}, "append_tme"),
        ({"topic": "commands", "append_time": "2026-07-08T09:00:01Z", "vlaue": {}}, "vlaue"),
    ],
)
def test_a_wrapper_with_a_typo_is_no_completion(
    tmp_path: Path, capsys: Captured, entry: dict[str, Any], unknown: str
) -> None:
    code, (error,) = said(capsys, written(tmp_path / "one.json", entry))
    assert (code, error["what"]) == (1, "one is no entry of a log")
    assert error["why"] == f"it looks like one, with fields unknown: {unknown}"


def test_a_log_may_say_more_of_its_entries(tmp_path: Path, capsys: Captured) -> None:
    entry = {"append_time": "2026-07-08T09:00:01Z", "offset": 7, "note": "x"}
    log = {"log": [entry | {"value": completion(1)}], "read_at": ["noon"]}
    code, (one, error) = said(capsys, written(tmp_path / "log.json", log))
    assert (code, one["verdict"]) == (1, "accepted")
    assert error["what"] == "a read_at of log is not read"


def test_an_avro_container_carries_its_schema(tmp_path: Path, capsys: Captured) -> None:
    tree = json.loads((ROOT / "schemas" / "PracticeCompleted.avsc").read_text())
    tree["fields"].append({"name": "mood", "type": ["null", "string"], "default": None})
    out = io.BytesIO()
    instants = {"started_at": 1_783_499_400_000, "completed_at": 1_783_501_200_000}
    record = completion(1, **instants) | {"context": {}, "mood": "calm"}
    unknown = completion(2, user_id="bob", tz="Nowhere", **instants) | {"context": {}}
    fastavro.writer(out, fastavro.parse_schema(tree), [record, unknown])
    code, found = said(capsys, written(tmp_path / "c.avro", out.getvalue()), *AT)
    assert code == 1
    assert [one["verdict"] for one in found] == ["accepted", "dead_letter"]
    assert found[1]["reason"] == "unknown_zone"
    code, (error,) = said(capsys, written(tmp_path / "cut.avro", out.getvalue()[:40]))
    assert code == 1 and "container" in error["what"]
    assert error["why"] == "it is cut off or damaged after 0 records"
    packed = out.getvalue().replace(b"\x08null", b"\x0csnappy", 1)
    code, (error,) = said(capsys, written(tmp_path / "packed.avro", packed))
    assert code == 1 and "snappy" in error["why"]


def test_what_is_whole_of_a_container_is_judged(tmp_path: Path, capsys: Captured) -> None:
    tree = json.loads((ROOT / "schemas" / "PracticeCompleted.avsc").read_text())
    out = io.BytesIO()
    instants = {"started_at": 1_783_499_400_000, "completed_at": 1_783_501_200_000}
    records = [completion(n, **instants) | {"context": {}} for n in range(3)]
    fastavro.writer(out, fastavro.parse_schema(tree), records, sync_interval=1)
    code, found = said(capsys, written(tmp_path / "cut.avro", out.getvalue()[:-30]), *AT)
    assert code == 1
    assert [one.get("name") for one in found] == ["cut[0]", "cut[1]", None]
    assert found[2]["why"] == "it is cut off or damaged after 2 records"


def test_a_broken_file_hides_no_other(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "a").mkdir()
    broken = written(tmp_path / "a" / "x.avro", b"Obj\x01broken")
    good = written(tmp_path / "x.json", completion(1))
    state = tmp_path / "state.json"
    code, (one, *errors) = said(
        capsys, str(tmp_path / "none"), broken, good, *AT, "--save", str(state)
    )
    assert (code, one["name"], one["verdict"]) == (1, good, "accepted")
    assert [error["what"].partition(" cannot")[0] for error in errors] == [
        *(str(tmp_path / "none"), broken)
    ]
    assert not state.exists()


def test_a_framed_value_is_read_with_a_schema(tmp_path: Path, capsys: Captured) -> None:
    tree = json.loads((ROOT / "schemas" / "PracticeCompleted.avsc").read_text())
    tree["fields"][3]["type"] = ["null", "string"]
    schema = written(tmp_path / "PracticeCompleted.avsc", tree)
    out = io.BytesIO()
    instants = {"started_at": 1_783_499_400_000, "completed_at": 1_783_501_200_000}
    record = completion(1, **instants) | {"context": {}}
    fastavro.schemaless_writer(out, fastavro.parse_schema(tree), record)
    file = written(tmp_path / "value.bin", b"\0\0\0\0\x07" + out.getvalue())
    assert said(capsys, file, *AT, "--schema", schema)[1][0]["verdict"] == "accepted"
    code, found = said(capsys, file, *AT)
    assert code == 1 and found[0]["stage"] == "decode"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"[" * 100_000, "nested too deep"),
        (b"\xff", "not UTF-8"),
        (b'{"name": "X"}', "has no 'type'"),
        (b"5", "is no type"),
        (b'"mood"', "nobody knows the type mood"),
        (b'"string"', "the schema of something else"),
    ],
)
def test_what_is_no_schema(tmp_path: Path, capsys: Captured, content: bytes, why: str) -> None:
    schema = written(tmp_path / "x.avsc", content)
    file = written(tmp_path / "value.bin", b"\0\0\0\0\x07")
    code, (error,) = said(capsys, file, "--schema", schema)
    assert code == 1 and "holds no Avro schema of a record" in error["what"]
    assert why in error["why"] and "--schema" in error["fix"]


def test_a_framed_value_may_end_like_a_line(tmp_path: Path, capsys: Captured) -> None:
    tree = json.loads((ROOT / "schemas" / "Command.avsc").read_text())
    out = io.BytesIO()
    fields = {"request_id": "r1", "kind": "credit", "user_id": "ada", "actor": "support@example"}
    record = fields | {"reason": "ill", "ticket": "T", "local_date": 20_640, "payload_cause": "\n"}
    fastavro.schemaless_writer(out, fastavro.parse_schema(tree), record)
    value = b"\0\0\0\0\x07" + out.getvalue()
    assert value[-1:] == b"\n"
    file = written(tmp_path / "value.bin", value)
    code, (line,) = said(capsys, file, *AT, "--topic", "commands")
    assert (code, line["verdict"]) == (0, "applied"), line["detail"]


def test_a_topic_may_have_its_prefix(tmp_path: Path, capsys: Captured) -> None:
    file = written(tmp_path / "one.json", completion(1))
    code, (one,) = said(capsys, file, *AT, "--topic", "awaway.commands")
    assert (code, one["topic"]) == (1, "commands")


def test_standard_input(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(json.dumps(completion(1)).encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    assert said(capsys, "-", *AT)[1][0]["name"] == "stdin"
    monkeypatch.setattr("sys.stdin", None)
    code, (error,) = said(capsys, "-", *AT)
    assert (code, error["why"]) == (1, "it is closed")


def test_a_file_that_is_not_there(tmp_path: Path, capsys: Captured) -> None:
    code, (error,) = said(capsys, "nowhere.json")
    assert code == 1 and "cannot be read" in error["what"] and "is there" in error["fix"]
    code, (error,) = said(capsys, str(tmp_path))
    assert code == 1 and "not a folder" in error["fix"]
    code, (error,) = said(capsys, "")
    assert code == 2 and "names no file" in error["what"]


@pytest.mark.parametrize("content", [b"\0", b"[", b"[1,", b"null", b"\xff\xfe", b"[" * 9000])
def test_any_bytes_are_judged(tmp_path: Path, capsys: Captured, content: bytes) -> None:
    code, found = said(capsys, written(tmp_path / "any", content), *AT)
    assert code == 1
    assert {one["verdict"] for one in found} == {"dead_letter"}


@pytest.mark.parametrize("content", [b"", b" \n\n", b"[]", b"\xef\xbb\xbf", b'{"log": []}'])
def test_a_file_without_inputs(tmp_path: Path, capsys: Captured, content: bytes) -> None:
    code, (error,) = said(capsys, written(tmp_path / "any", content), *AT)
    assert (code, error["what"]) == (1, "any holds no input")


def test_a_container_without_records(tmp_path: Path, capsys: Captured) -> None:
    out = io.BytesIO()
    fastavro.writer(out, {"type": "record", "name": "X", "fields": []}, [])
    code, (error,) = said(capsys, written(tmp_path / "c.avro", out.getvalue()))
    assert (code, error["what"]) == (1, "c holds no input")
