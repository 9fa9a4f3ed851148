"""The cycle of 108 days and the thirteen figures that divide it.

Owns: the order of the figures, the last day of each, the step of a frame within its figure.
Does not own: which portals a policy has (policy.yaml); the figures' spans are part of the generator
version and stay when a policy moves a portal.
Invariant: the spans partition 1..108 and each is as long as its figure has days.
"""

from typing import Final

FRAMES: Final = 108
"""Number of frames, which are numbered 1..FRAMES, one a day of the cycle."""

SPANS: Final[tuple[tuple[str, int], ...]] = (
    ("bindu", 1),
    ("vesica-piscis", 3),
    ("tripod-of-life", 7),
    ("seed-of-life", 13),
    ("egg-of-life", 21),
    ("flower-of-life", 30),
    ("fruit-of-life", 40),
    ("metatrons-cube", 51),
    ("merkaba", 62),
    ("platonic-solids", 73),
    ("tree-of-life", 84),
    ("golden-spiral", 96),
    ("sri-yantra", 108),
)
"""Each figure's slug with the frame that shows it complete."""

LAST_FRAMES: Final = tuple(last for _, last in SPANS)

FIGURE_OF_FRAME: Final[tuple[str, ...]] = tuple(
    next(slug for slug, last in SPANS if frame <= last) for frame in range(1, FRAMES + 1)
)
"""The slug of the figure of each frame, by frame − 1."""


def step_of_frame(frame: int) -> tuple[int, int]:
    """Return the frame's day within its figure and the figure's number of days, both 1 and up."""
    last = next(last for last in LAST_FRAMES if frame <= last)
    before = max((end for end in LAST_FRAMES if end < last), default=0)
    return frame - before, last - before
