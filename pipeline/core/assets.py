"""The protocol by which the domain asks about the drawn figures.

Owns: the protocol that the catalogue implements.
Does not own: how anything is drawn or where it is stored (geometry/).
Invariant: for one `generator_version` every answer is the same for ever.
"""

from typing import Protocol


class AssetCatalogue(Protocol):
    """Names of the 108 × 12 drawn frames."""

    @property
    def generator_version(self) -> str:
        """The version of the drawing rules that the asset ids belong to."""
        ...

    def asset_id(self, frame: int, variant: int) -> str:
        """Return the id of a drawn frame: frame 1..108, variant 0..11."""
        ...

    def url(self, asset_id: str) -> str:
        """Return where the asset is served."""
        ...

    def variant_of(self, user_id: str) -> int:
        """Return the user's palette and rotation, 0..11."""
        ...

    def figure_of(self, frame: int) -> str:
        """Return the slug of the figure that frame 1..108 belongs to."""
        ...
