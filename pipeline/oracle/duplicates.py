"""Is a completion new, told twice, or at odds with another?

Owns: the check that a completion makes sense, the correction of a clock that is ahead, and the
verdict against everything of the same user that counted before.
Does not own: reading (reading.py), what a counted completion leads to (users.py).
Invariant: a completion is compared with completions that count, never with rejected ones.
"""

from datetime import date

from pipeline.oracle.dates import local_date, zone_names
from pipeline.oracle.events import (
    ID_CHARS_MAX,
    PRACTICE_CHARS_MAX,
    Completion,
    Place,
    Verdict,
    Word,
    is_name,
)
from pipeline.oracle.rules import Policy
from pipeline.oracle.users import Counted


def examine(
    completion: Completion, place: Place, append_time_ms: int, policy: Policy
) -> Counted | str:
    """Return the completion, its clock put right and its date decided, or what is wrong with it."""
    ids = (completion.completion_id, completion.user_id, completion.session_id)
    if not all(is_name(text, ID_CHARS_MAX) for text in ids):
        return "bad_id"
    if not is_name(completion.practice, PRACTICE_CHARS_MAX):
        return "bad_practice"
    if completion.tz not in zone_names():
        return "unknown_zone"
    ahead_ms = 0
    if completion.sent_at_ms is not None:
        ahead_ms = completion.sent_at_ms - append_time_ms
    if ahead_ms > policy.clock_ahead_ms_max:
        return "clock_too_far_ahead"
    shift_ms = ahead_ms if ahead_ms > policy.skew_tolerance_ms else 0
    start_ms, end_ms = completion.started_at_ms - shift_ms, completion.completed_at_ms - shift_ms
    if end_ms < start_ms:
        return "ends_before_start"
    if end_ms - start_ms < policy.session_ms_min:
        return "too_short"
    if end_ms - start_ms > policy.session_ms_max:
        return "too_long"
    if end_ms > append_time_ms + policy.future_skew_ms:
        return "too_far_ahead"
    if end_ms < append_time_ms - policy.late_ms:
        return "too_late"
    day = local_date(end_ms, completion.tz, policy.day_start)
    if day < policy.earliest_date:
        return "date_too_early"
    return Counted(
        place=place,
        completion_id=completion.completion_id,
        session_id=completion.session_id,
        content=completion.content,
        tz=completion.tz,
        start_ms=start_ms,
        end_ms=end_ms,
        append_time_ms=append_time_ms,
        local_date=day,
    )


def compare(new: Counted, counted: list[Counted], policy: Policy) -> Verdict:
    """Return the verdict on `new`, given everything of the same user that `counted` before it."""
    user_id = new.content[0]
    known = [one for one in counted if new.append_time_ms - one.append_time_ms <= policy.window_ms]

    def verdict(word: Word, originals: list[Counted], day: date | None = None) -> Verdict:
        return Verdict(word, "", user_id, day, tuple(one.place for one in originals))

    same_id = [one for one in known if one.completion_id == new.completion_id]
    if same_id:
        told_twice = same_id[-1].content == new.content
        return verdict("exact" if told_twice else "collision", same_id)
    same_session = [one for one in known if one.session_id == new.session_id]
    if same_session:
        return verdict("twin", same_session)
    crossed = [one for one in known if one.start_ms < new.end_ms and new.start_ms < one.end_ms]
    return verdict("overlap" if crossed else "accepted", crossed, new.local_date)
