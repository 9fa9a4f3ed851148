"""The console's main paths in a real browser, by keyboard and by mouse, in both themes."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests.api.serving import Served, token
from tests.console.conftest import DAYS, NOW

TODAY = NOW.date()
"""The last date that ada practised."""

DAY_STARTS_H = 3
"""Of policy.yaml: before three in the morning it is still the previous date."""

WAIT_MS = 30_000
expect.set_options(timeout=WAIT_MS)
# Contrast of what is drawn over a picture or a gradient cannot be told by axe; it says so.
AXE = {"resultTypes": ["violations"]}


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    """A page that is signed in, and in which no script and no policy complains."""
    context = browser.new_context(base_url=served.base, color_scheme="dark")
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if is_complaint(said) else None)
    page.goto("/console")
    expect(page).to_have_title(re.compile("Sign in"))
    page.get_by_label("Token").fill(token("sam", "support"))
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("people")
    yield page
    assert complaints == []
    context.close()


def is_complaint(said: ConsoleMessage) -> bool:
    """An error, but for the status of a page that says what was not found or not understood."""
    due = ("404 (Not Found)", "400 (Bad Request)")
    return said.type == "error" and not any(status in said.text for status in due)


def find_ada(page: Page, served: Served) -> None:
    """Wait for the index to be whole, and open ada's page."""
    page.goto("/console/user?id=ada")
    served.ledger.wait_for(lambda: _has_audit(page))


def _has_audit(page: Page) -> bool:
    page.reload()
    return page.locator("#audit ~ .scroll tbody tr").count() > DAYS


def test_from_the_search_to_an_explanation(page: Page, served: Served) -> None:
    page.get_by_role("searchbox").press_sequentially("ada")
    found = page.locator("#found")
    expect(page).to_have_url(re.compile(r"\?q=ada$"))
    expect(found.get_by_role("link", name="adam <i>")).to_be_visible()
    page.get_by_role("searchbox").fill("Ada")
    expect(found).to_contain_text("Nobody’s id begins with “Ada”")
    find_ada(page, served)
    expect(page.locator(".streak")).to_contain_text(f"{DAYS + 1} days in a row")
    for portal in ("Bindu", "Vesica Piscis", "Tripod of Life"):
        expect(page.locator(".timeline").get_by_role("heading", name=portal)).to_be_visible()
    figure = page.locator("figure.now img")
    assert figure.evaluate("image => image.complete && image.naturalWidth > 0")
    assert page.locator(".gallery li.complete").count() == 3
    expect(page.locator("#alerts ~ .scroll")).to_contain_text("exact")
    expect(page.locator("#dead-letters ~ .scroll")).to_contain_text("too late")
    # By keyboard: the calendar is one stop, arrows move, Enter explains.
    days = page.locator("table.year a.cell")
    assert days.evaluate_all("all => all.filter(one => one.tabIndex === 0).length") == 1
    page.locator("table.year a[tabindex='0']").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/explain\?user=ada&date="))
    expect(page.locator(".answer h2")).to_contain_text("counts")
    page.goto(f"/console/explain?user=ada&date={TODAY - timedelta(days=1)}")
    expect(page.locator(".story")).to_have_count(2)
    expect(page.locator(".story").nth(1)).to_contain_text("Original: a1")
    page.goto("/console/explain?user=nobody")
    expect(page.locator("main")).to_contain_text("Nothing at all was found of this id")


def test_the_tail_follows_pauses_and_filters(page: Page, served: Served) -> None:
    page.goto("/console/live?user=ada&kind=audit")
    expect(page.locator("#tail-state")).to_have_text("Following")
    rows = page.locator("#tail tbody tr")
    before = rows.count()

    def practise(number: int) -> None:
        served.ledger.complete("ada", f"live{number}", NOW - timedelta(seconds=number), tz="UTC")
        served.ledger.complete("bob", f"other{number}", NOW, tz="UTC")
        served.ledger.flush()

    practise(1)
    expect(rows.first).to_contain_text("live1")
    expect(page.locator("#tail")).not_to_contain_text("bob")
    page.get_by_role("button", name="Pause").click()
    practise(2)
    expect(page.locator("#tail-state")).to_contain_text("waiting")
    expect(page.locator("#tail")).not_to_contain_text("live2")
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#tail")).to_contain_text("live2")
    assert rows.count() >= before + 2
    page.get_by_label("progress").check()
    page.get_by_role("button", name="Filter").click()
    expect(page).to_have_url(re.compile(r"kind=audit&kind=progress&user=ada$"))
    expect(page.locator("#tail")).to_contain_text("revision")


def test_a_person_is_read_in_their_zone_the_browsers_or_a_typed_one(
    browser: Browser, served: Served
) -> None:
    context = browser.new_context(base_url=served.base, timezone_id="Asia/Tokyo")
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    page.goto("/console/user?id=ada")
    page.get_by_label("Token").fill(token("sam", "support"))
    page.get_by_role("button", name="Sign in").click()
    find_ada(page, served)
    where, pills = page.locator(".standing .eyebrow"), page.locator(".pills")
    expect(where).to_contain_text("UTC · ")
    page.get_by_text("Read in their own zone").click()
    expect(pills.get_by_role("link", name="Their own: UTC")).to_have_attribute(
        "aria-current", "true"
    )
    pills.get_by_role("link", name="This browser’s: Asia/Tokyo").click()
    expect(page).to_have_url(re.compile(r"/console/user\?id=ada&tz=Asia%2FTokyo$"))
    expect(where).to_contain_text("Asia/Tokyo · ")
    expect(pills.locator("[aria-current]")).to_have_text("Asia/Tokyo (this browser’s)")
    # Typed: in the place where a date ends last no day of hers is over.
    page.get_by_label("Another zone").fill("UTC-12")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"id=ada&tz=UTC-12$"))
    expect(where).to_contain_text("Etc/GMT+12 · ")
    expect(page.locator(".streak")).to_contain_text(f"{DAYS + 1} days in a row")
    # What scripts fetch into the page keeps the zone, and so do the days.
    page.locator("#audit ~ .scroll").get_by_role("link", name="Earlier").click()
    links = page.locator("#audit ~ .scroll tbody tr td:nth-child(3) a")
    expect(page.locator("#audit ~ .scroll .more")).to_have_count(0)
    assert links.count() > DAYS
    assert links.evaluate_all("all => all.every(one => one.href.includes('tz=Etc%2FGMT%2B12'))")
    page.locator("table.year a[tabindex='0']").click()
    expect(page).to_have_url(re.compile(r"/explain\?user=ada&date=[0-9-]+&tz=Etc/GMT%2B12$"))
    page.get_by_role("link", name="Page of ada").click()
    expect(where).to_contain_text("Etc/GMT+12 · ")
    page.get_by_label("Another zone").fill("Mars/Phobos")
    page.get_by_role("button", name="Read there").click()
    expect(page.get_by_role("alert")).to_contain_text("Nobody knows this zone")
    expect(page.get_by_label("Another zone")).to_be_focused()
    expect(where).to_contain_text("UTC · ")
    pills.get_by_role("link", name="Their own: UTC").click()
    expect(page).to_have_url(re.compile(r"/console/user\?id=ada$"))
    context.close()


def test_a_search_goes_on_in_the_zone_that_was_chosen(page: Page) -> None:
    page.goto("/console?tz=-12:00")
    page.get_by_role("searchbox").press_sequentially("ada")
    expect(page).to_have_url(re.compile(r"\?(tz=Etc%2FGMT%2B12&q=ada|q=ada&tz=Etc%2FGMT%2B12)$"))
    today_there = (datetime.now(UTC) - timedelta(hours=12 + DAY_STARTS_H)).date()
    waits = ", not yet today" if today_there > TODAY else ""
    expect(page.locator("#found")).to_contain_text(f"{DAYS + 1} days{waits}")
    page.get_by_label("Another zone").fill("+14")
    page.get_by_role("button", name="Read there").click()
    expect(page).to_have_url(re.compile(r"\?q=ada&tz=%2B14$"))
    expect(page.get_by_role("searchbox")).to_have_value("ada")
    page.locator("#found").get_by_role("link", name="ada").first.click()
    expect(page.locator(".standing .eyebrow")).to_contain_text("Etc/GMT-14 · ")


@pytest.mark.parametrize("scheme", ["dark", pytest.param("light", marks=pytest.mark.verify)])
def test_no_page_has_a_barrier_in_either_theme(
    page: Page, served: Served, scheme: Literal["dark", "light"]
) -> None:
    find_ada(page, served)
    paths = {
        "people": "/console",
        "person": "/console/user?id=ada",
        "person elsewhere": "/console/user?id=ada&tz=Pacific/Apia",
        "people elsewhere": "/console?tz=Pacific/Apia",
        "no zone": "/console/user?id=ada&tz=Mars/Phobos",
        "explain": f"/console/explain?user=ada&date={TODAY - timedelta(days=1)}",
        "live": "/console/live",
        "health": "/console/health",
        "sign in": "/console/sign-in",
    }
    axe = Axe()
    found = {}
    page.emulate_media(color_scheme=scheme)
    for name, path in paths.items():
        page.goto(path)
        result = axe.run(page, options=AXE)
        if result.violations_count:
            found[name] = result.generate_report()
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, f"{name} scrolls sideways"
    assert not found, "\n".join(f"{where}: {report}" for where, report in found.items())


def test_the_theme_is_chosen_and_kept(page: Page) -> None:
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    dark = page.evaluate(ground)
    page.get_by_role("button", name="Light theme").click()
    assert page.evaluate(ground) != dark
    page.goto("/console/health")
    expect(page.get_by_role("button", name="Dark theme")).to_be_visible()
    expect(page.locator(".facts")).to_contain_text("Readable within 1 s")
    assert page.evaluate(ground) != dark
    expect(page.locator("main")).to_contain_text("No worker’s metrics are asked for")


def test_a_token_of_a_user_opens_nothing(browser: Browser, served: Served) -> None:
    context = browser.new_context(base_url=served.base)
    page = context.new_page()
    page.goto("/console/user?id=ada")
    page.get_by_label("Token").fill(token("ada"))
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("scope")
    assert context.cookies() == []
    page.get_by_label("Token").fill(token("sam", "support"))
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(re.compile(r"/console/user\?id=ada$"))
    (cookie,) = context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/console")
    page.get_by_role("button", name="Sign out").click()
    assert context.cookies() == []
    context.close()
