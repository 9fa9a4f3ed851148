"""Pages of dead letters: each letter comes once, from the newest back, at a bounded cost."""

import random
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from pipeline.kafka.reader import Partition
from pipeline.ops.deadletters import pages
from pipeline.ops.deadletters.letters import Letter, Place, Wanted
from pipeline.ops.deadletters.pages import STEP, STEPS_MAX, read_page
from tests.ops.test_deadletters import letter

TOPIC = "t.deadletters"


class Topic:
    """A topic of dead letters: by partition, letters at some of the offsets of a range."""

    prefix = "t."

    def __init__(self, letters: list[Letter], ranges: Mapping[int, tuple[int, int]]) -> None:
        self._letters = {(TOPIC, *one.place): one for one in letters}
        self._ranges = ranges
        self.read = 0

    def pages(self) -> "Topic":
        return self

    def __enter__(self) -> "Topic":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def partitions(self, topics: list[str]) -> list[Partition]:
        return [(topics[0], number) for number in self._ranges]

    def starts(self, there: list[Partition]) -> dict[Partition, int]:
        return {one: self._ranges[one[1]][0] for one in there}

    def ends(self, there: list[Partition]) -> dict[Partition, int]:
        return {one: self._ranges[one[1]][1] for one in there}

    def letter_of(self, message: Letter | None) -> Letter | None:
        return message

    def records(
        self, _: object, ranges: Mapping[Partition, tuple[int, int]], __: object
    ) -> Iterator[Letter | None]:
        """As read_ranges; garbage is where a letter is not."""
        for (topic, number), (first, end) in ranges.items():
            self.read += end - first
            for offset in range(first, end):
                if offset % 7:  # others are a transaction's marks
                    yield self._letters.get((topic, number, offset))


def put(partition: int, offset: int, published_ms: int, **fields: Any) -> Letter:
    one = letter(offset, **fields)
    return Letter(TOPIC, Place(partition, offset), published_ms, one.record, one.origin)


def walk(topic: Topic, wanted: Wanted, rows: int) -> list[list[Letter]]:
    """Every page, from the newest back."""
    log: Any = topic
    found, cursor = [], ""
    while True:
        page = read_page(log, wanted, cursor, rows)
        found.append(page.letters)
        if not page.older:
            return found
        assert page.older != cursor
        cursor = page.older


@pytest.fixture(autouse=True)
def reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "read_ranges", lambda reader, *given: reader.records(reader, *given))


@pytest.mark.parametrize("seed", range(5))
def test_every_letter_comes_once_and_roughly_the_newest_first(seed: int) -> None:
    chance = random.Random(seed)
    letters = [
        put(partition, offset, chance.randrange(1_000) + 10 * offset)
        for partition in range(3)
        for offset in range(40, 400)
        if offset % 7 and chance.random() < (0.9, 0.3, 0.02)[partition]
    ]
    topic = Topic(letters, {0: (40, 400), 1: (40, 400), 2: (40, 400)})
    found = walk(topic, Wanted(), 25)
    places = [one.place for page in found for one in page]
    assert sorted(places) == sorted(one.place for one in letters)
    assert all(len(page) <= 25 for page in found)
    for partition in range(3):
        offsets = [place.offset for place in places if place.partition == partition]
        assert offsets == sorted(offsets, reverse=True)


def test_a_page_of_a_filter_that_finds_little_costs_a_bounded_amount() -> None:
    first = put(0, 1, 1, reason="rare")
    topic = Topic([first], {0: (0, 10_000)})
    log: Any = topic
    wanted = Wanted(rejections=frozenset({"rare"}))
    page = read_page(log, wanted, "", 25)
    assert (page.letters, topic.read) == ([], STEP * STEPS_MAX)
    assert page.older == f"0:{10_000 - STEP * STEPS_MAX}"
    assert [one for each in walk(topic, wanted, 25) for one in each] == [first]


def test_nothing_is_a_page_and_no_cursor_is_the_newest() -> None:
    assert walk(Topic([], {0: (0, 0), 1: (5, 5)}), Wanted(), 25) == [[]]
    topic = Topic([put(0, 1, 1)], {0: (0, 3)})
    log: Any = topic
    for cursor in ("x", "0:", ":", "9:9", "0:99999999999999999999999"):
        assert len(read_page(log, Wanted(), cursor, 25).letters) == 1, cursor
    assert read_page(log, Wanted(partitions=frozenset({7})), "", 25) == ([], "")
