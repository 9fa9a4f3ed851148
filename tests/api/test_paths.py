"""Every id is reached under the path that the API writes for it, through any client."""

import re
from base64 import urlsafe_b64encode
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.api.http.paths import NO_ID, completion_path, id_of, path_of, user_path
from pipeline.core.texts import is_id
from tests.api.odd_ids import LONG_WAY, MARKED, ODD_IDS, PLAIN, STEPS
from tests.api.scene import Scene, person

ids = st.text(min_size=1, max_size=40).filter(is_id) | st.text("~./\\%completions", max_size=30)
_STEP = re.compile(r"\.|%2e", re.IGNORECASE)


def as_browsers_do(path: str) -> str:
    """The path that a URL parser of the WHATWG's standard makes of one in ASCII, section 4.4."""
    parts: list[str] = []
    found = re.split(r"[/\\]", re.split(r"[?#]", path.translate({9: None, 10: None, 13: None}))[0])
    for index, part in enumerate(found[1:], 1):
        dots = _STEP.sub(".", part)
        if dots == "..":
            del parts[-1:]
        if dots in (".", ".."):
            parts += [""] if index == len(found) - 1 else []
        else:
            parts.append(part)
    return "/" + "/".join(parts)


def test_the_model_of_a_browser_steps_as_browsers_do() -> None:
    assert as_browsers_do("/v1/users/%2E%2e/progress") == "/v1/progress"
    assert as_browsers_do("/v1/users/a\\b/../.%2E/x?y/z") == "/v1/users/x"
    assert as_browsers_do("/a/..") == "/"


@pytest.mark.parametrize("id_", ODD_IDS)
def test_an_id_is_read_back_from_its_part_of_a_path(id_: str) -> None:
    assert is_id(id_)
    part = path_of(id_)
    assert id_of(unquote(part)) == id_
    assert (part[0] == "~") == (id_ not in PLAIN)
    whole = completion_path(id_, id_)
    assert as_browsers_do(whole) == whole
    assert len(completion_path("\U0001f469" * 255, "\U0001f469" * 255)) < 8_000


@given(id_=ids)
def test_any_id_is(id_: str) -> None:
    part = path_of(id_)
    assert part.isascii() and not re.search(r"[/\\?#\s]", part)
    assert as_browsers_do(f"/{part}/x") == f"/{part}/x"
    assert id_of(unquote(part)) == id_
    # A proxy that undoes the percent-encoding before it passes a path on finds no step either.
    undone = unquote(part).replace("\\", "/")
    assert not {".", ".."} & set(undone.split("/"))


@given(part=st.text("Li4uLg_-=+A", max_size=8) | st.text(max_size=9), id_=ids)
def test_what_is_written_as_an_id_is_one_id_in_one_way(part: str, id_: str) -> None:
    written = urlsafe_b64encode(id_.encode()).decode().rstrip("=")
    assert id_of(f"~{written}") == id_
    found = id_of(f"~{part}")
    assert found == NO_ID or urlsafe_b64encode(found.encode()).decode().rstrip("=") == part


@pytest.mark.parametrize("part", ["~", "~a", "~Li5", "~Li4=", "~Li 4", "~ü", "~_w", "~YQ/x"])
def test_what_is_not_written_as_an_id_is_none(part: str) -> None:
    assert id_of(part) == NO_ID


@pytest.mark.parametrize("user_id", [*STEPS, *MARKED, *LONG_WAY, "a/b", "x/progress"])
async def test_each_read_of_a_user_takes_both_spellings(tmp_path: Path, user_id: str) -> None:
    scene = Scene(tmp_path)
    scene.put(person(user_id))
    scene.catch_up()
    for what in ("progress", "portals", "keys", "geometry", "calendar"):
        answer = await scene.get(f"{unquote(user_path(user_id))}/{what}")
        assert (answer.status, answer.json["user_id"]) == (200, user_id)
    for part in ("~", "~!", "~a"):
        answer = await scene.get(f"/v1/users/{part}/progress")
        assert (answer.status, answer.json["type"][-11:]) == (400, "bad-user-id")
    scene.store.close()
