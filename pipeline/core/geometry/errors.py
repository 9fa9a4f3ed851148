"""What the geometry can refuse.

Owns: its errors.
Does not own: errors of the object store (pipeline/ops/assets/catalogue.py).
Invariant: neither can come from a user's event; both mean that code or package is wrong.
"""

from pipeline.core.errors import CoreError


class FrameError(CoreError):
    """A frame or variant that is not drawn was asked for.

    Operator action: none at run time; the caller computes a frame outside 1..108 or a variant
    outside 0..11, which is a defect to report with the numbers in the message.
    """

    def __init__(self, frame: int, variant: int = 0) -> None:
        super().__init__(f"no frame {frame} in variant {variant}: frames 1..108, variants 0..11")
        self.frame = frame
        self.variant = variant


class GoldenListError(CoreError):
    """The frozen list of asset ids in the package is missing or damaged.

    Operator action: install the package again; the file is part of it and nothing writes it at run
    time.
    """
