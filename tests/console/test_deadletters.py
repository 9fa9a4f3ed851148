"""Dead letters in the console: seen by support, and dealt with by operators after a preview.

The application is the real one over letters, an index and a producer of the test's own.
"""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from pipeline.api.console import deadletters_desk
from pipeline.api.console.deadletters_desk import PAGE
from pipeline.api.http.auth import COOKIE
from pipeline.api.ingest.producing import Acknowledged, NotAcknowledgedError
from pipeline.api.outcomes.rows import Entry
from pipeline.codec.inputs import InputDecoder
from pipeline.dev.workload.wire import plain_completion
from pipeline.ops.deadletters.letters import Letter, Place, Wanted
from pipeline.ops.deadletters.log import NoLetterError
from pipeline.ops.deadletters.pages import LetterPage
from tests.api.scene import Answered, Scene
from tests.codec.samples import SCHEMAS
from tests.console.pages import Index, scene
from tests.console.test_pages import guarded, made_token
from tests.ops.test_deadletters import NOW, entry_about, letter

GOOD = plain_completion("ada", "c1", NOW - 60_000, tz="UTC")


class Letters:
    """The topic of dead letters."""

    def __init__(self, letters: Sequence[Letter]) -> None:
        self.by_place = {one.place: one for one in letters}
        self.decoder = InputDecoder(SCHEMAS, lambda _: SCHEMAS["PracticeCompleted"].tree)
        self.wanted: list[Wanted] = []

    def at(self, places: Sequence[Place]) -> dict[Place, Letter]:
        """As DeadLetterLog has it."""
        if missing := [place for place in places if place not in self.by_place]:
            raise NoLetterError(f"there is no dead letter at {missing[0]}")
        return {place: self.by_place[place] for place in places}


class Known(Index):
    """An index that has what became of requests."""

    def of_completion(self, user_id: str, request_id: str) -> list[Entry]:
        """As Outcomes has it."""
        return [one for one in self.entries if one.cause.id == request_id]


class NoInputs:
    """Inputs of nobody: nothing counted before."""

    def read(self, _places: object) -> dict[Any, Any]:
        """As InputReader has it."""
        return {}


class Commands:
    """A producer whose records are processed at once."""

    def __init__(self, index: Known, error: Exception | None = None) -> None:
        self.sent: list[tuple[bytes, dict[str, Any], int]] = []
        self._index = index
        self._error = error

    def check_room(self, _records: int, _size: int) -> None:
        """There is room."""

    def send(self, key: bytes, value: bytes, _headers: Any, partition: int = -1) -> Any:
        """As InputProducer has it."""
        command = msgspec.json.decode(value)
        self.sent.append((key, command, partition))
        answer = asyncio.get_running_loop().create_future()
        if self._error is not None:
            answer.set_exception(self._error)
            return answer
        verdict, kind = "accepted" if command["kind"] == "redrive" else "applied", command["kind"]
        entry = entry_about(command["request_id"], len(self.sent), action=kind, verdict=verdict)
        self._index.entries.append(Entry("audit", 3, len(self.sent), NOW, entry))
        answer.set_result(Acknowledged(3, len(self.sent)))
        return answer


class Office:
    """The console over some letters."""

    def __init__(self, folder: Path, *letters: Letter, error: Exception | None = None) -> None:
        self.index = Known()
        self.letters = Letters(letters)
        self.commands = Commands(self.index, error)
        given = {
            "outcomes": self.index,
            "letters": self.letters,
            "commands": self.commands,
            "inputs": NoInputs(),
        }
        self.scene: Scene = scene(folder, guard=guarded(), given=given)

    async def get(self, path: str, query: str = "", kind: str = "operator") -> Answered:
        """Ask for a page."""
        cookie = f"{COOKIE.decode()}={made_token(kind)}"
        return await self.scene.get(f"/console/{path}", query, cookie=cookie)

    async def post(self, kind: str = "operator", **form: str) -> Answered:
        """Send the form of the list, with its token."""
        page = (await self.get("dead-letters")).body.decode()
        token = re.search(r'name="form_token" value="([0-9a-f]{64})"', page)
        given = {"form_token": token[1] if token else "", "reason": "mended", "ticket": "O-1"}
        headers = {
            "cookie": f"{COOKIE.decode()}={made_token(kind)}",
            "host": "console.example",
            "origin": "https://console.example",
            "sec_fetch_site": "same-origin",
            "content_type": "application/x-www-form-urlencoded",
        }
        body = urlencode(given | {name.replace("_3_", ".3:"): form[name] for name in form})
        return await self.scene.ask("POST", "/console/dead-letters", "", body.encode(), headers)

    async def confirm(self, **form: str) -> Answered:
        """Send the form, and then what its preview asks to confirm."""
        page = (await self.post(**form)).body.decode()
        seen = re.search(r'name="seen" value="([0-9a-f]{64})"', page)
        assert seen is not None
        return await self.post(**form, step="confirm", seen=seen[1])


@pytest.fixture(autouse=True)
def pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page has every letter; further ones are said to be earlier."""

    def read(log: Letters, wanted: Wanted, cursor: str, _rows: int) -> LetterPage:
        log.wanted.append(wanted)
        found = [] if cursor else [one for one in log.by_place.values() if wanted.matches(one)]
        return LetterPage(found, "" if cursor else "3:7")

    monkeypatch.setattr(deadletters_desk, "read_page", read)


async def test_whoever_names_a_completion_like_a_request_closes_no_letter(tmp_path: Path) -> None:
    letters = [letter(n) for n in (1, 2)]
    office = Office(tmp_path, *letters)
    forged = entry_about(letters[0].request_id("redrive"), 1, action="completion")
    refused = entry_about(
        letters[1].request_id("discard"), 2, action="operation", verdict="dead_letter"
    )
    office.index.entries += [Entry("audit", 3, n, NOW, e) for n, e in enumerate((forged, refused))]
    page = (await office.get("dead-letters")).body.decode()
    assert page.count(">open<") == 2


async def test_the_list_has_reasons_states_and_the_way_back(tmp_path: Path) -> None:
    letters = [letter(n) for n in (1, 2, 3)]
    office = Office(tmp_path, *letters)
    redriven = entry_about(letters[0].request_id("redrive"), 1)
    discarded = entry_about(
        letters[1].request_id("discard"), 2, action="operation", verdict="applied"
    )
    office.index.entries += [
        Entry("audit", 3, n, NOW, e) for n, e in enumerate((redriven, discarded))
    ]
    page = (
        await office.get("dead-letters", "rejection=too_late&stage=validate&user=ada")
    ).body.decode()
    assert office.letters.wanted[-1] == Wanted(
        frozenset({"too_late"}), frozenset({"validate"}), user_id="ada"
    )
    for text in ("validate.too_late", "redriven: accepted", ">discarded<", ">open<", "2026-03-01"):
        assert text in page
    assert "before=3%3A7&amp;rejection=too_late&amp;stage=validate&amp;user=ada" in page
    assert not re.search(r"<script>|<style|style=|onclick=", page)
    last = (await office.get("dead-letters", "before=3:7")).body.decode()
    assert "There is none on this page" in last and ">Earlier<" not in last


async def test_support_reads_and_operators_choose(tmp_path: Path) -> None:
    office = Office(tmp_path, letter(1))
    for_support = (await office.get("dead-letters", kind="support")).body.decode()
    assert "validate.too_late" in for_support and 'type="checkbox"' not in for_support
    assert 'name="letter.3:1"' in (await office.get("dead-letters")).body.decode()
    for_support = (await office.get("dead-letter", "at=3:1", kind="support")).body.decode()
    assert "If it were redriven now" in for_support and "<form" not in for_support.split("<main")[1]
    assert (await office.post(kind="support", letter_3_1="on")).status == 403
    assert office.commands.sent == []


async def test_a_letter_shows_its_bytes_escaped_and_what_would_happen(tmp_path: Path) -> None:
    evil = b"<script>alert(1)</script>\x1b[2J"
    office = Office(tmp_path, letter(1, value=evil), letter(2, value=GOOD))
    page = (await office.get("dead-letter", "at=3:1")).body.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[2J" in page and "<script>alert" not in page
    assert "rejected again" in page
    good = (await office.get("dead-letter", "at=3:2")).body.decode()
    assert ">accepted<" in good and "it counts for 2026-03-01" in good
    for at in ("3:9", "3", "x", ""):
        assert (await office.get("dead-letter", f"at={at}")).status == 404, at


async def test_letters_are_redriven_after_a_preview_and_once(tmp_path: Path) -> None:
    good, bad = letter(1, value=GOOD), letter(2)
    office = Office(tmp_path, good, bad)
    shown = (await office.post(letter_3_1="on", letter_3_2="on")).body.decode()
    assert "Redrive 1 dead letter" in shown and "would be rejected again" in shown
    assert office.commands.sent == []
    done = await office.confirm(letter_3_1="on", letter_3_2="on")
    assert (done.status, done.headers["location"]) == (
        303,
        "/console/dead-letters?places=3%3A1%2C3%3A2",
    )
    ((key, command, partition),) = office.commands.sent
    assert (key, command["kind"], partition) == (b"ada", "redrive", -1)
    assert (command["request_id"], command["actor"]) == (
        good.request_id("redrive"),
        "operator/sam",
    )
    page = (await office.get("dead-letters", "places=3:1,3:2")).body.decode()
    assert "redriven: accepted" in page and ">open<" in page
    again = await office.post(letter_3_1="on", step="confirm", seen="0" * 64)
    assert again.status == 409 and "Something changed since you looked" in again.body.decode()
    assert "redriven before" in again.body.decode()
    assert len(office.commands.sent) == 1


async def test_letters_are_discarded_in_their_own_partition(tmp_path: Path) -> None:
    office = Office(tmp_path, letter(1, key=None))
    done = await office.confirm(letter_3_1="on", about="discard")
    assert done.status == 303
    ((key, command, partition),) = office.commands.sent
    assert (key, command["kind"], partition) == (b"", "operation", 3)
    assert ">discarded<" in (await office.get("dead-letters", "places=3:1")).body.decode()


async def test_a_form_that_says_too_little_is_refused(tmp_path: Path) -> None:
    office = Office(tmp_path, letter(1))
    many = {f"letter_3_{n}": "on" for n in range(PAGE + 1)}
    for form, status in (
        ({}, 422),
        (many, 422),
        ({"letter_3_1": "on", "reason": " "}, 422),
        ({"letter_3_1": "on", "ticket": ""}, 422),
        ({"letter_3_1": "on", "ticket": "x" * 300}, 422),
        ({"letter_3_9": "on"}, 404),
        ({f"f{n}": "x" for n in range(60)}, 400),
    ):
        assert (await office.post(**form)).status == status, form
    assert office.commands.sent == []


async def test_what_the_brokers_do_not_take_is_told(tmp_path: Path) -> None:
    error = NotAcknowledgedError("the brokers did not acknowledge it")
    office = Office(tmp_path, letter(1), error=error)
    answer = await office.confirm(letter_3_1="on", about="discard")
    assert answer.status == 503
    assert "nothing is done twice" in answer.body.decode()
