"""A verification goes on where it was, and holds a chain against the workers' state."""

from pathlib import Path

import pytest

from pipeline.core.audit import ChainHead
from pipeline.ops.audit import verify as verifying
from pipeline.ops.audit.sightings import Mark
from pipeline.ops.audit.verify import KeptFile, KeptFileError
from tests.ops.audit_chains import TOPIC, MemoryTopics, chain, head_after, kinds, placed, verify

WHOLE = chain(8)


def topics(count: int = 8) -> MemoryTopics:
    return MemoryTopics({0: placed(WHOLE[:count])})


def head(count: int) -> ChainHead:
    return head_after(WHOLE[count - 1], count - 1)


def test_later_runs_read_only_what_is_new(tmp_path: Path) -> None:
    file = tmp_path / "verified.json"
    first = verify(topics(5), kept=KeptFile(file, TOPIC))
    assert (first.read, first.went_on_from, first.findings) == (5, 0, [])
    grown = topics()
    second = verify(grown, kept=KeptFile(file, TOPIC))
    assert (second.read, second.went_on_from, second.chains) == (3, 9, {"blue": 8})
    assert second.findings == []
    again = verify(grown, kept=KeptFile(file, TOPIC))
    assert (again.read, again.chains, again.findings) == (0, {"blue": 8}, [])


def test_a_run_that_is_killed_goes_on_from_what_it_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying, "CHUNK", 2)
    monkeypatch.setattr(verifying, "KEPT_EVERY_S", 0.0)
    file = tmp_path / "verified.json"
    log = topics()
    ends = iter([None] * 5)

    def dying(partition: int, first: int, end: int, say: object) -> object:
        for one in log.logs[partition]:
            next(ends)
            yield one

    monkeypatch.setattr(log, "records", dying)
    with pytest.raises(RuntimeError):
        verify(log, kept=KeptFile(file, TOPIC))
    monkeypatch.undo()
    after = verify(topics(), kept=KeptFile(file, TOPIC))
    assert (after.read, after.went_on_from, after.findings) == (4, 7, [])


def test_nothing_is_kept_behind_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "CHUNK", 2)
    file = tmp_path / "verified.json"
    broken = MemoryTopics({0: placed([*WHOLE[:5], *WHOLE[6:]])})
    for _ in range(2):
        report = verify(broken, kept=KeptFile(file, TOPIC))
        assert kinds(report.findings) == ["missing"]
    assert report.went_on_from == 7


def test_it_begins_anew_where_the_last_entry_is_another(tmp_path: Path) -> None:
    file = tmp_path / "verified.json"
    verify(topics(), kept=KeptFile(file, TOPIC))
    anew = MemoryTopics({0: placed(chain(9, actor="somebody else"))})
    report = verify(anew, kept=KeptFile(file, TOPIC))
    assert (report.read, report.went_on_from) == (9, 0)
    shorter = verify(topics(4), kept=KeptFile(file, TOPIC))
    assert (shorter.read, shorter.went_on_from) == (4, 0)


def test_it_begins_anew_for_a_checkpoint_that_the_runs_before_did_not_ask_for(
    tmp_path: Path,
) -> None:
    file = tmp_path / "verified.json"
    verify(topics(), kept=KeptFile(file, TOPIC))
    marks = [Mark(3, WHOLE[2][-32:], "checkpoint")]
    assert verify(topics(), marks, kept=KeptFile(file, TOPIC)).read == 8
    assert verify(topics(), marks, kept=KeptFile(file, TOPIC)).read == 0
    forged = [Mark(3, b"x" * 32, "checkpoint")]
    report = verify(topics(), forged, kept=KeptFile(file, TOPIC))
    assert (report.read, kinds(report.findings)) == (0, ["diverged"])


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "verified.json"
    file.write_text("{}")
    with pytest.raises(KeptFileError):
        KeptFile(file, TOPIC)
    file.unlink()
    verify(topics(), kept=KeptFile(file, TOPIC))
    with pytest.raises(KeptFileError, match=r"not other\.audit"):
        KeptFile(file, "other.audit")
    with pytest.raises(KeptFileError):
        verify(topics(), kept=KeptFile(tmp_path / "none" / "x.json", TOPIC))


def test_the_workers_state_agrees() -> None:
    log = topics()
    log.heads[0] = head(8)
    report = verify(log, with_state=True)
    assert (report.state, report.findings) == ("agrees", [])
    log.heads.clear()
    assert verify(log, with_state=True).state == "there is none yet"
    assert verify(log).state == "not asked"


def test_an_end_that_was_cut_off_is_found_by_the_workers_state() -> None:
    log = topics(6)
    log.heads[0] = head(8)
    (found,) = verify(log, with_state=True).findings
    assert (found.kind, found.sequence) == ("truncated", 6)
    assert found.place == "the workers' state, blue/0"


def test_an_entry_that_no_worker_wrote_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifying, "AHEAD_S_MAX", 0.0)
    log = topics()
    log.heads[0] = head(7)
    file = tmp_path / "verified.json"
    for _ in range(2):
        report = verify(log, kept=KeptFile(file, TOPIC), with_state=True)
        (found,) = report.findings
        assert (found.kind, found.sequence, found.offset) == ("second_chain", 7, 14)
        assert "the last 1 are of no worker" in found.found
        assert (report.state, report.went_on_from) == ("differs", 0)


def test_a_history_that_is_not_the_workers_is_found() -> None:
    log = MemoryTopics({0: placed(chain(8, actor="somebody else"))})
    log.heads[0] = head(8)
    (found,) = verify(log, with_state=True).findings
    assert found.kind == "diverged"
