"""Judges a body of completions as far as that needs no state.

Owns: splitting one object or an array into items, each item's bytes as they were sent, what is
refused before it is sent.
Does not own: the JSON form (codec/json_inputs.py) and the rules (core/completion.py), which are
those of the worker; where an item ends (codec/json_array.py); producing (producing.py).
Invariants: what is refused here would be a dead letter whenever it arrived. What depends on the
instant of arrival is left to the pipeline, as that is the brokers' clock: a completion that comes
too late is sent on with a warning in the answer, and becomes a dead letter that a person may
review. Each item is judged alone.
"""

import hashlib
import re
from typing import Final

import msgspec

from pipeline.api.http.problems import ProblemError
from pipeline.codec import json_inputs
from pipeline.codec.errors import DecodeError
from pipeline.codec.json_array import NotAnArrayError, bare, cut
from pipeline.core.completion import ValidCompletion, examine
from pipeline.core.records import Instant, PracticeCompleted
from pipeline.core.rejection import Rejection
from pipeline.core.rulebook import Policy

DECIDED_BY_ARRIVAL: Final = frozenset(
    {"clock_too_far_ahead", "too_far_ahead", "too_late", "before_earliest_date"}
)
"""Reasons of rejections that depend on the instant of arrival."""

_FIELD: Final = re.compile(
    r"`\$\.([a-z_]+)|field `([a-z_]+)`|^([a-z_]+)(?:\.\S+)? (?:is|has|must) |^field '([a-z_]+)'"
)
_FIELDS: Final = {
    "unknown_zone": "tz",
    "bad_practice": "practice",
    "ends_before_start": "completed_at",
    "too_short": "completed_at",
    "too_long": "completed_at",
}
_as_json: Final = msgspec.json.Decoder(msgspec.Raw).decode
_encode: Final = msgspec.msgpack.Encoder().encode


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a completion is refused, or what will probably become of it.

    Attributes:
        reason: a stable code, the same as a dead letter's. field: where it is one field's.
        detail: for a person, with the fix.
    """

    reason: str
    detail: str
    field: str | None = None


class Received(msgspec.Struct, frozen=True):
    """One item of a body that may be sent on.

    Attributes:
        value: the item's own bytes.
        digest: SHA-256 of its content and zone; two items with the same digest are exact duplicates
            to the pipeline, and count for the same date.
        warning: why it will probably be rejected when it arrives.
    """

    completion: PracticeCompleted
    value: bytes
    digest: bytes
    warning: Fault | None = None


def items_of(body: bytes, records_max: int) -> list[bytes]:
    """Split a body into its items: one object, or those of an array.

    Returns:
        The bytes of each item without space around it; they need not be JSON.

    Raises:
        ProblemError: 400, the body is neither an object nor an array; 413, there are too many
            items; 422, there is none.
    """
    value = bare(body)
    if value[:1] != b"[":
        if value[:1] != b"{":
            _check_json(value)
        return [value]
    try:
        items = cut(value)
    except NotAnArrayError as error:
        raise _not_json(f"the array cannot be cut into its items, {error}") from error
    if not items:
        raise ProblemError(422, "empty-batch", "Empty batch", "send at least one completion")
    if len(items) > records_max:
        raise ProblemError(
            413,
            "batch-too-large",
            "Too many completions",
            f"a request may carry {records_max} completions, not {len(items)}",
        )
    return items


def _check_json(value: bytes) -> None:
    try:
        _as_json(value)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _not_json(str(error)[:200]) from error


def _not_json(why: str) -> ProblemError:
    detail = f"{why}; send one completion, or an array of them, in UTF-8"
    return ProblemError(400, "malformed-json", "Not JSON", detail)


def judge(value: bytes, now_ms: Instant, policy: Policy) -> Received | Fault:
    """Judge one item.

    Args:
        value: any bytes, without space around them.
        now_ms: about when the item will be appended.
        policy: the rules in force then.
    """
    if not value:
        return Fault("malformed_json", "there is nothing between two commas; send one JSON object")
    if value[:1] != b"{":
        return Fault("wrong_type", "a completion is a JSON object; send one")
    try:
        completion = json_inputs.completion(value)
    except DecodeError as error:
        return Fault(error.reason, error.detail, _field_in(error.detail))
    except RecursionError:
        return Fault("malformed_json", "it is nested too deeply; send one flat JSON object")
    found = examine(completion, now_ms, policy)
    warning = None
    if isinstance(found, Rejection):
        fault = _fault(found)
        if found.reason not in DECIDED_BY_ARRIVAL:
            return fault
        warning = fault
    zone = _zone(completion, found)
    return Received(completion, value, _digest(completion, zone), warning)


def _zone(completion: PracticeCompleted, found: ValidCompletion | Rejection) -> str:
    """Return the zone that decides the date: its canonical name, else the text that was sent."""
    return found.zone.name if isinstance(found, ValidCompletion) else completion.tz


def _digest(one: PracticeCompleted, zone: str) -> bytes:
    content = (one.user_id, one.session_id, one.started_at, one.completed_at, one.practice, zone)
    return hashlib.sha256(_encode(content)).digest()


def _fault(found: Rejection) -> Fault:
    field = _FIELDS.get(found.reason, found.reason.removeprefix("bad_"))
    is_field = field in PracticeCompleted.__struct_fields__
    return Fault(found.reason, found.detail, field if is_field else None)


def _field_in(detail: str) -> str | None:
    found = _FIELD.search(detail)
    name = next((group for group in found.groups() if group), None) if found else None
    return name if name in PracticeCompleted.__struct_fields__ else None
