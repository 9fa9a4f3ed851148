"""The verdict on a completion: new, a duplicate, or at odds with another.

Owns: the check that a completion makes sense, the correction of a clock that is ahead, and the
verdict against everything of the same user that counted before.
Does not own: reading (reading.py), what a counted completion leads to (users.py).
Invariant: a completion is compared with completions that count, never with rejected ones.
"""

from pipeline.dev.oracle.dates import local_date
from pipeline.dev.oracle.events import Against, Alert, Completion, Coordinates, Word
from pipeline.dev.oracle.rules import Policy
from pipeline.dev.oracle.texts import is_id, is_practice
from pipeline.dev.oracle.users import Counted
from pipeline.dev.oracle.zones import resolve

SEVERITIES = {"exact": "info", "twin": "notice", "collision": "error", "overlap": "notice"}


def examine(
    completion: Completion, coordinates: Coordinates, append_time_ms: int, policy: Policy
) -> Counted | str:
    """Return the completion, its clock corrected and its date decided, or what is wrong with it."""
    wrong = _wrong_text(completion)
    if wrong:
        return wrong
    zone = resolve(completion.tz, completion.offset_minutes)
    if zone is None:
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
    day = local_date(end_ms, zone.tz, policy.day_start)
    if day < policy.earliest_date:
        return "date_too_early"
    return Counted(
        coordinates=coordinates,
        completion_id=completion.completion_id,
        session_id=completion.session_id,
        content=completion.content,
        tz=zone.tz,
        start_ms=start_ms,
        end_ms=end_ms,
        append_time_ms=append_time_ms,
        local_date=day,
        assumed=zone.assumed,
    )


def _wrong_text(completion: Completion) -> str:
    for name in ("user_id", "completion_id", "session_id"):
        if not is_id(getattr(completion, name)):
            return f"bad_{name}"
    return "" if is_practice(completion.practice) else "bad_practice"


def compare(
    new: Counted, counted: list[Counted], policy: Policy, margin_ms: int = 0
) -> tuple[Word, list[Alert]]:
    """Return the verdict on `new`, given everything of the same user that `counted` before it.

    Args:
        margin_ms: by how much sooner than usual it is forgotten what counted.

    Returns:
        Accepted, exact, twin, collision or overlap, and the alerts that must be published.
    """
    forgotten_before = new.append_time_ms + margin_ms - policy.window_ms
    known = [one for one in counted if one.append_time_ms >= forgotten_before]
    same_id = [one for one in known if one.completion_id == new.completion_id]
    if same_id:
        is_same = same_id[-1].content == new.content
        word: Word = "exact" if is_same else "collision"
        return word, [_alert(word, new, same_id)]
    same_session = [one for one in known if one.session_id == new.session_id]
    if same_session:
        return "twin", [_alert("twin", new, same_session)]
    overlapped = [one for one in known if one.start_ms < new.end_ms and new.start_ms < one.end_ms]
    alerts = [_alert("overlap", new, overlapped)] if overlapped else []
    if new.assumed:
        itself = Against(new.coordinates, new.local_date, frozenset({"tz"}), "notice")
        alerts.append(Alert("assumed_zone", new.local_date, (itself,)))
    return ("overlap" if overlapped else "accepted"), alerts


def _alert(word: str, new: Counted, originals: list[Counted]) -> Alert:
    return Alert(word, new.local_date, tuple(_against(word, new, one) for one in originals))


def _against(word: str, new: Counted, original: Counted) -> Against:
    date_at_stake = word != "overlap" and new.local_date != original.local_date
    return Against(
        coordinates=original.coordinates,
        local_date=original.local_date,
        differing=_differing(new, original),
        severity="error" if date_at_stake else SEVERITIES[word],
    )


def _differing(new: Counted, original: Counted) -> frozenset[str]:
    names = ("session_id", "started_at", "completed_at", "practice")
    pairs = zip(names, new.content[1:], original.content[1:], strict=True)
    differing = {name for name, mine, theirs in pairs if mine != theirs}
    return frozenset(differing | ({"tz"} if new.tz != original.tz else set()))
