"""The thirteen figures, built.

Owns: the table from slug to figure.
Does not own: a figure's construction (the modules it imports), its days of the cycle (cycle.py).
Invariant: same slugs and same order as `cycle.SPANS`.
"""

from pipeline.core.geometry.circles import (
    bindu,
    egg_of_life,
    flower_of_life,
    fruit_of_life,
    seed_of_life,
    tripod_of_life,
    vesica_piscis,
)
from pipeline.core.geometry.figure import Figure
from pipeline.core.geometry.metatron import merkaba, metatrons_cube
from pipeline.core.geometry.solids import platonic_solids
from pipeline.core.geometry.spiral import golden_spiral
from pipeline.core.geometry.tree import tree_of_life
from pipeline.core.geometry.yantra import sri_yantra


def figures() -> dict[str, Figure]:
    """Build the thirteen figures and return them by slug, in order; takes a few milliseconds."""
    built = (
        bindu(),
        vesica_piscis(),
        tripod_of_life(),
        seed_of_life(),
        egg_of_life(),
        flower_of_life(),
        fruit_of_life(),
        metatrons_cube(),
        merkaba(),
        platonic_solids(),
        tree_of_life(),
        golden_spiral(),
        sri_yantra(),
    )
    return {figure.slug: figure for figure in built}
