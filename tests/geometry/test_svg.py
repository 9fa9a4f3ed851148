"""Canonical text: numbers, attributes, shapes."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.geometry import shapes, svg


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (-0.001, "0"),
        (1.0, "1"),
        (-1.5, "-1.5"),
        (100.0, "100"),
        (0.05, "0.05"),
        (12.344, "12.34"),
        (12.346, "12.35"),
        (-12.346, "-12.35"),
        (1e-9, "0"),
        (0.125, "0.13"),
        (math.nextafter(0.125, 0.0), "0.13"),
        (-0.125, "-0.12"),
        (math.nextafter(-0.125, -1.0), "-0.12"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert svg.number(value) == text


@given(st.floats(-1e6, 1e6))
def test_a_number_is_plain_short_and_near(value: float) -> None:
    text = svg.number(value)
    assert re.fullmatch(r"-?(0|[1-9]\d*)(\.\d?[1-9])?", text)
    assert text != "-0"
    assert float(text) == pytest.approx(value, abs=0.0051)


def test_attributes_are_sorted_and_escaped() -> None:
    assert svg.element("g", {"z": "1", "a": '<&">'}) == '<g a="&lt;&amp;&quot;>" z="1"/>'
    assert svg.element("g", {}, "<a/>", "<b/>") == "<g><a/><b/></g>"


def test_a_circle_lands_with_y_turned_over() -> None:
    placed = svg.shape_element(
        shapes.Circle((1.0, 2.0), 0.5), shapes.Placement(10.0), {"opacity": "0.5"}
    )
    assert placed == '<circle cx="10" cy="-20" opacity="0.5" r="5"/>'


def test_a_path_lands_with_y_turned_over() -> None:
    path = shapes.Path(
        (
            shapes.Step("M", ((0.0, 0.0),)),
            shapes.Step("L", ((1.0, -1.0),)),
            shapes.Step("C", ((0.0, 1.0), (-1.0, 1.0), (2.0, -2.0))),
            shapes.Step("A", ((0.0, 1.0),), radius=2.0, ccw=True),
            shapes.Step("A", ((0.0, 0.0),), radius=2.0, ccw=False),
            shapes.Step("Z"),
        )
    )
    assert svg.path_data(path, shapes.Placement(1.0)) == (
        "M0 0L1 1C0-1-1-1 2 2A2 2 0 0 0 0-1A2 2 0 0 1 0 0Z"
    )


def test_a_quarter_turn_is_exact() -> None:
    assert shapes.Placement(1.0, 3).point((1.0, 0.0)) == (0.0, -1.0)
    assert shapes.Placement(2.0, 6).point((1.0, 0.5)) == (-2.0, 1.0)


def test_a_twelfth_is_counter_clockwise_on_the_screen() -> None:
    x, y = shapes.Placement(1.0, 1).point((1.0, 0.0))
    assert (x, y) == pytest.approx((math.sqrt(3.0) / 2.0, -0.5))


def test_reach_of_circles_and_paths() -> None:
    assert shapes.reach(shapes.Circle((3.0, 4.0), 2.0)) == 7.0
    assert shapes.reach(shapes.polygon(((0.0, 0.0), (3.0, 4.0), (1.0, 1.0)))) == 5.0


def test_outlines_joined_keep_all_their_steps() -> None:
    one = shapes.segment((0.0, 0.0), (1.0, 0.0))
    assert shapes.joined((one, one)).steps == one.steps * 2
