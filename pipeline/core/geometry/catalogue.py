"""Names of the 108 × 12 assets.

Owns: the golden list, ids, keys in an object store, a user's variant.
Does not own: drawing (render.py), storing (pipeline/ops/assets/catalogue.py).
Invariant: the list is frozen per generator version: ids are read from it, never computed at run
time, so that no consumer can see two pictures under one id, or two ids for one frame and variant.
"""

import re
import zlib
from importlib import resources
from typing import Final

import msgspec

from pipeline.core.geometry.cycle import FIGURE_OF_FRAME, FRAMES
from pipeline.core.geometry.errors import FrameError, GoldenListError
from pipeline.core.geometry.palettes import VARIANTS

GENERATOR_VERSION: Final = "1"
"""Version of the drawing rules; it changes whenever a byte of any asset does."""

_ID: Final = re.compile(r"[0-9a-f]{64}")


class Asset(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One drawn frame.

    Attributes:
        id: SHA-256 of its bytes, 64 lower-case hexadecimal digits. size_bytes: their number.
    """

    id: str
    size_bytes: int


class Golden(msgspec.Struct, frozen=True, gc=False):
    """The frozen list; as JSON it is also the manifest in an object store.

    Attributes:
        frames: 108 rows of 12 assets, by frame and variant.
    """

    generator_version: str
    frames: tuple[tuple[Asset, ...], ...]


def encode_golden(golden: Golden) -> bytes:
    """Return the canonical JSON of a list, one line a frame."""
    rows = (msgspec.json.encode(row).decode() for row in golden.frames)
    version = msgspec.json.encode(golden.generator_version).decode()
    text = ",\n".join(rows)
    return f'{{"generator_version":{version},"frames":[\n{text}\n]}}\n'.encode()


def decode_golden(data: bytes) -> Golden:
    """Read a golden list.

    Raises:
        GoldenListError: not JSON, not 108 × 12, not ids, or not in canonical form.
    """
    try:
        golden = msgspec.json.decode(data, type=Golden)
    except msgspec.MsgspecError as error:
        raise GoldenListError(f"the golden list cannot be read: {error}") from error
    if len(golden.frames) != FRAMES or any(len(row) != VARIANTS for row in golden.frames):
        raise GoldenListError(f"the golden list is not {FRAMES} frames of {VARIANTS} variants")
    ids = [asset.id for row in golden.frames for asset in row]
    if len(set(ids)) != len(ids) or not all(_ID.fullmatch(asset_id) for asset_id in ids):
        raise GoldenListError("the golden list has ids that repeat or are no SHA-256")
    if encode_golden(golden) != data:
        raise GoldenListError("the golden list is not in its canonical form")
    return golden


def golden_bytes(generator_version: str = GENERATOR_VERSION) -> bytes:
    """Return the golden list as it lies in the package.

    Raises:
        GoldenListError: the package has none for that version.
    """
    name = f"{generator_version}.json"
    try:
        return (resources.files("pipeline.core.geometry") / "golden" / name).read_bytes()
    except FileNotFoundError as error:
        raise GoldenListError(f"no golden list {name} in the package") from error


def object_key(asset_id: str) -> str:
    """Return where an asset lies in a store and below a base URL."""
    return f"svg/{asset_id}.svg"


def manifest_key(generator_version: str) -> str:
    """Return where a generator version's manifest lies."""
    return f"catalogue/{generator_version}.json"


class GoldenCatalogue:
    """Answers the domain's questions about assets from the golden list, each in constant time."""

    def __init__(self, base_url: str = "") -> None:
        """Read the golden list.

        Args:
            base_url: what asset URLs start with, with or without a final slash; empty gives keys.

        Raises:
            GoldenListError: the package is damaged.
        """
        golden = decode_golden(golden_bytes())
        self.golden = golden
        self._ids = tuple(asset.id for row in golden.frames for asset in row)
        self._prefix = base_url if base_url.endswith("/") or not base_url else base_url + "/"

    @property
    def generator_version(self) -> str:
        """Return the version of the drawing rules that the ids belong to."""
        return self.golden.generator_version

    def asset_id(self, frame: int, variant: int) -> str:
        """Return the id of a drawn frame.

        Raises:
            FrameError: frame outside 1..108 or variant outside 0..11.
        """
        if not (1 <= frame <= FRAMES and 0 <= variant < VARIANTS):
            raise FrameError(frame, variant)
        return self._ids[(frame - 1) * VARIANTS + variant]

    def url(self, asset_id: str) -> str:
        """Return the URL, or key, where the asset is served."""
        return f"{self._prefix}svg/{asset_id}.svg"

    def variant_of(self, user_id: str) -> int:
        """Return the user's palette and rotation, 0..11: CRC-32 of the id's UTF-8 modulo 12.

        It is the same for ever and everywhere, and cheaper than a cache would be.
        """
        return zlib.crc32(user_id.encode()) % VARIANTS

    def figure_of(self, frame: int) -> str:
        """Return the slug of the figure that a frame belongs to.

        Raises:
            FrameError: frame outside 1..108.
        """
        if not 1 <= frame <= FRAMES:
            raise FrameError(frame)
        return FIGURE_OF_FRAME[frame - 1]
