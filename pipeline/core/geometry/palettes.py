"""The twelve variants: a palette each, and with it a rotation.

Owns: colours by variant.
Does not own: which user has which variant (catalogue.py), which rotations a figure allows
(figure.py).
Invariant: on every ground the strokes have a contrast of at least 7 to 1.
"""

from typing import Final

import msgspec


class Palette(msgspec.Struct, frozen=True, gc=False):
    """The colours of one variant, as #rrggbb.

    Attributes:
        ground, edge: the background in the middle and at the corners.
        core, rim: strokes near the centre and near the circle; the rim's is their glow too.
        accent: fills at the very centre.
        middle: fills half-way, so that the blend of the two others does not pass through grey.
        glass: fills near the circle, and the halo.
    """

    name: str
    ground: str
    edge: str
    core: str
    rim: str
    accent: str
    middle: str
    glass: str


PALETTES: Final[tuple[Palette, ...]] = (
    Palette(
        "midnight gold", "#17235a", "#060919", "#fff3cf", "#eebf62", "#ffb574", "#b070dc", "#4169e8"
    ),
    Palette(
        "indigo rose", "#2b1b5e", "#0b061f", "#ffe9f1", "#f59abb", "#f2709f", "#b060d8", "#7350e6"
    ),
    Palette(
        "teal ivory", "#0a3d48", "#031216", "#fffbe9", "#a4e2d6", "#f2dfa0", "#6fd0a8", "#1fa79d"
    ),
    Palette(
        "aubergine peach",
        "#43193f",
        "#130612",
        "#fff0e2",
        "#fab48c",
        "#ff9560",
        "#e0608c",
        "#b5408f",
    ),
    Palette(
        "forest jade", "#0f3d2c", "#03120c", "#f6ffe4", "#9be7a8", "#d8e86a", "#6cc96a", "#1f9e63"
    ),
    Palette(
        "graphite ice", "#27303f", "#090c11", "#ffffff", "#b9d3f0", "#cfe4ff", "#86b0e6", "#4d78b8"
    ),
    Palette(
        "ultramarine cyan",
        "#10287e",
        "#040927",
        "#ecfdff",
        "#7fdcf9",
        "#62e2ff",
        "#4a9cf8",
        "#3a5cf0",
    ),
    Palette(
        "burgundy amber",
        "#4d1522",
        "#150508",
        "#fff4d8",
        "#f9c46a",
        "#ffb03f",
        "#f0703c",
        "#c9343f",
    ),
    Palette(
        "plum orchid", "#3a1b66", "#0f0620", "#fbeeff", "#d8abfa", "#f08cf0", "#b46ae8", "#7a45dd"
    ),
    Palette(
        "ink copper", "#0e323d", "#030c11", "#fff1e3", "#f0ab7e", "#a6f2e2", "#4cc4bc", "#2a9aa6"
    ),
    Palette(
        "abyss coral", "#0e315f", "#030d1d", "#ffeee7", "#ffab97", "#ff7d66", "#c46aa8", "#2a6fd0"
    ),
    Palette(
        "umber saffron", "#43290f", "#120b04", "#fff9d8", "#fad35c", "#ffc61f", "#f09a1c", "#c06a1c"
    ),
)
"""The palettes by variant, 0..11."""

FRESH: Final = "#ffffff"
"""The colour of what today added, in every variant."""

VARIANTS: Final = len(PALETTES)
