"""Why a day counts or not, from the log.

Owns: which inputs are about a date, what is said of the date, where to look when nothing is found.
Does not own: reading the log (log.py), wording a verdict (words.py), showing it
(cli/explain.py, the console).
Invariants: it only reads; what it says of a verdict is what was recorded, and what it says of a
date follows from the published progress. The inputs that it fetches are bounded by
`STORIES_MAX` and `CANDIDATES_MAX`, and what is left out is counted.

An audit entry names the date that its input counts for. One that does not count names none: then
the date is that of the completion it repeats, or what the input itself says.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Final

import msgspec

from pipeline.core.calendar import DAY_MS, date_of, day_of, local_date, maybe_day_of, utc_date
from pipeline.core.enumerations import CHANGING, PublishedVerdict
from pipeline.core.reading import DayKind, covered_by, day_kinds, today
from pipeline.core.records import (
    AuditEntry,
    DeadLetter,
    Instant,
    LocalDate,
    PortalUnlocked,
    PracticeCompleted,
    ProgressUpdated,
    ReconciliationAlert,
    RecordCoordinates,
)
from pipeline.core.rulebook import PolicyBook
from pipeline.core.zones import zone_of
from pipeline.ops.explain.records import (
    DayAnswer,
    Evidence,
    Explanation,
    Findings,
    RawInput,
    Repeated,
    Standing,
    Story,
    Told,
)
from pipeline.ops.explain.words import fields_of, policy_text, reason_of, why_of_day

STORIES_MAX: Final = 40
CANDIDATES_MAX: Final = 200
LATEST: Final = 10
"""Inputs that are told when no date is asked for."""


class Case(msgspec.Struct):
    """Everything published about one input."""

    coordinates: RecordCoordinates
    audit: tuple[RecordCoordinates, AuditEntry] | None = None
    alerts: list[tuple[RecordCoordinates, ReconciliationAlert]] = []
    letter: tuple[RecordCoordinates, DeadLetter] | None = None
    portals: list[tuple[RecordCoordinates, PortalUnlocked]] = []

    @property
    def alert(self) -> tuple[RecordCoordinates, ReconciliationAlert] | None:
        """The one that names another completion, of which there is one at most."""
        return next((one for one in self.alerts if one[1].verdict != "assumed_zone"), None)

    @property
    def append_time(self) -> Instant:
        """Of the input; 0 where nothing says."""
        found = self.audit or self.letter
        if found is not None:
            return found[1].append_time
        return self.portals[0][1].unlocked_at if self.portals else 0

    @property
    def local_date(self) -> LocalDate | None:
        """What the audit recorded."""
        return None if self.audit is None else self.audit[1].local_date


def explain(
    evidence: Evidence,
    policies: PolicyBook,
    user_id: str,
    day: date | None,
    now_ms: Instant,
    partition: tuple[int, int],
) -> Explanation:
    """Explain a user's day, or, without one, their latest inputs.

    Args:
        now_ms: the time of day; where the user stands is told of it.
        partition: of the user, and how many there are.

    Raises:
        what the evidence raises.
    """
    found = evidence.findings(user_id, day)
    cases = cases_of(found)
    raw: dict[RecordCoordinates, RawInput] = {}
    if day is None:
        chosen = [(case, "about") for case in cases[-LATEST:]]
        left_out = len(cases) - len(chosen) + found.not_read
    else:
        chosen, left_out, raw = _about(evidence, found, cases, date_of(day), policies)
    missing = [case.coordinates for case, _ in chosen if case.coordinates not in raw]
    raw |= evidence.inputs(missing)
    by_coordinates = {case.coordinates: case for case in cases}
    stories = tuple(_story(case, role, raw, by_coordinates, policies) for case, role in chosen)
    answer = None if day is None else _answer(found, date_of(day), stories)
    return Explanation(
        user_id,
        day,
        *partition,
        _standing(found, policies, now_ms),
        answer,
        stories,
        left_out,
        tuple(found.looked),
        tuple(_hints(found, cases, day, stories)),
    )


def cases_of(found: Findings) -> list[Case]:
    """What was published, by input, in the order of append."""
    cases: dict[RecordCoordinates, Case] = {}

    def case(coordinates: RecordCoordinates) -> Case:
        return cases.setdefault(coordinates, Case(coordinates))

    for at, entry in found.audit:
        case(entry.cause.coordinates).audit = (at, entry)
    for at, alert in found.alerts:
        case(alert.cause.coordinates).alerts.append((at, alert))
    for at, letter in found.letters:
        case(letter.cause.coordinates).letter = (at, letter)
    for at, portal in found.portals:
        case(portal.cause.coordinates).portals.append((at, portal))
    return sorted(cases.values(), key=lambda one: (one.append_time, one.coordinates))


def _about(
    evidence: Evidence,
    found: Findings,
    cases: Sequence[Case],
    day: LocalDate,
    policies: PolicyBook,
) -> tuple[list[tuple[Case, str]], int, dict[RecordCoordinates, RawInput]]:
    """The inputs of a date in order, how many more there are, and what was fetched to tell."""
    wanted = {case.coordinates for case in cases if case.local_date == day}
    requests = {
        case.audit[1].cause.id for case in cases if case.coordinates in wanted and case.audit
    }
    for case in cases:
        if case.alert is not None and case.local_date is None:
            alert = case.alert[1]
            original = alert.original.coordinates
            if original in wanted or alert.local_date == day:
                wanted.add(case.coordinates)
    late_days = policies.late_ms_max // DAY_MS + 3
    open_cases = [
        case
        for case in cases
        if case.local_date is None
        and case.coordinates not in wanted
        and case.alert is None
        and day - 3 <= utc_date(case.append_time) <= day + late_days + _extra_days(case)
    ]
    looked_at = open_cases[-CANDIDATES_MAX:]
    raw = dict(evidence.inputs([case.coordinates for case in looked_at]))
    for case in looked_at:
        if _claims(raw.get(case.coordinates), case, day, requests, policies):
            wanted.add(case.coordinates)
    beside: set[RecordCoordinates] = set()
    if found.progress is not None and _kind(found.progress[1], day) is DayKind.BRIDGED:
        beside = {case.coordinates for case in cases if case.local_date in (day - 1, day + 1)}
    chosen = [
        (case, "about" if case.coordinates in wanted else "beside")
        for case in cases
        if case.coordinates in wanted or case.coordinates in beside
    ]
    left_out = max(0, len(chosen) - STORIES_MAX) + len(open_cases) - len(looked_at)
    return chosen[-STORIES_MAX:], left_out, raw


def _extra_days(case: Case) -> int:
    """A withdrawal may come whenever it likes; what was too late was later than the limit."""
    is_withdrawal = case.audit is not None and case.audit[1].action == "withdraw"
    return 36_500 if is_withdrawal or case.letter is not None else 0


def _claims(
    sent: RawInput | None, case: Case, day: LocalDate, requests: set[str], policies: PolicyBook
) -> bool:
    """Whether an input that names no date in the audit is about one."""
    record = None if sent is None else sent.record
    if record is None:
        return abs(utc_date(case.append_time) - day) <= 1
    if isinstance(record, PracticeCompleted):
        zone = zone_of(record.tz) or zone_of("UTC")
        start = policies.at(case.append_time).day_start_minutes
        return zone is not None and local_date(record.completed_at, zone, start) == day
    return record.local_date == day or (record.withdraws or "") in requests


def _story(
    case: Case,
    role: str,
    raw: Mapping[RecordCoordinates, RawInput],
    by_coordinates: Mapping[RecordCoordinates, Case],
    policies: PolicyBook,
) -> Story:
    sent = raw.get(case.coordinates)
    record = None if sent is None else sent.record
    entry = None if case.audit is None else case.audit[1]
    alert = None if case.alert is None else case.alert[1]
    letter = None if case.letter is None else case.letter[1]
    append_time = case.append_time or (sent.append_time if sent is not None else 0)
    policy = policies.at(append_time)
    verdict: PublishedVerdict
    if entry is not None:
        verdict = entry.verdict
    elif alert is not None and alert.verdict != "assumed_zone":
        verdict = alert.verdict
    else:
        verdict = "dead_letter" if letter else "accepted"
    return Story(
        place=case.coordinates,
        id=_id_of(case),
        role=role,
        append_time=append_time,
        form="not in the topic any more" if sent is None else sent.form,
        sent=fields_of(record) or ({"refused": sent.refused} if sent and sent.refused else {}),
        action=entry.action if entry is not None else _action(case.coordinates),
        verdict=verdict,
        reason=reason_of(entry, record, alert, letter, policy),
        counts_for=maybe_day_of(case.local_date),
        policy_version=entry.policy_version if entry is not None else policy.version,
        policy=policy_text(policy),
        revision=entry.revision if entry is not None and verdict in CHANGING else 0,
        repeats=None if alert is None else _repeated(alert, by_coordinates),
        told=tuple(_published(case)),
    )


def _id_of(case: Case) -> str:
    return next(
        (
            one[1].cause.id
            for one in (case.audit, case.alert, case.letter)
            if one and one[1].cause.id
        ),
        "",
    )


def _action(coordinates: RecordCoordinates) -> str:
    return "command" if coordinates.topic.endswith("commands") else "completion"


def _repeated(
    alert: ReconciliationAlert, by_coordinates: Mapping[RecordCoordinates, Case]
) -> Repeated:
    original = alert.original
    coordinates = original.coordinates
    case = by_coordinates.get(coordinates)
    counted = alert.original_local_date
    if counted is None and case is not None:
        counted = case.local_date
    return Repeated(
        original.completion_id,
        coordinates,
        alert.differing_fields,
        maybe_day_of(counted),
        maybe_day_of(alert.local_date),
    )


def _published(case: Case) -> Iterable[Told]:
    if case.audit is not None:
        coordinates, entry = case.audit
        digests = f"{entry.digest_before} → {entry.digest_after}"
        changed = "state as it was" if entry.digest_before == entry.digest_after else digests
        yield Told("audit", f"sequence {entry.sequence}, {changed}", coordinates)
    for coordinates, alert in case.alerts:
        yield Told("alert", f"{alert.verdict}, {alert.severity}", coordinates)
    if case.letter is not None:
        coordinates, letter = case.letter
        yield Told("dead letter", f"{letter.stage}, {letter.reason}", coordinates)
    for coordinates, portal in case.portals:
        keys = len(portal.field_keys)
        text = f"{portal.title}, lap {portal.lap + 1}, {keys} Field Key{'' if keys == 1 else 's'}"
        yield Told("portal", text, coordinates)


def _kind(progress: ProgressUpdated, day: LocalDate) -> DayKind:
    return next(day_kinds(progress.dates, day, day))


def _answer(found: Findings, day: LocalDate, stories: Sequence[Story]) -> DayAnswer | None:
    if found.progress is None:
        return None
    progress = found.progress[1]
    kind = _kind(progress, day)
    run = next(((s, n) for s, n in covered_by(progress.dates) if s <= day < s + n), None)
    reason = why_of_day(kind, stories)
    if run is None:
        return DayAnswer(day_of(day), kind.value, False, reason, None, 0)
    start, length = run
    edges = (day_of(start), day_of(start + length - 1))
    return DayAnswer(day_of(day), kind.value, True, reason, edges, day - start + 1)


def _standing(found: Findings, policies: PolicyBook, now_ms: Instant) -> Standing | None:
    if found.progress is None:
        return None
    coordinates, progress = found.progress
    policy = policies.at(now_ms)
    now = today(progress, now_ms, policy)
    end = now.standing.current_end
    return Standing(
        place=coordinates,
        revision=progress.revision,
        generation=progress.generation,
        updated_at=progress.updated_at,
        today=day_of(now.date),
        tz=now.tz,
        tz_known=progress.tz_known,
        streak_days=now.standing.streak_days,
        longest_days=now.standing.longest_days,
        lifetime_days=now.standing.lifetime_days,
        safe_until=None if end is None else day_of(end + 1),
        last_date=maybe_day_of(now.standing.last_date),
        policy_version=policy.version,
    )


def _hints(
    found: Findings, cases: Sequence[Case], day: date | None, stories: Sequence[Story]
) -> Iterable[str]:
    if stories:
        return
    if not cases and found.progress is None:
        yield "Nothing at all was found of this id. Ids are case-sensitive; is it spelled so?"
        yield (
            "A client that hashes otherwise would show as dead letters with reason wrong_partition."
        )
        yield "What has not reached Kafka cannot be seen here: look at the client and the gateway."
    elif day is not None:
        near = sorted(
            {one.local_date for one in cases if one.local_date is not None},
            key=lambda one: abs(one - date_of(day)),
        )[:3]
        if near:
            dates = ", ".join(day_of(one).isoformat() for one in sorted(near))
            yield f"The nearest dates that have inputs: {dates}."
        if any(one.since_ms is not None for one in found.looked):
            yield "Only a part of the log was read; an earlier --since reads more."
