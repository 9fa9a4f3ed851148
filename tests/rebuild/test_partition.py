"""One partition of a rebuild: what it goes on with, and what it does not wait for."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pipeline.codec.state import encode_state
from pipeline.core.state import EMPTY
from pipeline.engine.state.rocks import RocksDisk
from pipeline.engine.state.table_spec import TableSpec
from pipeline.rebuild import partition as subject
from pipeline.rebuild.live import Cut
from pipeline.rebuild.partition import PartitionRebuild
from pipeline.rebuild.replay import ReplayError
from pipeline.rebuild.setup import Setup, rules_id_of
from pipeline.settings.worker import Settings
from pipeline.worker.window import spec_of

NOBODY = {"bootstrap.servers": "127.0.0.1:1"}


def setup_of(rules_id: str) -> Setup:
    """As much of a set-up as a partition takes, without a broker."""
    tables = TableSpec("streaks", "t.streaks-changelog", b"u"), spec_of("t.seen-changelog", b"w")
    made = SimpleNamespace(
        settings=Settings(),
        client=NOBODY,
        inputs=["t.completions", "t.commands"],
        rules_id=rules_id,
        tables=tables,
        readers=None,
        folds=lambda: None,
        processor=lambda _: None,
    )
    return cast(Setup, made)


def test_each_rule_is_part_of_what_a_derived_state_is_known_by() -> None:
    same = [rules_id_of("1.0", "2026a", b"policy") for _ in range(2)]
    others = [
        rules_id_of("1.1", "2026a", b"policy"),
        rules_id_of("1.0", "2026b", b"policy"),
        rules_id_of("1.0", "2026a", b"policy "),
    ]
    assert len({*same, *others}) == 4


def test_what_other_rules_derived_is_not_gone_on_with(tmp_path: Path) -> None:
    derived = RocksDisk(tmp_path / "derived" / "ours").open(0)
    derived.write([(b"uann", encode_state(EMPTY))])
    derived.close()
    with PartitionRebuild(setup_of("ours"), 0, tmp_path) as ours:
        assert ours.users() == {b"ann"}
    with PartitionRebuild(setup_of("another release's"), 0, tmp_path) as theirs:
        assert theirs.users() == set()
    with PartitionRebuild(setup_of("ours"), 0, tmp_path) as ours:
        assert ours.users() == {b"ann"}


class Changelogs:
    """Changelogs that end at a cut, and tell when they are asked once more."""

    def __init__(self, *cuts: int) -> None:
        self._cuts: Iterator[int] = iter(cuts)
        self.cut = Cut(next(self._cuts))

    def read(self, _wait_s: float) -> bool:
        return False

    def is_at_end(self) -> bool:
        self.cut = Cut(next(self._cuts, self.cut.sequence))
        return True

    def close(self) -> None:
        """Nothing is open."""


class Audit:
    """A replay of an audit of so many entries."""

    def __init__(self, entries: int, store: Any, sequence: int = 0) -> None:
        self.store = store
        self.entries = entries
        self.sequence = sequence

    def advance(self, cut: Cut) -> bool:
        self.sequence = max(self.sequence, min(cut.sequence, self.entries))
        return self.sequence >= cut.sequence

    def is_beyond(self, cut: Cut) -> bool:
        return self.entries > cut.sequence

    def published_until(self, cut: Cut) -> None:
        """All portals are known."""


@pytest.mark.parametrize(
    ("entries", "replayed", "cuts", "said"),
    [
        # A changelog that was deleted and made again: everybody would differ.
        (9, 0, [0], "the changelogs of partition 0 end at audit entry -1, and the audit goes on"),
        (9, 5, [5], "end at audit entry 4, and the audit goes on"),
        (5, 0, [9], "the audit of partition 0 ends before entry 8, which the changelogs contain"),
    ],
)
def test_where_one_ends_before_the_other_nobody_is_said_to_differ(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    entries: int,
    replayed: int,
    cuts: list[int],
    said: str,
) -> None:
    monkeypatch.setattr(subject, "SILENT_S_MAX", 0.0)
    with PartitionRebuild(setup_of("ours"), 0, tmp_path) as rebuild:
        opened, replay = rebuild._live, rebuild._replay
        rebuild._live = cast(Any, Changelogs(*cuts))
        rebuild._replay = cast(Any, Audit(entries, replay.store, replayed))
        with pytest.raises(ReplayError) as caught:
            rebuild.catch_up()
        assert said in caught.value.what
        opened.close()


def test_who_is_only_behind_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    with PartitionRebuild(setup_of("ours"), 0, tmp_path) as rebuild:
        opened, replay = rebuild._live, rebuild._replay
        rebuild._live = cast(Any, Changelogs(0, 0, 9))
        rebuild._replay = cast(Any, Audit(9, replay.store))
        rebuild.catch_up()
        assert rebuild._replay.sequence == 9
        opened.close()
