"""The index of a partition's rows: found whole, whoever is killed while it is written."""

from pathlib import Path

import pytest

from pipeline.ops.explain import row_index
from pipeline.ops.explain.row_index import NO_DATE, Row, RowIndex, hash_of

ADA, BOB = hash_of(b"ada"), hash_of(b"bob")


def row(offset: int, about: int = ADA) -> Row:
    return Row(about, offset, 1_700_000_000_000 + offset, 0, NO_DATE, 0)


@pytest.fixture(autouse=True)
def _small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_index, "SEGMENT_ROWS", 4)


def filled(folder: Path, offsets: range) -> RowIndex:
    index = RowIndex(folder)
    for offset in offsets:
        index.add(row(offset, ADA if offset % 3 else BOB))
    index.write(offsets.stop)
    return index


def test_nothing_is_found_in_an_empty_one(tmp_path: Path) -> None:
    index = RowIndex(tmp_path / "new")
    assert (index.position, index.of(ADA)) == (0, [])
    index.write(7)
    assert (RowIndex(tmp_path / "new").position, index.of(ADA)) == (7, [])


@pytest.mark.parametrize("steps", [(11,), (1, 2, 3, 11), (4, 8, 11), (3, 4, 5, 11), (10, 11)])
def test_rows_are_found_in_order_however_they_came(tmp_path: Path, steps: tuple[int, ...]) -> None:
    first = 0
    for end in steps:
        assert filled(tmp_path, range(first, end)).position == end
        first = end
    index = RowIndex(tmp_path)
    assert index.position == 11
    assert [one.offset for one in index.of(BOB)] == [0, 3, 6, 9]
    assert index.of(ADA) == [row(offset) for offset in range(11) if offset % 3]
    assert index.of(hash_of(b"cay")) == []
    assert len(list(tmp_path.iterdir())) == 3


def test_a_killed_process_has_lost_its_last_rows_only(tmp_path: Path) -> None:
    killed = RowIndex(tmp_path)
    for offset in range(10):
        killed.add(row(offset))
    assert RowIndex(tmp_path).position == 8


def test_killed_between_two_files_the_longer_one_counts(tmp_path: Path) -> None:
    filled(tmp_path, range(2))
    (old,) = tmp_path.iterdir()
    content = old.read_bytes()
    filled(tmp_path, range(2, 3))
    old.write_bytes(content)
    index = RowIndex(tmp_path)
    assert (index.position, len(list(tmp_path.iterdir()))) == (3, 1)
    assert [one.offset for one in (*index.of(BOB), *index.of(ADA))] == [0, 1, 2]


def test_what_is_behind_a_gap_is_indexed_again(tmp_path: Path) -> None:
    filled(tmp_path, range(11))
    sorted(tmp_path.iterdir())[1].unlink()
    assert RowIndex(tmp_path).position == 4
    assert filled(tmp_path, range(4, 11)).of(ADA) == [row(n) for n in range(11) if n % 3]
