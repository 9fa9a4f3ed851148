"""The twelve variants: a palette each, and with it a rotation.

Owns: colours by variant.
Does not own: which user has which variant (catalogue.py), which rotations a figure allows
(figure.py).
Invariant: on every ground the strokes have a contrast of at least 7 to 1.
"""

from typing import Final

import msgspec


class Palette(msgspec.Struct, frozen=True, gc=False):
    """Colours as #rrggbb.

    Attributes:
        ground, edge: the background in the middle and at the corners.
        core, rim: strokes near the centre and near the circle.
        accent: fills and halo.
        fresh: what today added.
    """

    name: str
    ground: str
    edge: str
    core: str
    rim: str
    accent: str
    fresh: str


PALETTES: Final[tuple[Palette, ...]] = (
    Palette("midnight gold", "#16204a", "#070a1c", "#fff0c2", "#e6b45c", "#e0a030", "#fffdf4"),
    Palette("indigo rose", "#2a1b52", "#0d0820", "#ffe3ec", "#f08cb0", "#e0568c", "#fffafc"),
    Palette("teal ivory", "#0b3640", "#041418", "#fdf8e6", "#8fd6cc", "#3fb8aa", "#ffffff"),
    Palette("aubergine peach", "#3a1838", "#140814", "#ffeadb", "#f7a980", "#ef7f57", "#fffaf5"),
    Palette("forest jade", "#10362a", "#05140f", "#f0fbe0", "#8fdc9c", "#4cc078", "#fdfff8"),
    Palette("graphite ice", "#232a36", "#0b0e13", "#ffffff", "#a9c6e8", "#7ea6d8", "#ffffff"),
    Palette("ultramarine cyan", "#0f2470", "#050b2a", "#e4fbff", "#6fd3f5", "#2fa8e8", "#fafeff"),
    Palette("burgundy amber", "#451420", "#17060a", "#fff0cf", "#f5b95a", "#ec8f2e", "#fffcf2"),
    Palette("plum orchid", "#35195c", "#110720", "#f7e6ff", "#cf9bf5", "#a866e6", "#fdf8ff"),
    Palette("ink copper", "#0e2a33", "#040e12", "#ffeede", "#e59a6c", "#d0703c", "#fffaf6"),
    Palette("abyss coral", "#0d2c52", "#040f20", "#ffeae2", "#ff9c86", "#f76b57", "#fffaf8"),
    Palette("umber saffron", "#3a2412", "#140c05", "#fff6cc", "#f7c948", "#e8a317", "#fffef2"),
)
"""By variant, 0..11."""

VARIANTS: Final = len(PALETTES)
