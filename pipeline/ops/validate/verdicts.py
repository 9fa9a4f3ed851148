"""What the pipeline would say of inputs, without a server.

Owns: one verdict an input, over what those before it left behind.
Does not own: the rules and the decoding, which are the worker's own (core, codec/inputs.py); what
is left behind (state.py); reading files (files.py).
Invariants: nothing is sent or kept anywhere; inputs are judged in their order, each over what those
before it left behind, so a list ends in the streaks and portals that the same list would end in on
the topics. What only a broker decides (the partition, the append time) is given or left out.
"""

from datetime import date
from typing import Final, Literal, Protocol

import msgspec

from pipeline.codec.dead_letters import fault_of
from pipeline.codec.errors import DecodeError, RegistryUnavailableError
from pipeline.codec.inputs import check_key, names_no_user
from pipeline.core.calendar import day_of, maybe_day_of
from pipeline.core.enumerations import (
    COUNTED,
    PublishedAlertVerdict,
)
from pipeline.core.fold import Outcome, Rejection, World, fold_command, fold_completion
from pipeline.core.progress import progress_of
from pipeline.core.reading import today
from pipeline.core.records import (
    Cause,
    Command,
    Instant,
    PracticeCompleted,
    ReconciliationAlert,
)
from pipeline.core.redrive import (
    MEMORY_MARGIN_MS,
    examine_payload,
    examine_redrive,
    of_redrive,
    redrive_rejected,
)
from pipeline.core.state import EMPTY, UserState
from pipeline.ops.explain.words import revoked_by_text
from pipeline.ops.validate.state import PUBLISHED, LeftBehind

Topic = Literal["completions", "commands"]


class Decoder(Protocol):
    """What of an `InputDecoder` is needed here."""

    ignored_fields: int

    def decode_completion(self, value: bytes | None) -> PracticeCompleted:
        """Raises DecodeError."""
        ...

    def decode_command(self, value: bytes | None) -> Command:
        """Raises DecodeError."""
        ...


class Entry(msgspec.Struct, frozen=True):
    """One input, as it would lie in the log.

    Attributes:
        name: how it is called in what is said of it.
        key: of the record; looked at only when `has_key`.
        judged_at: of what is redriven, when it first came; `append_time` is the redrive's own.
    """

    name: str
    topic: Topic
    append_time: Instant
    value: bytes | None
    key: bytes | None = None
    has_key: bool = False
    judged_at: Instant | None = None


class Alert(msgspec.Struct, frozen=True):
    """A reconciliation alert that would be published."""

    verdict: str
    severity: str
    original: str
    differing_fields: tuple[str, ...]
    local_date: date | None
    original_local_date: date | None


class Said(msgspec.Struct, frozen=True):
    """What the pipeline would say of one input.

    Attributes:
        verdict: as in the audit. stage, reason: of a dead letter; null otherwise.
        detail: why, for a person.
        local_date: that it counts for, would count for, or names.
        user_id, streak_days, longest_days: its user, and where that one stands afterwards, at its
            append; null without a user, also where the user id cannot be one.
        portals: slugs of those that it unlocks.
        revoked_by: requests that keep its date from counting; the detail says so, too, where their
            ids are not known, as over published progress.
        ignored_fields: how many fields of it are not known.
    """

    name: str
    verdict: str
    stage: str | None
    reason: str | None
    detail: str
    local_date: date | None
    streak_days: int | None
    portals: tuple[str, ...]
    topic: Topic
    id: str | None = None
    user_id: str | None = None
    longest_days: int | None = None
    tz: str | None = None
    tz_assumed: bool = False
    alerts: tuple[Alert, ...] = ()
    revoked_by: tuple[str, ...] = ()
    ignored_fields: int = 0
    policy_version: str = ""


class Reading(msgspec.Struct, frozen=True):
    """Where a user would be said to stand at an instant."""

    user_id: str
    today: date
    tz: str
    streak_days: int
    longest_days: int
    last_local_date: date | None
    streak_safe_until: date | None
    bridged: tuple[tuple[date, int], ...]
    portals: tuple[str, ...]


class Validator:
    """Judges inputs one after the other.

    Args:
        world: policy and catalogue.
        decoder: the worker's.
        left: what earlier inputs left behind; changed by those to come.
    """

    def __init__(self, world: World, decoder: Decoder, left: LeftBehind | None = None) -> None:
        self.left = left or LeftBehind(world.policies.window_ms)
        self._world = world
        self._decoder = decoder
        self._next_offset: dict[str, int] = {"completions": 0, "commands": 0}

    def judge(self, entry: Entry) -> Said:
        """What would be said of an input, over everything before it; it is part of that after.

        Raises:
            RegistryUnavailableError: its schema could not be asked for, so nothing can be said.
        """
        offset = self._next_offset[entry.topic]
        self._next_offset[entry.topic] = offset + 1
        ignored = self._decoder.ignored_fields
        try:
            event = self._decode(entry)
        except DecodeError as error:
            rejection = Rejection(error.stage, error.reason, error.detail)
            return self._refused(entry, rejection)
        except RegistryUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 — as in the worker, it costs this input alone
            return self._refused(entry, fault_of("decode", error))
        try:
            outcome = self._fold(event, entry, offset)
        except RegistryUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 — as in the worker, it costs this input alone
            outcome = fault_of("fold", error)
        if isinstance(outcome, Rejection):
            return self._refused(entry, outcome)
        if outcome.seen is not None:
            self.left.seen.remember(event.user_id, outcome.seen)
        if outcome.state is not None:
            self.left.users[event.user_id] = outcome.state
        return self._said(entry, event, outcome, self._decoder.ignored_fields - ignored)

    def remember(
        self,
        completion: PracticeCompleted,
        cause: Cause,
        append_time: Instant,
        judged_at: Instant | None = None,
    ) -> None:
        """Have the window hold a completion that counted; its user's state stays as it is.

        Args:
            completion: given in the order in which they were appended.
            cause: where it lies.
            judged_at: as of an entry.
        """
        self.left.seen.now = append_time
        world = self._judging_at(judged_at)
        outcome = fold_completion(
            UserState(), self.left.seen, completion, cause, append_time, world
        )
        if outcome.seen is not None:
            self.left.seen.remember(completion.user_id, outcome.seen)

    def read(self, user_id: str, at: Instant, tz: str | None = None) -> Reading:
        """Where a user would be said to stand.

        Args:
            tz: where the reader says that the user is.
        """
        state = self.left.users.get(user_id, EMPTY)
        cause = Cause("", 0, 0)
        progress = progress_of(user_id, state, cause, at, self._world)
        now = today(progress, at, self._world.policies.at(at), tz)
        end = now.standing.current_end
        return Reading(
            user_id,
            day_of(now.date),
            now.tz,
            now.standing.streak_days,
            now.standing.longest_days,
            maybe_day_of(now.standing.last_date),
            None if end is None else day_of(end + 1),
            tuple([(day_of(run.start), run.length) for run in progress.dates.bridged]),
            tuple([portal.slug for portal in progress.portals]),
        )

    def _decode(self, entry: Entry) -> PracticeCompleted | Command:
        event = self._decoded(entry.topic, entry.value)
        if entry.has_key and not names_no_user(event):
            check_key(entry.key, event.user_id, 0, 1)
        return event

    def _decoded(self, topic: str | None, value: bytes | None) -> PracticeCompleted | Command:
        if topic == "completions":
            return self._decoder.decode_completion(value)
        return self._decoder.decode_command(value)

    def _fold(
        self, event: PracticeCompleted | Command, entry: Entry, offset: int
    ) -> Outcome | Rejection:
        event_id = event.request_id if isinstance(event, Command) else event.completion_id
        cause = Cause(entry.topic, 0, offset, event_id)
        if entry.judged_at is not None:
            rejection = examine_payload(event, event) if isinstance(event, Command) else None
            return rejection or self._judged(event, cause, entry.append_time, entry.judged_at)
        if not isinstance(event, Command) or event.kind != "redrive":
            return self._judged(event, cause, entry.append_time)
        found = examine_redrive(event, entry.append_time) or self._payload(event)
        if isinstance(found, Rejection):
            version = self._world.policies.at(entry.append_time).version
            state = self.left.users.get(event.user_id, EMPTY)
            return redrive_rejected(event, state, found, version)
        judged_at = event.payload_append_time
        return of_redrive(event, self._judged(found, cause, entry.append_time, judged_at))

    def _payload(self, redrive: Command) -> PracticeCompleted | Command | Rejection:
        """What a redrive carries, or why that is not judged."""
        try:
            event = self._decoded(redrive.payload_topic, redrive.payload)
        except DecodeError as error:
            return Rejection(error.stage, error.reason, error.detail)
        return examine_payload(redrive, event) or event

    def _judged(
        self,
        event: PracticeCompleted | Command,
        cause: Cause,
        append_time: Instant,
        judged_at: Instant | None = None,
    ) -> Outcome:
        state = self.left.users.get(event.user_id, EMPTY)
        world = self._judging_at(judged_at)
        if isinstance(event, Command):
            return fold_command(state, event, cause, append_time, world)
        self.left.seen.now = append_time + (0 if judged_at is None else MEMORY_MARGIN_MS)
        return fold_completion(state, self.left.seen, event, cause, append_time, world)

    def _judging_at(self, judged_at: Instant | None) -> World:
        """The world by which something is judged that first came at another time."""
        if judged_at is None:
            return self._world
        return msgspec.structs.replace(self._world, judged_at=judged_at)

    def _refused(self, entry: Entry, rejection: Rejection) -> Said:
        return Said(
            entry.name,
            "dead_letter",
            rejection.stage,
            rejection.reason,
            rejection.detail,
            None,
            None,
            (),
            entry.topic,
            policy_version=self._world.policies.at(entry.append_time).version,
        )

    def _said(
        self, entry: Entry, event: PracticeCompleted | Command, outcome: Outcome, ignored: int
    ) -> Said:
        rejection, alerts = outcome.rejection, outcome.alerts
        user_id = outcome.user_id
        reading = None if user_id is None else self.read(user_id, entry.append_time)
        dated = outcome.local_date
        if dated is None and alerts:
            dated = alerts[0].local_date
        return Said(
            name=entry.name,
            verdict=outcome.verdict,
            stage=None if rejection is None else rejection.stage,
            reason=None if rejection is None else rejection.reason,
            detail=_why(event, outcome),
            local_date=maybe_day_of(dated),
            streak_days=None if reading is None else reading.streak_days,
            portals=tuple([unlock.portal for unlock in outcome.unlocks]),
            topic=entry.topic,
            id=event.completion_id if isinstance(event, PracticeCompleted) else event.request_id,
            user_id=user_id,
            longest_days=None if reading is None else reading.longest_days,
            tz=outcome.tz,
            tz_assumed=outcome.tz_assumed,
            alerts=tuple([_alert(one) for one in alerts]),
            revoked_by=_known(outcome.revoked_by),
            ignored_fields=ignored,
            policy_version=outcome.policy_version,
        )


def _alert(alert: ReconciliationAlert) -> Alert:
    return Alert(
        alert.verdict,
        alert.severity,
        alert.original.completion_id,
        alert.differing_fields,
        maybe_day_of(alert.local_date),
        maybe_day_of(alert.original_local_date),
    )


def _why(event: PracticeCompleted | Command, outcome: Outcome) -> str:
    """Why an input has its verdict, in a sentence or two."""
    if outcome.rejection is not None:
        return outcome.rejection.detail
    if outcome.verdict in COUNTED:
        text = f"it counts for {maybe_day_of(outcome.local_date)} in {outcome.tz}"
        if outcome.tz_assumed:
            named = f" {event.tz!r}" if isinstance(event, PracticeCompleted) else " that it names"
            text += f", assumed from its offset: nobody knows the zone{named}"
    elif outcome.verdict == "applied":
        text = "it is carried out"
    elif outcome.verdict == "repeated":
        text = "the same request was taken before; asked again it changes nothing"
    else:
        text = "it does not count"
    for alert in outcome.alerts:
        if alert.verdict == "assumed_zone":
            continue
        text += f"; {_RELATIONS[alert.verdict]} {alert.original.completion_id!r}"
        if alert.differing_fields:
            text += f", from which it differs in {', '.join(alert.differing_fields)}"
        if alert.severity == "error" and alert.local_date != alert.original_local_date:
            text += (
                f"; a date is at stake: {maybe_day_of(alert.local_date)}, where that one counts"
                f" for {maybe_day_of(alert.original_local_date)}"
            )
    if outcome.revoked_by:
        text += f".{_revoked_by(_known(outcome.revoked_by))}"
    return text


def _known(requests: tuple[str, ...]) -> tuple[str, ...]:
    return tuple([one for one in requests if not one.startswith(PUBLISHED)])


def _revoked_by(requests: tuple[str, ...]) -> str:
    if requests:
        return revoked_by_text(requests)
    return " The date does not count all the same: it is revoked, by a request not known here."


_RELATIONS: Final[dict[PublishedAlertVerdict, str]] = {
    "exact": "it is a retry of",
    "twin": "its session was accepted as",
    "collision": "its id is that of another completion,",
    "overlap": "it overlaps in time with",
}
