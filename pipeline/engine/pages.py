"""Pages of open partitions' stores, for one reader on another thread.

Owns: handing what a store has to that reader, and as of when it is.
Does not own: when the engine's thread serves it (ownership.py), what the reader makes of it
(worker/scrubbing.py).
Invariants: databases are read by the engine's thread alone, so closing one never meets a reader. A
page is what one committed transaction left: its entries and its position in the changelog were
written in one atomic write, and no other comes between reading the two. So the entries are what the
changelog says last below that position.
"""

from collections.abc import Mapping
from concurrent.futures import Future
from itertools import islice
from typing import NamedTuple

from pipeline.engine.batch import OpenPartition
from pipeline.engine.state.table_spec import TableSpec


class Page(NamedTuple):
    """Entries of one table of one partition, in key order.

    Attributes:
        topic_id: UUID of the changelog; empty where nothing was ever written to it.
        next_offset: the entries contain the changelog up to here.
        entries: without the table's prefix.
        following: the key with which the next page begins; None where there is none.
    """

    topic_id: str
    next_offset: int
    entries: list[tuple[bytes, bytes]]
    following: bytes | None


class _Question(NamedTuple):
    partition: int
    start: bytes
    entries_max: int
    answer: "Future[Page | None]"


class Pages:
    """Questions of one reader, one at a time, and the engine's answers.

    Args:
        table: whose entries are handed out; one that is never stored lazily.

    Attributes:
        changelog: the table's.
    """

    def __init__(self, table: TableSpec) -> None:
        self.changelog = table.changelog
        self._table = table
        self._question: _Question | None = None

    def ask(self, partition: int, start: bytes, entries_max: int) -> "Future[Page | None]":
        """Ask for entries from a key on; the answer is None of a partition that is not open.

        The answer comes once the engine is between two transactions, and restores nothing. It may
        be a CorruptStoreError.

        Args:
            entries_max: at least 1.
        """
        answer: Future[Page | None] = Future()
        self._question = _Question(partition, start, entries_max, answer)
        return answer

    def serve(self, opened: Mapping[int, OpenPartition]) -> None:
        """Answer what was asked; by the engine's thread, while no transaction is open."""
        question = self._question
        if question is None:
            return
        self._question = None
        try:
            question.answer.set_result(self._page(question, opened))
        except Exception as error:  # noqa: BLE001 - it is the reader's, and never the engine's
            question.answer.set_exception(error)

    def _page(self, question: _Question, opened: Mapping[int, OpenPartition]) -> Page | None:
        partition = opened.get(question.partition)
        if partition is None:
            return None
        store, table = partition.state, self._table
        position = store.positions.get(table.changelog)
        found = list(islice(store.scan(table, question.start), question.entries_max + 1))
        following = found.pop()[0] if len(found) > question.entries_max else None
        if position is None:
            return Page("", 0, found, following)
        return Page(position.topic_id, position.next_offset, found, following)
