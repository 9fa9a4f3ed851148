"""The console's pages of dead letters: a list, one letter, and what an operator does about them.

Owns: the steps from a list to what became of its letters, which filters there are, what a row says.
Does not own: reading, judging and sending (deadletters_desk.py), whose forms are taken (gate.py).
Invariants: nothing is sent before the operator has seen what would now happen to each letter: the
confirmation carries the digest of the preview that was shown, and if it would be another one by
now, that one is shown instead. A form that is sent twice asks once. Every step works without
scripts; what became of it is at an address of its own, so loading it again sends nothing.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from pipeline.api.console.deadletters_desk import PAGE, LetterDesk
from pipeline.api.console.dependencies import ConsoleDependencies
from pipeline.api.console.gate import FORM_TOKEN, Gate
from pipeline.api.console.history import Tone
from pipeline.api.console.rendering import Pages, link
from pipeline.api.http.auth import Principal
from pipeline.api.http.problems import ProblemError
from pipeline.codec.partitioner import OF_ITS_KEY
from pipeline.core.enumerations import Stage
from pipeline.core.texts import NOTE_CHARS_MAX, is_blank, is_id, is_note
from pipeline.errors import UsageError
from pipeline.ops.deadletters.handled import Handled
from pipeline.ops.deadletters.letters import About, Letter, Place, Wanted, place_of
from pipeline.ops.deadletters.plan import (
    Planned,
    Why,
    discard_command,
    numbers_of,
    plan_discard,
    plan_redrive,
    redrive_command,
)
from pipeline.ops.deadletters.readable import one_line, shown_of

AT: Final = "dead-letters"
"""Path of the list below the console's root."""

FIELDS_MAX: Final = PAGE + 10
"""Most fields of a form: a field for each letter, and some."""

CHANGED: Final = "Something changed since you looked. This is what would happen now."
_LETTER: Final = "letter."
_TICKET_CHARS_MAX: Final = 200
_TONES: Final[Mapping[str, Tone]] = {"open": "notice", "redriven": "good", "discarded": "quiet"}
_STAGES: Final[tuple[Stage, ...]] = get_args(Stage)


class Row(msgspec.Struct, frozen=True):
    """A letter in a list."""

    letter: Letter
    handled: Handled
    tone: Tone


class DeadLetters:
    """Answers with the pages."""

    def __init__(self, deps: ConsoleDependencies, pages: Pages, gate: Gate) -> None:
        self._pages = pages
        self._gate = gate
        self._desk = LetterDesk(deps)

    async def show(self, request: Request, principal: Principal) -> Response:
        """Answer with a page of letters: those of the filters, or those that are named."""
        query = request.query_params
        places = _places(query.get("places", "").split(",")) if query.get("places") else []
        if places:
            letters, older = await self._desk.at(places), ""
        else:
            letters, older = await self._desk.page(_wanted(query), query.get("before", ""))
        asked = {name: query.get(name, "") for name in ("rejection", "stage", "user")}
        return self._pages.render(
            "dead_letters.html",
            request,
            principal,
            rows=[self._row(one) for one in letters],
            asked=asked,
            stages=_STAGES,
            older=link(AT, before=older, **asked) if older else "",
            is_first=not query.get("before"),
            is_choice=bool(places),
            late=query.get("late", ""),
            form_token=self._gate.form_token(request),
        )

    async def one(self, request: Request, principal: Principal) -> Response:
        """Answer with one letter's page: everything about it, and what would now happen to it."""
        (place,) = _places([request.query_params.get("at", "")])
        (letter,) = await self._desk.at([place])
        (said,) = await self._desk.judge([letter])
        origin, decoder = letter.origin, self._desk.decoder
        is_command = origin.topic == "commands"
        decode = decoder.decode_command if is_command else decoder.decode_completion
        return self._pages.render(
            "dead_letter.html",
            request,
            principal,
            row=self._row(letter),
            key=one_line(origin.key, 200),
            headers=[(one.key, one_line(one.value, 200)) for one in origin.headers],
            value=shown_of(origin.value, decode),
            said=said,
            form_token=self._gate.form_token(request),
        )

    def _row(self, letter: Letter) -> Row:
        handled = self._desk.handled(letter)
        tone = "bad" if handled.verdict == "dead_letter" else _TONES[handled.state]
        return Row(letter, handled, tone)

    async def take(
        self, request: Request, principal: Principal, form: Mapping[str, str]
    ) -> Response:
        """Take a step: show the preview, or after that send what was confirmed.

        Raises:
            ProblemError: 422, the form says too little; 404, 429 or 503, see LetterDesk.
        """
        about: About = "discard" if form.get("about") == "discard" else "redrive"
        names = [name.removeprefix(_LETTER) for name in form if name.startswith(_LETTER)]
        places = _places(names)
        why = _why(form, principal)
        chosen = self._desk.chosen(await self._desk.at(places))
        if about == "redrive":
            said = await self._desk.judge([letter for letter, _ in chosen.letters])
            planned = plan_redrive(chosen, said, also_rejected="also_rejected" in form)
        else:
            planned = plan_discard(chosen)
        seen = digest_of(planned)
        if form.get("step") != "confirm" or form.get("seen") != seen:
            complaint = CHANGED if form.get("step") == "confirm" else ""
            return self._preview(request, principal, form, (about, planned, seen), complaint)
        to_send = [one.letter for one in planned if not one.passed_over]
        late = await self._desk.send(
            [
                (redrive_command(one, why), OF_ITS_KEY, one)
                if about == "redrive"
                else (discard_command(one, why), one.place.partition, one)
                for one in to_send
            ],
            request.headers,
            principal.name,
        )
        named = ",".join(map(str, places))
        return RedirectResponse(link(AT, places=named, late=late or None), 303)

    def _preview(
        self,
        request: Request,
        principal: Principal,
        form: Mapping[str, str],
        plan: tuple[About, Sequence[Planned], str],
        complaint: str,
    ) -> Response:
        about, planned, seen = plan
        names = ("about", "reason", "ticket", "also_rejected")
        kept: dict[str, Any] = {name: form[name] for name in names if form.get(name)}
        kept |= {f"{_LETTER}{one.letter.place}": "on" for one in planned}
        kept |= {"seen": seen, FORM_TOKEN: self._gate.form_token(request)}
        return self._pages.render(
            "dead_letters_preview.html",
            request,
            principal,
            409 if complaint else 200,
            about=about,
            planned=planned,
            numbers=numbers_of(planned, 0),
            kept=kept,
            given=form,
            actor=principal.name,
            complaint=complaint,
        )


def digest_of(planned: Sequence[Planned]) -> str:
    """Return a digest of everything that a preview says."""
    said = [(str(one.letter.place), one.handled, one.said, one.passed_over) for one in planned]
    return hashlib.sha256(msgspec.json.encode(said)).hexdigest()


def _wanted(query: Mapping[str, str]) -> Wanted:
    """Return which letters a page is about; a word that no letter has finds none."""
    rejection, user = query.get("rejection", "").strip(), query.get("user", "").strip()
    stage = next((one for one in _STAGES if one == query.get("stage")), None)
    return Wanted(
        rejections=frozenset({rejection} if rejection else ()),
        stages=frozenset({stage} if stage else ()),
        user_id=user or None,
    )


def _places(texts: Sequence[str]) -> list[Place]:
    if not 0 < len(texts) <= PAGE:
        raise _unclear(f"Choose one dead letter or up to {PAGE}.")
    try:
        return list(dict.fromkeys(place_of(text) for text in texts))
    except UsageError as error:
        raise ProblemError(404, "no-such-letter", "No such dead letter", error.what) from error


def _why(form: Mapping[str, str], principal: Principal) -> Why:
    """Return who asks and why, for the audit."""
    if not is_id(principal.name):
        raise ProblemError(
            403, "no-actor", "No actor", "the sub of this token is too long to be recorded"
        )
    reason, ticket = form.get("reason", "").strip(), form.get("ticket", "").strip()
    if is_blank(reason) or is_blank(ticket) or not is_note(reason):
        raise _unclear(f"Fill in reason and ticket, of at most {NOTE_CHARS_MAX:,} characters.")
    if len(ticket) > _TICKET_CHARS_MAX or not is_note(ticket):
        raise _unclear(f"A ticket has at most {_TICKET_CHARS_MAX} characters.")
    return Why(principal.name, reason, ticket)


def _unclear(what: str) -> ProblemError:
    return ProblemError(422, "unclear-form", "The form says too little", what)
