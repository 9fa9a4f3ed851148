"""`awaway validate`: the forms of files, what is printed, states that go on, exit codes."""

import io
import json
from pathlib import Path
from typing import Any

import fastavro
import pytest

from pipeline.cli import main as cli
from pipeline.core.dedupe import SeenCompletion, SeenUpdate
from pipeline.ops.validate.state import LeftBehind, decode

ROOT = Path(__file__).parents[2]
Captured = pytest.CaptureFixture[str]
AT = ("--at", "2026-07-08T09:00:05Z")


def completion(number: int, day: int = 8, **other: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "completion_id": f"c{number}",
        "user_id": "ada",
        "session_id": f"s{number}",
        "practice": "breath",
        "started_at": f"2026-07-{day:02}T08:30:00Z",
        "completed_at": f"2026-07-{day:02}T09:00:00Z",
        "tz": "Europe/Berlin",
    }
    return fields | other


def said(capsys: Captured, *words: str) -> tuple[int, list[dict[str, Any]]]:
    code = cli.run(["validate", *words, "-o", "json"])
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def written(path: Path, content: Any) -> str:
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return str(path)


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
    assert found[1]["reason"] == "malformed_json"


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
    ],
)
def test_what_is_no_entry_of_a_log(
    tmp_path: Path, capsys: Captured, entry: object, complaint: str
) -> None:
    code, (error,) = said(capsys, written(tmp_path / "log.json", {"log": [entry]}))
    assert code == 1
    assert complaint in error["why"]


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


def test_a_framed_value_may_end_like_a_line(tmp_path: Path, capsys: Captured) -> None:
    tree = json.loads((ROOT / "schemas" / "Command.avsc").read_text())
    out = io.BytesIO()
    fields = {"request_id": "r1", "kind": "credit", "user_id": "ada", "actor": "support@example"}
    record = fields | {"reason": "ill", "ticket": "T-1", "local_date": 20_640, "tz": "UTC\n"}
    fastavro.schemaless_writer(out, fastavro.parse_schema(tree), record)
    value = b"\0\0\0\0\x07" + out.getvalue()
    assert value[-1:] == b"\n"
    file = written(tmp_path / "value.bin", value)
    code, (line,) = said(capsys, file, *AT, "--topic", "commands")
    assert (code, line["verdict"]) == (0, "applied"), line["detail"]


def test_a_state_goes_on_where_it_was_saved(tmp_path: Path, capsys: Captured) -> None:
    state = str(tmp_path / "state.json")
    days = [completion(n, day=n) for n in (6, 7)]
    said(capsys, written(tmp_path / "first.json", days), *AT, "--save", state)
    again = written(tmp_path / "again.json", [completion(7, day=7), completion(8)])
    _, found = said(capsys, again, *AT, "--state", state)
    assert [one["verdict"] for one in found] == ["exact", "accepted"]
    assert found[1]["streak_days"] == 3


def test_a_state_that_cannot_be_saved(tmp_path: Path, capsys: Captured) -> None:
    file = written(tmp_path / "one.json", completion(1))
    *_, error = said(capsys, file, *AT, "--save", str(tmp_path / "none" / "state.json"))[1]
    assert "cannot be written" in error["what"] and error["fix"]


def test_a_saved_window_knows_the_session_that_was_accepted_last() -> None:
    left = LeftBehind(100)
    for name, append_time in (("a", 0), ("b", 200), ("a", 400)):
        entry = SeenCompletion(name, "s", "breath", 1, 2, "completions", 0, 0, append_time)
        left.seen.remember("ada", SeenUpdate(entry, ()))
    again = decode(left.encode(), 100, "state.json")
    again.seen.now = left.seen.now = 450
    assert again.seen.by_session("ada", "s") == left.seen.by_session("ada", "s") is not None


def test_an_input_cannot_steer_the_terminal(tmp_path: Path, capsys: Captured) -> None:
    file = written(tmp_path / "one.json", completion(1, user_id="a\x1b[2Jda"))
    assert cli.run(["validate", file, *AT]) == 1
    assert "\x1b[2J" not in capsys.readouterr().out
    _, (line,) = said(capsys, file, *AT)
    assert (line["reason"], line["user_id"], line["streak_days"]) == ("bad_user_id", None, None)


def test_a_state_from_published_progress(tmp_path: Path, capsys: Captured) -> None:
    golden = ROOT / "schemas" / "golden" / "ProgressUpdated-v2.json"
    progress = json.loads(golden.read_text()) | {"user_id": "ada"}
    state = written(tmp_path / "progress.json", progress)
    file = written(tmp_path / "one.json", completion(1))
    _, (one,) = said(capsys, file, *AT, "--state", state)
    assert one["longest_days"] == 9
    code, (error,) = said(capsys, file, "--state", written(tmp_path / "x.json", {"a": 1}))
    assert code == 1 and "holds no state" in error["what"]
    code, (error,) = said(capsys, file, "--state", written(tmp_path / "y.json", {"format": "z"}))
    assert code == 1 and "no state" in error["what"]


def test_where_the_users_stand(tmp_path: Path, capsys: Captured) -> None:
    file = written(tmp_path / "one.json", completion(1))
    when = ("--read-at", "2026-07-10T00:30:00Z")
    _, (one,) = said(capsys, file, *AT, *when)
    (read,) = one["reads"]
    assert (read["streak_days"], read["today"], read["tz"]) == (1, "2026-07-09", "Europe/Berlin")
    _, (one,) = said(capsys, file, *AT, *when, "--tz", "asia/tokyo")
    assert (one["reads"][0]["streak_days"], one["reads"][0]["tz"]) == (0, "Asia/Tokyo")


def test_text_for_people_fits_eighty_columns(tmp_path: Path, capsys: Captured) -> None:
    items = [
        completion(1, mood="calm"),
        completion(2, session_id="s1", day=7),
        completion(3, tz="Mars"),
    ]
    file = written(tmp_path / "some.json", items)
    assert cli.run(["validate", file, *AT, "--read-at", "2026-07-08T20:00:00Z"]) == 0
    out = capsys.readouterr().out
    assert max(len(line) for line in out.splitlines()) <= 80
    for wanted in ("some[1]  twin", "a date is at stake", "ignored: 1", "ada at 2026-07-08T20"):
        assert wanted in out


def test_standard_input(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(json.dumps(completion(1)).encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    assert said(capsys, "-", *AT)[1][0]["name"] == "stdin"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--at", "noon"), "is no instant"),
        (("--topic", "portals"), "no topic of inputs"),
        (("--tz", "Mars"), "nobody knows the zone"),
    ],
)
def test_options_that_make_no_sense(
    tmp_path: Path, capsys: Captured, words: tuple[str, str], complaint: str
) -> None:
    code, (error,) = said(capsys, written(tmp_path / "one.json", completion(1)), *words)
    assert code == 2
    assert complaint in error["what"]


def test_a_file_that_is_not_there(capsys: Captured) -> None:
    code, (error,) = said(capsys, "nowhere.json")
    assert code == 1 and "cannot be read" in error["what"]


@pytest.mark.parametrize(
    "content", [b"", b"\0", b"[", b"[1,", b"[]", b"null", b"\xff\xfe", b"[" * 9000]
)
def test_any_bytes_are_judged(tmp_path: Path, capsys: Captured, content: bytes) -> None:
    code, found = said(capsys, written(tmp_path / "any", content), *AT)
    assert code == 1
    assert {one["verdict"] for one in found} == {"dead_letter"}
