"""Corrections in the console: whose forms are taken, and the flow in a browser on a real broker."""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast
from urllib.parse import urlencode

import httpx2
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from pipeline.api.http.auth import COOKIE, Principal
from pipeline.api.http.problems import ProblemError
from pipeline.api.ingest.adjusting import AdjustmentIn, Prepared
from pipeline.api.ingest.read_back import AdjustmentState, AdjustmentStatus
from pipeline.api.outcomes.statuses import Refusal
from pipeline.core.geometry.catalogue import GoldenCatalogue
from pipeline.core.outcome import World
from pipeline.core.policy import load_policy
from pipeline.core.state import EMPTY
from pipeline.ops.adjust.preview import preview
from pipeline.ops.adjust.request import Asked, command_of
from tests.api.scene import NOON, ROOT, Answered, Scene, person
from tests.api.serving import Served, token
from tests.console.conftest import DAYS, NOW
from tests.console.pages import scene
from tests.console.test_pages import guarded, made_token

POLICIES = load_policy((ROOT / "policy.yaml").read_text())
OWN = "https://console.example"
FORM = {"user": "ann", "kind": "credit_day", "local_date": "2026-01-01", "reason": "r"}
BEFORE = (NOW - timedelta(days=DAYS + 1)).date()
"""The day before ada's first: with it her run is a day longer."""


class NeverAsked:
    """An adjuster that no form may reach here."""

    async def prepare(self, *_: Any) -> Any:
        raise AssertionError("a correction was prepared, although the form is refused")


@pytest.fixture
def one(tmp_path: Path) -> Scene:
    made = scene(tmp_path, guard=guarded(), given={"adjuster": NeverAsked()})
    made.put(person("ann"))
    return made


async def page_of(one: Scene, kind: str) -> str:
    cookie = f"{COOKIE.decode()}={made_token(kind)}"
    return (await one.get("/console/user", "id=ann", cookie=cookie)).body.decode()


def form_token_in(page: str) -> str:
    found = re.search(r'name="form_token" value="([0-9a-f]{64})"', page)
    assert found is not None
    return found[1]


async def sent(
    one: Scene,
    form: Mapping[str, str],
    headers: Mapping[str, str | None] = MappingProxyType({}),
    kind: str = "operator",
) -> Answered:
    given: dict[str, str | None] = {
        "cookie": f"{COOKIE.decode()}={made_token(kind)}",
        "host": "console.example",
        "origin": OWN,
        "sec_fetch_site": "same-origin",
        "content_type": "application/x-www-form-urlencoded",
    }
    given |= headers
    kept = {name: value for name, value in given.items() if value is not None}
    return await one.ask("POST", "/console/adjust", "", urlencode(form).encode(), kept)


async def test_the_form_is_for_operators(one: Scene) -> None:
    for_support, for_operators = await page_of(one, "support"), await page_of(one, "operator")
    assert 'class="correct"' in for_operators
    assert 'class="correct"' not in for_support
    assert "This console only reads" in for_support
    assert "This console only reads" not in for_operators
    for path, may in (("/console/adjust", 200), ("/console/user", 200)):
        cookie = f"{COOKIE.decode()}={made_token('operator')}"
        assert (await one.get(path, "user=ann&id=ann", cookie=cookie)).status == may
    cookie = f"{COOKIE.decode()}={made_token('support')}"
    refused = await one.get("/console/adjust", "user=ann", cookie=cookie)
    assert refused.status == 403
    assert "corrections are for operators" in refused.body.decode()


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "none"},
        {"origin": "https://evil.example"},
        {"origin": "https://console.example.evil.example"},
        {"sec_fetch_site": None, "origin": "null"},
        {"sec_fetch_site": None, "origin": None},
        {"origin": "", "host": ""},
    ],
)
async def test_a_form_from_elsewhere_is_refused(one: Scene, headers: dict[str, str | None]) -> None:
    own = FORM | {"form_token": form_token_in(await page_of(one, "operator"))}
    answer = await sent(one, own, headers)
    assert answer.status == 403, headers
    assert "nothing was changed" in answer.body.decode()


async def test_a_form_without_the_token_of_this_session_is_refused(one: Scene) -> None:
    own = form_token_in(await page_of(one, "operator"))
    for wrong in ({}, {"form_token": "0" * 64}, {"form_token": "ä"}, {"form_token": own[:-1]}):
        answer = await sent(one, FORM | wrong)
        assert answer.status == 403, wrong
        assert "the form is not of this session" in answer.body.decode()
    support = await sent(one, FORM | {"form_token": own}, kind="support")
    assert support.status == 403
    assert "the scope operate" in support.body.decode()
    outside = await sent(one, FORM | {"form_token": own}, {"cookie": ""})
    assert (outside.status, outside.headers["location"]) == (303, "/console/sign-in")
    many = await sent(one, {f"field{n}": "x" for n in range(30)})
    assert many.status == 400
    assert (await sent(one, FORM | {"reason": "x" * 70_000})).status == 413


@pytest.mark.parametrize(
    "headers", [{}, {"origin": "null"}, {"origin": None}, {"sec_fetch_site": None}]
)
async def test_our_own_form_is_taken(one: Scene, headers: dict[str, str | None]) -> None:
    own = FORM | {"form_token": form_token_in(await page_of(one, "operator")), "step": "change"}
    answer = await sent(one, own, headers)
    assert answer.status == 200, answer.body
    assert 'value="2026-01-01"' in answer.body.decode()


async def test_without_authorisation_a_form_from_elsewhere_is_refused_all_the_same(
    tmp_path: Path,
) -> None:
    open_to_all, other = scene(tmp_path / "one"), scene(tmp_path / "other")
    for each in (open_to_all, other):
        each.put(person("ann"))
    own, foreign = [
        form_token_in((await each.get("/console/user", "id=ann")).body.decode())
        for each in (open_to_all, other)
    ]
    form = FORM | {"step": "change"}
    for form_token, site, status in (
        (own, "same-origin", 200),
        (foreign, "same-origin", 403),
        (own, "cross-site", 403),
    ):
        headers = {"cookie": None, "sec_fetch_site": site}
        answer = await sent(open_to_all, form | {"form_token": form_token}, headers)
        assert answer.status == status, (form_token, site)


async def test_a_form_that_says_too_little_comes_back_with_a_complaint(one: Scene) -> None:
    own = {"form_token": form_token_in(await page_of(one, "operator")), "user": "ann"}
    forms: tuple[tuple[dict[str, str], str], ...] = (
        ({}, "Choose what to correct"),
        ({"kind": "erase"}, "Choose what to correct"),
        ({"kind": "withdraw", "local_date": "2026-01-01"}, "name the request"),
        ({"kind": "credit_day", "local_date": "soon"}, "The date must be one such as"),
        ({"kind": "claim_key", "key_id": "k", "reason": "r"}, "Fill in reason and ticket"),
    )
    for form, complaint in forms:
        answer = await sent(one, own | form)
        assert answer.status == 422, form
        assert complaint in answer.body.decode()
    assert (await sent(one, own | {"user": " "})).status == 400


class Planned:
    """An adjuster over nobody, whose sending ends as it is told to."""

    def __init__(self, ends: ProblemError | None = None) -> None:
        self.ends = ends
        self.sent: list[str] = []
        self.status: AdjustmentStatus | None = None

    async def prepare(self, user_id: str, given: AdjustmentIn, _: Principal) -> Prepared:
        """As Adjuster has it, of a user about whom nothing is known."""
        asked = Asked("credit-day", user_id, given.local_date or "", given.reason, given.ticket)
        command = command_of(asked, "operator/sam", given.request_id or "made")
        return Prepared(command, preview(EMPTY, command, World(POLICIES, GoldenCatalogue()), NOON))

    async def send(self, prepared: Prepared, _: object) -> None:
        """Note it, and end as planned."""
        self.sent.append(prepared.command.request_id)
        if self.ends is not None:
            raise self.ends

    async def known(self, *_: str) -> AdjustmentStatus | None:
        """What was planned."""
        return self.status


async def test_every_outcome_of_a_confirmation_is_told(tmp_path: Path) -> None:
    planned = Planned(
        ProblemError(503, "not-acknowledged", "Not acknowledged", "the brokers slept")
    )
    one = scene(tmp_path, guard=guarded(), given={"adjuster": planned})
    one.put(person("ann"))
    own = FORM | {"form_token": form_token_in(await page_of(one, "operator")), "ticket": "t"}
    shown = await sent(one, own)
    assert (shown.status, planned.sent) == (200, [])
    hidden = dict(
        re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', shown.body.decode())
    )
    assert (hidden["request_id"], hidden["local_date"]) == ("made", FORM["local_date"])
    unseen = await sent(one, hidden | {"step": "confirm", "seen": "0" * 64})
    assert (unseen.status, planned.sent) == (409, [])
    failed = await sent(one, hidden | {"step": "confirm"})
    assert (failed.status, planned.sent) == (503, ["made"])
    assert "the brokers slept" in failed.body.decode()
    assert 'value="confirm"' in failed.body.decode()
    place = {"position": {"topic": "t", "partition": 0, "offset": 1}}
    for ends in (None, ProblemError(422, "adjustment-rejected", "Rejected", body=place)):
        planned.ends = ends
        done = await sent(one, hidden | {"step": "confirm"})
        assert done.headers["location"] == "/console/adjust?user=ann&request=made"
    cookie = f"{COOKIE.decode()}={made_token('operator')}"
    states: dict[AdjustmentState | None, str] = {
        None: "Not processed yet",
        "pending": "Look again",
        "applied": "readers see it",
        "repeated": "Carried out before",
        "rejected": "too early",
    }
    for state, said in states.items():
        refusal = Refusal("validate", "r", "too early") if state == "rejected" else None
        planned.status = state and AdjustmentStatus(
            user_id="ann", request_id="made", status=state, url="", kind="credit", refusal=refusal
        )
        result = await one.get("/console/adjust", "user=ann&request=made", cookie=cookie)
        assert said in result.body.decode(), state


# --- in a browser, on a real broker ---------------------------------------------------------------


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    """A page that an operator is signed in to; no script and no policy complains."""
    context = browser.new_context(base_url=served.base, color_scheme="dark")
    context.set_default_timeout(30_000)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto("/console/sign-in?next=/console/user?id=ada")
    page.get_by_label("Token").fill(token("olga", "operator"))
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(re.compile(r"/console/user\?id=ada$"))
    yield page
    assert complaints == []
    context.close()


def fill(page: Page, **fields: str) -> None:
    for label, value in fields.items():
        page.get_by_label(label.replace("_", " "), exact=False).first.fill(value)


def has_no_barrier(page: Page) -> bool:
    result = Axe().run(page, options={"resultTypes": ["violations"]})
    assert not result.violations_count, result.generate_report()
    return True


def commands_of(served: Served, user_id: str) -> list[Any]:
    return [r for r in served.ledger.raw("commands") if r.key() == user_id.encode()]


def posted(
    page: Page, served: Served, form: Mapping[str, str], site: str = "same-origin"
) -> httpx2.Response:
    """Send a form with the session's cookie, as a browser would from some site."""
    (cookie,) = [one for one in page.context.cookies() if one["name"] == COOKIE.decode()]
    headers = {"Cookie": f"{COOKIE.decode()}={cookie['value']}", "Sec-Fetch-Site": site}
    return httpx2.post(f"{served.base}/console/adjust", data=dict(form), headers=headers)


def test_an_operator_corrects_a_day_and_takes_it_back(page: Page, served: Served) -> None:
    form = page.locator("form.correct")
    expect(form.get_by_label("Field Key", exact=True)).to_be_hidden()
    fill(page, Local_date=BEFORE.isoformat(), Ticket="T-9", Reason="the outage of May")
    form.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("Preview: nothing is sent yet")).to_be_visible()
    moved = page.locator("table.change tr.moved")
    expect(moved.first).to_contain_text(f"{DAYS + 1} days")
    expect(moved.first).to_contain_text(f"{DAYS + 2} days")
    assert has_no_barrier(page)
    assert commands_of(served, "ada") == []

    confirmed = page.locator("form.confirm").evaluate("f => Object.fromEntries(new FormData(f))")
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("heading", name="Done")).to_be_visible()
    assert has_no_barrier(page)
    page.reload()  # the result has an address of its own
    again = posted(page, served, confirmed | {"step": "confirm"})
    assert (again.status_code, again.headers["location"]) == (
        303,
        page.url.removeprefix(served.base),
    )
    assert len(commands_of(served, "ada")) == 1

    request_id = page.locator("dl.sent .place").first.inner_text()
    page.get_by_role("link", name="Page of ada").click()
    expect(page.locator(".streak")).to_contain_text(f"{DAYS + 2} days in a row")
    expect(page.locator("#audit ~ .scroll")).to_contain_text("by operator/olga")
    form.get_by_label("Withdraw a request").check()
    expect(form.get_by_label("Local date")).to_be_hidden()
    assert page.locator(f'#adjust-requests option[value="{request_id}"]').count() == 1
    fill(page, Request_to_withdraw=request_id, Ticket="T-9", Reason="wrong person")
    form.get_by_role("button", name="Preview").click()
    expect(page.locator(".changes")).to_contain_text("counts no more")
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("heading", name="Done")).to_be_visible()
    page.get_by_role("link", name="Page of ada").click()
    expect(page.locator(".streak")).to_contain_text(f"{DAYS + 1} days in a row")
    assert has_no_barrier(page)


def test_what_would_be_rejected_and_what_changed_meanwhile_is_said(
    browser: Browser, page: Page, served: Served
) -> None:
    sent_before = len(commands_of(served, "adam <i>"))
    page.goto("/console/adjust?user=adam <i>&kind=credit_day")
    ahead = (NOW + timedelta(days=9)).date().isoformat()
    fill(page, Local_date=ahead, Ticket="T-9", Reason="too early")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("alert")).to_contain_text("It would be rejected")
    assert page.get_by_label("Reason").input_value() == "too early"
    fill(page, Local_date=BEFORE.isoformat())
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("button", name="Confirm")).to_be_visible()
    served.ledger.complete("adam <i>", "x2", NOW - timedelta(days=1), tz="UTC")
    served.ledger.flush()
    other = served.client("olga", "operator")
    served.ledger.wait_for(
        lambda: other.get("/v1/users/adam%20%3Ci%3E/progress").json()["revision"] == 2
    )
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_role("alert")).to_contain_text("Something changed since you looked")
    assert len(commands_of(served, "adam <i>")) == sent_before
    page.get_by_role("button", name="Change it").click()
    assert page.get_by_label("Local date").input_value() == BEFORE.isoformat()

    # Without scripts it goes the same way.
    context = browser.new_context(base_url=served.base, java_script_enabled=False)
    context.add_cookies(cast(Any, page.context.cookies()))
    plain = context.new_page()
    plain.goto("/console/adjust?user=adam <i>&kind=credit_day")
    fill(plain, Local_date=BEFORE.isoformat(), Ticket="T-9", Reason="the outage of May")
    plain.get_by_role("button", name="Preview").click()
    plain.get_by_role("button", name="Confirm").click()
    expect(plain.get_by_role("heading", name="Done")).to_be_visible()
    assert len(commands_of(served, "adam <i>")) == sent_before + 1
    context.close()


def test_on_the_real_server_a_forged_form_sends_nothing(page: Page, served: Served) -> None:
    (cookie,) = [one for one in page.context.cookies() if one["name"] == COOKIE.decode()]
    assert (cookie["sameSite"], cookie["httpOnly"]) == ("Strict", True)
    own = form_token_in(page.content())
    before = len(commands_of(served, "ada"))
    form = FORM | {"user": "ada", "ticket": "t", "step": "confirm"}
    for form_token, site in (("0" * 64, "same-origin"), (own, "cross-site")):
        answer = posted(page, served, form | {"form_token": form_token}, site)
        assert answer.status_code == 403
    assert len(commands_of(served, "ada")) == before
