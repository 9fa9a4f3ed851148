"""The console's corrections: a form, a preview, the confirmation, what became of it.

Owns: the steps from the form to the result, what each outcome says to the operator.
Does not own: corrections themselves (ingest/adjusting.py), whose forms are taken (gate.py).
Invariants: nothing is sent before the operator has seen exactly what it changes: the confirmation
carries the digest of the preview that was shown, and if it would be another one by now, that one is
shown instead. A confirmation that is sent twice is carried out once, as the request id is made with
the preview. Every step works without scripts; a result is at an address of its own, so loading it
again sends nothing.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from pipeline.api.console.gate import FORM_TOKEN, Gate
from pipeline.api.console.rendering import Pages, link
from pipeline.api.dependencies import Dependencies
from pipeline.api.http.auth import OPERATE, Principal
from pipeline.api.http.problems import ProblemError
from pipeline.api.ingest.adjusting import ABOUT, AdjustmentIn, AdjustmentKind, Prepared, invalid
from pipeline.api.ingest.tracing import record_headers
from pipeline.core.calendar import day_of
from pipeline.core.records import AuditEntry
from pipeline.core.texts import is_id
from pipeline.ops.adjust.preview import AdjustmentPreview

AT: Final = "adjust"
"""Path of these pages below the console's root."""

ENTRIES: Final = 200
"""Latest audit entries of a person in which requests are looked for that may be withdrawn."""

CHANGED: Final = "Something changed since you looked. This is what it would do now."

KIND_TEXTS: Final[Mapping[AdjustmentKind, str]] = {
    "credit_day": "Credit a day",
    "revoke_day": "Revoke a day",
    "withdraw": "Withdraw a request",
    "claim_key": "Claim a Field Key",
    "return_key": "Return a Field Key",
}
_FIELDS: Final = ("kind", "local_date", "withdraws", "key_id", "tz", "reason", "ticket")


class Suggested(msgspec.Struct, frozen=True):
    """A request that may be withdrawn, and what it was."""

    request_id: str
    text: str


class Sheet(msgspec.Struct, frozen=True):
    """What the form shows.

    Attributes:
        form_token: of the session.
        given: what was typed, by field.
        complaint: why it cannot be previewed; else empty.
        keys: Field Keys of the person. requests: of the person, the latest first.
        needs_zone: nothing says yet where the person is.
    """

    user_id: str
    form_token: str
    given: Mapping[str, str]
    complaint: str = ""
    keys: Sequence[str] = ()
    requests: Sequence[Suggested] = ()
    needs_zone: bool = True


class Adjusting:
    """Answers with the pages of corrections."""

    def __init__(self, deps: Dependencies, pages: Pages, gate: Gate) -> None:
        self._deps = deps
        self._pages = pages
        self._gate = gate

    def sheet(
        self,
        request: Request,
        principal: Principal,
        user_id: str,
        given: Mapping[str, str] | None = None,
        complaint: str = "",
    ) -> Sheet | None:
        """Make what the form shows; None for those who may not send it."""
        if OPERATE not in principal.scopes:
            return None
        held = self._deps.source.store.get(user_id)
        record = None if held is None else self._deps.source.decode(held.value)
        return Sheet(
            user_id,
            self._gate.form_token(request),
            given or {"kind": "credit_day"},
            complaint,
            () if record is None else record.keys.granted,
            suggested(self._deps, user_id),
            record is None or not record.tz_known,
        )

    async def show(self, request: Request, principal: Principal) -> Response:
        """Answer with the form alone, or with what became of a request."""
        user_id = _user(request.query_params)
        request_id = request.query_params.get("request", "")
        if not request_id:
            given = {name: request.query_params.get(name, "") for name in _FIELDS}
            given["kind"] = given["kind"] or "credit_day"
            return self._form(request, principal, user_id, given)
        found = await self._deps.adjuster.known(user_id, request_id) if is_id(request_id) else None
        return self._pages.render(
            "adjust_result.html",
            request,
            principal,
            user_id=user_id,
            request_id=request_id,
            found=found,
        )

    def _form(
        self,
        request: Request,
        principal: Principal,
        user_id: str,
        given: Mapping[str, str],
        error: ProblemError | None = None,
    ) -> Response:
        complaint = "" if error is None else error.problem.detail
        return self._pages.render(
            "adjust.html",
            request,
            principal,
            200 if error is None else error.status,
            user_id=user_id,
            sheet=self.sheet(request, principal, user_id, given, complaint),
            kinds=KIND_TEXTS,
        )

    async def take(
        self, request: Request, principal: Principal, form: Mapping[str, str]
    ) -> Response:
        """Take a step: show the preview, or after that send what was confirmed."""
        user_id = _user(form)
        if form.get("step") == "change":
            return self._form(request, principal, user_id, form)
        try:
            prepared = await self._deps.adjuster.prepare(user_id, _adjustment(form), principal)
        except ProblemError as error:
            return self._form(request, principal, user_id, form, error)
        rejection = prepared.preview.rejection
        if rejection is not None:
            refused = invalid(f"It would be rejected: {rejection.detail}")
            return self._form(request, principal, user_id, form, refused)
        if form.get("step") != "confirm":
            return self._preview(request, principal, form, prepared)
        if prepared.preview.verdict == "repeated":
            return _to_result(prepared)
        if form.get("seen") != digest_of(prepared.preview):
            return self._preview(request, principal, form, prepared, (409, CHANGED))
        headers = record_headers(request.headers, principal.name)
        try:
            await self._deps.adjuster.send(prepared, headers)
        except ProblemError as error:
            if not error.body.get("position"):
                told = (error.status, f"It is not known to be sent: {error.problem.detail}")
                return self._preview(request, principal, form, prepared, told)
        return _to_result(prepared)

    def _preview(
        self,
        request: Request,
        principal: Principal,
        form: Mapping[str, str],
        prepared: Prepared,
        told: tuple[int, str] = (200, ""),
    ) -> Response:
        shown, kind = prepared.preview, _kind(form)
        kept: dict[str, Any] = {name: form[name] for name in _FIELDS if form.get(name)}
        kept |= {
            "user": shown.user_id,
            "request_id": shown.request_id,
            "seen": digest_of(shown),
            FORM_TOKEN: self._gate.form_token(request),
        }
        status, complaint = told
        return self._pages.render(
            "adjust_preview.html",
            request,
            principal,
            status,
            user_id=shown.user_id,
            title=KIND_TEXTS[kind],
            about=form[_about(form, kind)].strip(),
            is_dated=kind in ("credit_day", "revoke_day"),
            given=form,
            shown=shown,
            kept=kept,
            complaint=complaint,
        )


def digest_of(shown: AdjustmentPreview) -> str:
    """Return a digest of everything that a preview says."""
    return hashlib.sha256(msgspec.json.encode(shown)).hexdigest()


def suggested(deps: Dependencies, user_id: str) -> list[Suggested]:
    """Return the requests of a person that may be withdrawn, the latest first."""
    entries, _ = deps.outcomes.of_user(user_id, ("audit",), limit=ENTRIES)
    records = [entry.record for entry in entries if isinstance(entry.record, AuditEntry)]
    return [
        Suggested(record.cause.id, _what(record))
        for record in records
        if record.verdict == "applied" and record.action in ("credit", "revoke", "claim_key")
    ]


def _what(record: AuditEntry) -> str:
    about = "" if record.local_date is None else f" {day_of(record.local_date)}"
    return f"{record.action.replace('_', ' ')}{about}, by {record.actor}"


def _user(form: Mapping[str, str]) -> str:
    user_id = form.get("user", "")
    if not is_id(user_id):
        raise ProblemError(400, "bad-user-id", "Not a user id", "nobody can have this id")
    return user_id


def _kind(form: Mapping[str, str]) -> AdjustmentKind:
    kind = next((kind for kind in KIND_TEXTS if kind == form.get("kind")), None)
    if kind is None:
        raise invalid("Choose what to correct.")
    return kind


def _about(form: Mapping[str, str], kind: AdjustmentKind) -> str:
    """Return the field that says what a correction is about."""
    about = next((name for name in ABOUT[kind] if form.get(name, "").strip()), None)
    if about is None:
        raise invalid(f"Say what it is about: {_ASKED[ABOUT[kind][0]]}.")
    return about


def _adjustment(form: Mapping[str, str]) -> AdjustmentIn:
    """Read a correction from a form; fields of other kinds may be filled in, and are left out."""
    kind = _kind(form)
    about = _about(form, kind)
    value: Any = form[about].strip()
    if about == "local_date":
        try:
            value = date.fromisoformat(value)
        except ValueError:
            raise invalid("The date must be one such as 2026-03-01.") from None
    given = {"kind": kind, about: value, "reason": form.get("reason", "").strip()}
    given["ticket"] = form.get("ticket", "").strip()
    given["tz"] = form.get("tz", "").strip() or None if about == "local_date" else None
    given["request_id"] = form.get("request_id") or None
    try:
        return msgspec.convert(given, AdjustmentIn)
    except msgspec.ValidationError as error:
        raise invalid(f"Fill in reason and ticket; {error}.") from None


_ASKED: Final[Mapping[str, str]] = {
    "local_date": "fill in the date",
    "withdraws": "name the request",
    "key_id": "name the Field Key",
}


def _to_result(prepared: Prepared) -> Response:
    command = prepared.command
    return RedirectResponse(link(AT, user=command.user_id, request=command.request_id), 303)
