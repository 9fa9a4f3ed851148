"""Numbers that are the same on every platform.

Owns: cosines and sines of rational turns, powers of the golden ratio, the constants of the figures.
Does not own: rounding for output (svg.py).
Invariant: only + − × ÷ and square root are used, which IEEE 754 rounds correctly; nothing here
comes from a libm function whose last place differs between systems.
"""

import math
from functools import lru_cache
from typing import Final

Point = tuple[float, float]

SQRT3: Final = math.sqrt(3.0)
PHI: Final = (1.0 + math.sqrt(5.0)) / 2.0
LN_PHI: Final = 0.4812118250596034474977589134243684
PI: Final = 3.1415926535897932384626433832795029

_GUARD_DIGITS: Final = 10**10
_SCALE: Final = 10**40
_PI_SCALED: Final = 31415926535897932384626433832795028841972


def _series(angle: int, term: int, first: int) -> int:
    """Sum term − term·angle²/((first)(first+1)) + …, all numbers scaled by `_SCALE`."""
    total = term
    divisor = first
    while term:
        term = -(term * angle // _SCALE) * angle // (_SCALE * divisor * (divisor + 1))
        # Floor division of a negative number never reaches 0; stop at the last guard digit.
        term = 0 if term == -1 else term
        total += term
        divisor += 2
    return total


@lru_cache(maxsize=4096)
def turn(part: int, whole: int) -> Point:
    """Return cosine and sine of `part`/`whole` of a full turn, each rounded correctly.

    Args:
        part: any integer. whole: 1 and up.

    Returns:
        (cos, sin); exactly 0, ±0.5 and ±1 where the true value is.
    """
    quadrant, rest = divmod(4 * (part % whole), whole)
    angle = _PI_SCALED * rest // (2 * whole)
    cosine = _series(angle, _SCALE, 1)
    sine = _series(angle, angle, 2)
    half = _GUARD_DIGITS // 2
    scale = _SCALE // _GUARD_DIGITS
    x = ((cosine + half) // _GUARD_DIGITS) / scale
    y = ((sine + half) // _GUARD_DIGITS) / scale
    return ((x, y), (-y, x), (-x, -y), (y, -x))[quadrant]


def polar(radius: float, part: int, whole: int) -> Point:
    """Return the point at `radius` and `part`/`whole` of a turn, counter-clockwise from x."""
    cosine, sine = turn(part, whole)
    return radius * cosine, radius * sine


@lru_cache(maxsize=1024)
def phi_power(quarters: int) -> float:
    """Return φ to the power `quarters`/4, for −200..200, by square roots and products only."""
    root = math.sqrt(math.sqrt(PHI))
    power = 1.0
    for _ in range(abs(quarters)):
        power *= root
    return power if quarters >= 0 else 1.0 / power


def hex_point(q: int, s: int, spacing: float = 1.0) -> Point:
    """Map axial hex coordinates to the plane: x = q + s/2, y = s·√3/2, times `spacing`."""
    return spacing * (q + s / 2.0), spacing * (s * SQRT3 / 2.0)


def hex_disc(rings: int) -> tuple[tuple[int, int], ...]:
    """Return the 1 + 3n(n+1) axial coordinates with |q|, |s|, |q+s| ≤ n, ring by ring outwards.

    Within a ring they go counter-clockwise from the x axis.
    """
    cells: list[tuple[int, int]] = [(0, 0)]
    for ring in range(1, rings + 1):
        q, s = ring, 0
        for dq, ds in ((-1, 1), (-1, 0), (0, -1), (1, -1), (1, 0), (0, 1)):
            for _ in range(ring):
                cells.append((q, s))
                q, s = q + dq, s + ds
    return tuple(cells)


def midpoint(a: Point, b: Point) -> Point:
    """Return the point half-way between two points."""
    return (a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0


def distance(a: Point, b: Point) -> float:
    """Return the Euclidean distance of two points."""
    return math.sqrt((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2)
