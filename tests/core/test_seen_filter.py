"""The filter saves look-ups, and never changes a verdict."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pipeline.codec.state import encode_state
from pipeline.core.seen_filter import (
    COMPLETIONS_MAX,
    MARGIN_MS,
    NOTHING_SEEN,
    SeenFilter,
    fingerprint_of,
    may_be_seen,
    with_fingerprint,
)
from pipeline.ops.validate.state import Remembered
from tests.core.scenes import BOOK, DAY, HOUR, NOW, Log, completion

WINDOW_MS = BOOK.window_ms
PERIOD_MS = WINDOW_MS + MARGIN_MS


class Counted(Remembered):
    """A memory that counts how often it is asked."""

    asked = 0

    def by_id(self, user_id: str, completion_id: str):  # type: ignore[no-untyped-def]
        self.asked += 1
        return super().by_id(user_id, completion_id)

    def cover(self, user_id: str, cell: int):  # type: ignore[no-untyped-def]
        self.asked += 1
        return super().cover(user_id, cell)


def counted_log() -> tuple[Log, Counted]:
    log, memory = Log(), Counted(WINDOW_MS)
    log.memory = memory
    return log, memory


def test_what_left_no_traces_is_not_looked_up() -> None:
    log, memory = counted_log()
    for n in range(20):
        log.take(completion(n, NOW + n * DAY), NOW + n * DAY)
    assert log.verdicts == ["accepted"] * 20
    assert memory.asked == 0
    log.take(completion(19, NOW + 19 * DAY), NOW + 19 * DAY)
    assert log.verdicts[-1] == "exact"
    assert memory.asked == 1


def test_an_id_or_a_session_of_the_period_before_is_enough() -> None:
    before = SeenFilter(recent=b"", before=fingerprint_of("c1", "s1"))
    for ids, is_seen in ((("c1", "s2"), True), (("c2", "s1"), True), (("c2", "s2"), False)):
        assert may_be_seen(before, fingerprint_of(*ids)) is is_seen


def test_a_state_from_before_the_filter_is_looked_up() -> None:
    log, memory = counted_log()
    log.take(completion(1, NOW), NOW)
    log.state = msgspec.structs.replace(log.state, seen_filter=SeenFilter())
    log.take(completion(1, NOW), NOW + 1)
    log.take(completion(2, NOW + DAY), NOW + DAY)
    assert log.verdicts == ["accepted", "exact", "accepted"]
    assert memory.asked >= 3


def test_more_than_a_period_holds_is_looked_up_until_it_has_expired() -> None:
    known = NOTHING_SEEN
    for n in range(COMPLETIONS_MAX + 1):
        assert not may_be_seen(known, fingerprint_of("new", "new"))
        known = with_fingerprint(known, fingerprint_of(f"c{n}", f"s{n}"), n, NOW, WINDOW_MS)
    assert may_be_seen(known, fingerprint_of("new", "new"))
    known = with_fingerprint(known, fingerprint_of("c", "s"), 0, NOW + 1, WINDOW_MS)
    assert known.recent is None
    known = with_fingerprint(known, fingerprint_of("d", "s"), 0, NOW + PERIOD_MS + 1, WINDOW_MS)
    assert may_be_seen(known, fingerprint_of("new", "new"))
    known = with_fingerprint(known, fingerprint_of("e", "s"), 0, NOW + 2 * PERIOD_MS + 2, WINDOW_MS)
    assert not may_be_seen(known, fingerprint_of("new", "new"))
    assert known.last_cell == COMPLETIONS_MAX


def test_a_fingerprint_stays_for_as_long_as_the_window() -> None:
    first = fingerprint_of("c", "s")
    known = with_fingerprint(NOTHING_SEEN, first, 0, NOW, WINDOW_MS)
    for days in range(1, (WINDOW_MS + MARGIN_MS) // DAY):
        known = with_fingerprint(
            known, fingerprint_of(f"{days}", f"{days}"), 0, NOW + days * DAY, WINDOW_MS
        )
        assert may_be_seen(known, fingerprint_of("c", "other"))
        assert may_be_seen(known, fingerprint_of("other", "s"))


def test_the_filter_is_bounded() -> None:
    log = Log()
    sizes = []
    for n in range(4 * COMPLETIONS_MAX):
        log.take(completion(n, NOW + n * 6 * HOUR), NOW + n * 6 * HOUR)
        sizes.append(len(encode_state(msgspec.structs.replace(log.state, granted=(), portals=()))))
    assert max(sizes) < min(sizes) + 2 * 8 * COMPLETIONS_MAX + 500


moments = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.integers(0, 5),
        st.integers(-20, 3 * PERIOD_MS // HOUR),
        st.integers(0, 20),
    ),
    max_size=25,
)


@given(moments)
def test_no_verdict_depends_on_the_filter(history: list[tuple[int, int, int, int]]) -> None:
    """Append times grow, but for steps back of less than a day."""
    log, plain = Log(), Log()
    for number, session, hours, back in sorted(history, key=lambda one: one[2]):
        append_time = NOW + (hours - back) * HOUR
        event = msgspec.structs.replace(
            completion(number, append_time - session * HOUR), session_id=f"s{session}"
        )
        plain.state = msgspec.structs.replace(plain.state, seen_filter=SeenFilter())
        outcomes = log.take(event, append_time), plain.take(event, append_time)
        one, other = (
            msgspec.structs.replace(outcome, state=None, standing=None) for outcome in outcomes
        )
        assert one == other


def test_a_period_is_longer_than_the_window_by_the_margin() -> None:
    old, new = fingerprint_of("a", "s"), fingerprint_of("b", "t")
    known = with_fingerprint(NOTHING_SEEN, old, 1, NOW, WINDOW_MS)
    same = with_fingerprint(known, new, 2, NOW + PERIOD_MS, WINDOW_MS)
    assert (same.since, same.recent, same.before) == (NOW, old + new, b"")
    next_one = with_fingerprint(known, new, 2, NOW + PERIOD_MS + 1, WINDOW_MS)
    assert (next_one.since, next_one.recent) == (NOW + PERIOD_MS + 1, new)
    assert next_one.before == old
    assert next_one.last_cell == 2
