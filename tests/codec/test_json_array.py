"""Arrays cut into their items: of JSON as a parser does it, of what is not as far as can be."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.api.http.problems import ProblemError
from pipeline.api.ingest.receiving import items_of
from pipeline.codec import json_array
from pipeline.codec.json_array import MARKS_MAX, NotAnArrayError, bare, cut

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
BROKEN = (
    b'{"note":"cut \\ud83d"}',
    b'{"note":"\xff"}',
    b'{"note":"a\nb"}',
    b'{"a":' + b"[" * 3_000 + b"]" * 3_000 + b"}",
    b"{'a':1}",
    b'{"a":NaN}',
    b'{"a":1,}',
    b"nonsense",
    b"",
)


@given(given=st.lists(values, max_size=6), space=st.sampled_from(["", " ", "\n\t"]))
def test_an_array_that_is_json_has_the_items_that_a_parser_finds(
    given: list[Any], space: str
) -> None:
    text = f"[{space}" + f"{space},{space}".join(map(json.dumps, given)) + f"{space}]"
    found = cut(text.encode())
    assert [json.loads(item) for item in found] == given
    assert json_array._cut(text.encode()) == found
    assert [bare(item) for item in found] == found


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("index", [0, 1, 2])
def test_one_bad_item_leaves_the_others_whole(broken: bytes, index: int) -> None:
    sound = [b'{"a":"],{ \\" "}', b'{"b":[{"c":[]}]}']
    items = [*sound[:index], broken, *sound[index:]]
    assert cut(b"[" + b" ,\n".join(items) + b"]") == items


@given(items=st.lists(st.sampled_from(BROKEN[:-1]), min_size=1, max_size=5))
def test_several_bad_items_are_each_its_own(items: list[bytes]) -> None:
    assert cut(b"[" + b",".join(items) + b"]") == items


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"[", "not closed"),
        (b'[{"a":1}', "not closed"),
        (b'[{"a":[1}]', "closes"),
        (b'[{"a":1}}', "closes"),
        (b'[{"a":1}] x', "follows"),
        (b"[][]", "follows"),
        (b'["a]', "no end"),
        (b'[{"a":"\\"}]', "no end"),
        (b"[" * 5_000, "not closed"),
        (b"[[" + b"[]" * MARKS_MAX, "more brackets"),
        (b"[" + b"," * MARKS_MAX, "more brackets"),
    ],
)
def test_what_has_no_structure_is_refused_as_a_whole(body: bytes, why: str) -> None:
    with pytest.raises(NotAnArrayError, match=why):
        cut(body)
    with pytest.raises(ProblemError) as caught:
        items_of(body, 100)
    assert (caught.value.status, caught.value.problem.type[-14:]) == (400, "malformed-json")


@given(body=st.text(alphabet='[]{},:"\\a1 \n', max_size=30).map(lambda text: f"[{text}".encode()))
def test_cutting_ends_and_loses_nothing(body: bytes) -> None:
    try:
        items = cut(body)
    except NotAnArrayError:
        return
    inside = bare(body)[1:-1]
    assert b"".join(items).translate(None, b" \n,") == inside.translate(None, b" \n,")


@pytest.mark.parametrize("around", [b"%b", b"\xef\xbb\xbf%b", b"\r\n\t %b \n", b" \xef\xbb\xbf %b"])
def test_a_byte_order_mark_and_space_around_are_not_part_of_an_item(around: bytes) -> None:
    assert items_of(around % b'{"a":1}', 2) == [b'{"a":1}']
    assert items_of(around % b'[{"a":1}, 2 ]', 2) == [b'{"a":1}', b"2"]
    for empty in (b"[]", b"[ \n]"):
        with pytest.raises(ProblemError) as caught:
            items_of(around % empty, 2)
        assert caught.value.status == 422
    with pytest.raises(ProblemError) as caught:
        items_of(around % b"[1,2,3]", 2)
    assert caught.value.status == 413


def test_one_value_is_one_item_if_it_is_json_at_all() -> None:
    assert items_of(b"5", 1) == [b"5"]
    assert items_of(b'{"a":', 1) == [b'{"a":']
    for body in (b"", b" ", b"five", b"\xff\xfe", b"5 6"):
        with pytest.raises(ProblemError) as caught:
            items_of(body, 1)
        assert caught.value.status == 400
