"""Turns, powers of φ and the hexagonal lattice."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.geometry import exact

HALF_ROOT_3 = math.sqrt(3.0) / 2.0


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [
        (0, 7, (1.0, 0.0)),
        (1, 4, (0.0, 1.0)),
        (1, 2, (-1.0, 0.0)),
        (3, 4, (0.0, -1.0)),
        (1, 6, (0.5, HALF_ROOT_3)),
        (1, 12, (HALF_ROOT_3, 0.5)),
        (-1, 12, (HALF_ROOT_3, -0.5)),
        (5, 12, (-HALF_ROOT_3, 0.5)),
        (1, 8, (math.sqrt(0.5), math.sqrt(0.5))),
    ],
)
def test_known_turns_are_exact(part: int, whole: int, expected: exact.Point) -> None:
    assert exact.turn(part, whole) == expected


@given(part=st.integers(-1000, 1000), whole=st.integers(1, 400))
def test_a_turn_agrees_with_libm_to_its_last_places(part: int, whole: int) -> None:
    cosine, sine = exact.turn(part, whole)
    angle = 2.0 * math.pi * (part % whole) / whole
    assert cosine == pytest.approx(math.cos(angle), abs=2e-15)
    assert sine == pytest.approx(math.sin(angle), abs=2e-15)


@given(part=st.integers(0, 400), whole=st.integers(1, 400))
def test_turns_are_symmetric_to_the_last_bit(part: int, whole: int) -> None:
    cosine, sine = exact.turn(part, whole)
    assert exact.turn(-part, whole) == (cosine, -sine)
    assert exact.turn(part + whole, whole) == (cosine, sine)
    assert exact.turn(2 * part + whole, 2 * whole) == (-cosine, -sine)


@given(part=st.integers(0, 400), whole=st.integers(1, 400))
def test_a_cosine_is_rounded_correctly(part: int, whole: int) -> None:
    # cos²+sin² of the floats, without rounding, is 1 within what rounding each may cost.
    cosine, sine = (Fraction(value) for value in exact.turn(part, whole))
    assert abs(cosine**2 + sine**2 - 1) < Fraction(1, 2**51)


def test_polar_scales_a_turn() -> None:
    assert exact.polar(2.0, 1, 6) == (1.0, 2.0 * HALF_ROOT_3)


@pytest.mark.parametrize("quarters", [-48, -7, -1, 0, 1, 4, 9, 200])
def test_powers_of_phi(quarters: int) -> None:
    assert exact.phi_power(quarters) == pytest.approx(exact.PHI ** (quarters / 4), rel=1e-13)


def test_constants() -> None:
    assert math.isclose(exact.PHI * exact.PHI, exact.PHI + 1.0, rel_tol=1e-15)
    assert pytest.approx(math.log(exact.PHI), rel=1e-15) == exact.LN_PHI
    assert math.pi == exact.PI


@pytest.mark.parametrize("rings", range(6))
def test_a_hex_disc_has_one_plus_3n_n_plus_1_cells(rings: int) -> None:
    cells = exact.hex_disc(rings)
    assert len(set(cells)) == len(cells) == 1 + 3 * rings * (rings + 1)
    assert all(max(abs(q), abs(s), abs(q + s)) <= rings for q, s in cells)


def test_a_ring_goes_round_in_steps_of_one() -> None:
    points = [exact.hex_point(q, s) for q, s in exact.hex_disc(2)[7:]]
    gaps = [exact.distance(a, b) for a, b in zip(points, [*points[1:], points[0]], strict=True)]
    assert gaps == pytest.approx([1.0] * 12)
    assert points[0] == (2.0, 0.0)
    assert points[2] == pytest.approx((1.0, 2.0 * HALF_ROOT_3))


def test_midpoint() -> None:
    assert exact.midpoint((0.0, 2.0), (4.0, -4.0)) == (2.0, -1.0)
