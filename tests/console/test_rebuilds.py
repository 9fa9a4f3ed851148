"""Rebuilds in the console: who would change and why, page by page, and nothing that is not so.

The application is the real one over a folder that is written here, as a rebuild writes it.
"""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route

from pipeline.api.console.rebuilds import PAGE
from pipeline.api.http.auth import COOKIE
from pipeline.ops.rebuilds import Progress
from tests.api.scene import NOON, Answered, Scene
from tests.console.pages import scene
from tests.console.test_pages import guarded, made_token
from tests.rebuild.written import APPROVED, DIGEST, NAME, PARTING, differing, write


@pytest.fixture
def one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setenv("AWAWAY_DATA_DIR", str(tmp_path / "data"))
    return scene(tmp_path / "store")


Put = Callable[..., Path]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Writes a rebuild of some users into the folder that the API reads."""

    return partial(write, tmp_path / "data")


def said(answer: Answered) -> str:
    """What a page says, without its markup, on one line."""
    return " ".join(re.sub(r"<[^>]+>", " ", answer.body.decode()).split())


async def test_a_folder_that_is_not_there_is_said_and_how_it_gets_there(one: Scene) -> None:
    answer = await one.get("/console/rebuilds")
    assert answer.status == 200
    assert "There is no rebuild in" in said(answer)
    assert "AWAWAY_DATA_DIR : let both share that folder, or copy it here" in said(answer)


async def test_the_list_says_who_did_what_when(one: Scene, put: Put) -> None:
    put(differing("ann"))
    put(name="rb-later", began=NOON + 1, state="approved", steps=[APPROVED])
    page = said(await one.get("/console/rebuilds"))
    assert page.index("rb-later approved") < page.index(f"{NAME} compared")
    assert "partitions 0 to 2, 1 differ" in page
    assert "start by ada@example: found 1 user" in page
    assert "approve by bea: changed 1 user OPS-7: the disk lied in the log at commands[0]@9" in page


async def test_one_page_has_the_numbers_the_changes_and_the_command(one: Scene, put: Put) -> None:
    put(differing("ann"), differing("ben", "stored", parting=None), differing("cy", "stored"))
    answer = await one.get("/console/rebuilds", f"id={NAME}")
    page = said(answer)
    assert answer.headers["cache-control"] == "no-store"
    assert "state 1 the state changed between two inputs" in page
    assert "stored 2 the stored state is not what the last entry left" in page
    assert "Streak 3 13" in page and "Longest 12 13" in page and "Field Keys 3 4" in page
    assert "counts 2026-11-23" in page
    assert "unlocks, for ever Seed of Life" in page
    assert "Now: seed of life, day 12" in page and "Then: seed of life, day 13" in page
    assert "First at audit entry 4,711, of the input completions[0]@17" in page
    assert "found the sets aaaa , and the entry before had left bbbb" in page
    assert f"awaway rebuild approve {NAME} --digest {DIGEST} --reason WHY --ticket TICKET" in page
    assert not re.search(r"<script>|<style|style=|onclick=", answer.body.decode())


async def test_many_users_are_shown_page_by_page_and_by_cause(one: Scene, put: Put) -> None:
    several = [differing(f"u{n:03}", "policy" if n % 3 else "decided") for n in range(2 * PAGE + 3)]
    put(*several)
    seen: list[str] = []
    query = f"id={NAME}"
    for _ in range(9):
        answer = await one.get("/console/rebuilds", query, hx_request="true")
        assert "<html" not in answer.body.decode()
        seen += re.findall(r'user\?id=(u\d+)"', answer.body.decode())
        more = re.search(r'hx-get="/console/rebuilds\?([^"]+)"', answer.body.decode())
        if more is None:
            break
        query = more[1].replace("&amp;", "&")
    assert seen == [one.user_id for one in several]
    of_policy = await one.get("/console/rebuilds", f"id={NAME}&why=decided")
    shown = re.findall(r'user\?id=(u\d+)"', of_policy.body.decode())
    assert shown == [one.user_id for one in several if one.why == "decided"]
    alone = await one.get("/console/rebuilds", f"id={NAME}&user=u007")
    assert re.findall(r'user\?id=(u\d+)"', alone.body.decode()) == ["u007"]
    nobody = said(await one.get("/console/rebuilds", f"id={NAME}&user=U007"))
    assert "“U007” does not differ" in nobody


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"state": "replaying"}, "This is the comparison before; another one is under way"),
        ({"digest": "another"}, "This is the comparison before"),
        ({"tries_policy": True}, "Nothing to approve"),
        ({"state": "approved"}, "Take it back, if it must be"),
        ({"state": "aborted"}, "Nothing is left to do"),
    ],
)
async def test_only_what_may_be_approved_has_a_command(
    one: Scene, put: Put, fields: dict[str, Any], words: str
) -> None:
    put(differing("ann"), **fields)
    page = said(await one.get("/console/rebuilds", f"id={NAME}"))
    assert words in page
    assert "rebuild approve" not in page


async def test_how_far_a_replay_is(one: Scene, put: Put) -> None:
    folder = put(state="replaying", digest="")
    (folder / "diff.jsonl").unlink()
    progress = Progress(2, 1_500, 3_000, NOON, NOON + 2_000, 500)
    (folder / "progress-2").write_bytes(msgspec.json.encode(progress))
    page = said(await one.get("/console/rebuilds", f"id={NAME}"))
    assert "2 1,500 of 3,000 500/s" in page
    assert "Nothing is compared yet" in page


async def test_whatever_a_folder_holds_is_escaped_or_refused(one: Scene, put: Put) -> None:
    evil = '"><script>alert(1)</script>'
    folder = put(differing(evil, parting=msgspec.structs.replace(PARTING, recorded=evil)))
    page = (await one.get("/console/rebuilds", f"id={NAME}")).body.decode()
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page
    for wrong in ("..", "../../x", "a/b", "%00", "nobody"):
        assert (await one.get("/console/rebuilds", f"id={wrong}")).status == 404, wrong
    assert (await one.get("/console/rebuilds", f"id={NAME}&at=x")).status == 400
    (folder / "diff.jsonl").write_bytes(b'"digest"\n{"user_id": 1')
    assert (await one.get("/console/rebuilds", f"id={NAME}")).status == 503
    put(name="rb-sound")
    (folder / "rebuild.json").write_bytes(b"{")
    both = await one.get("/console/rebuilds")
    assert both.status == 200
    assert "rb-sound" in said(both) and f"{NAME}/rebuild.json cannot be read" in said(both)


@pytest.mark.parametrize("kind", ["support", "operator", "user"])
async def test_rebuilds_are_for_support_and_operators(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, put: Put, kind: str
) -> None:
    monkeypatch.setenv("AWAWAY_DATA_DIR", str(tmp_path / "data"))
    guard = scene(tmp_path / "store", guard=guarded())
    put(differing("ann"))
    assert (await guard.get("/console/rebuilds", f"id={NAME}")).status == 303
    cookie = f"{COOKIE.decode()}={made_token(kind)}"
    answer = await guard.get("/console/rebuilds", f"id={NAME}", cookie=cookie)
    assert (answer.status == 200) == (kind != "user")


def shown_by(page: Page, one: Scene) -> None:
    """Let a browser's page ask an application of this process, as an operator."""
    aside = ThreadPoolExecutor(1)
    cookie = f"{COOKIE.decode()}={made_token('operator')}"

    def answer(route: Route) -> None:
        path, _, query = route.request.url.removeprefix("http://console.test").partition("?")
        is_part = {"hx_request": "true"} if "hx-request" in route.request.headers else {}
        got = aside.submit(asyncio.run, one.get(path, query, cookie=cookie, **is_part)).result()
        route.fulfill(status=got.status, headers=got.headers, body=got.body)

    page.route("**/*", answer)


@pytest.mark.verify
@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_both_pages_have_no_barrier_in_either_theme(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    put: Put,
    browser: Browser,
    scheme: Literal["dark", "light"],
) -> None:
    monkeypatch.setenv("AWAWAY_DATA_DIR", str(tmp_path / "data"))
    put(*(differing(f"user-{n}", ("state", "stored", "policy")[n % 3]) for n in range(PAGE + 2)))
    put(name="rb-now", state="replaying", steps=[APPROVED])
    context = browser.new_context(base_url="http://console.test", color_scheme=scheme)
    page = context.new_page()
    shown_by(page, scene(tmp_path / "store", guard=guarded()))
    found = {}
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        for path in ("/console/rebuilds", f"/console/rebuilds?id={NAME}"):
            page.goto(path)
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{path} scrolls sideways at {width}"
            result = Axe().run(page, options={"resultTypes": ["violations"]})
            if result.violations_count:
                found[path, width] = result.generate_report()
    assert not found, found
    assert page.locator(".differing").count() == PAGE
    page.get_by_role("link", name="More").click()
    page.locator(".differing").nth(PAGE + 1).wait_for()
    assert page.locator(".differing").count() == PAGE + 2
    context.close()
