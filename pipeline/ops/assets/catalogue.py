"""The catalogue of figures in an object store.

Owns: publishing it once, checking that it is there, freezing the golden list of a new version.
Does not own: drawing and ids (core/geometry/), PNG and contact sheets (pictures.py).
Invariants: an object is only ever created, under the hash of its own bytes; the manifest is put
last, so where it is, everything was there and verified; every step can be repeated after a crash.

Layout below the store's root: `svg/<sha-256>.svg`, and `catalogue/<generator version>.json`, whose
bytes are the golden list itself.
"""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from pipeline.core.geometry.catalogue import (
    GENERATOR_VERSION,
    Asset,
    Golden,
    decode_golden,
    encode_golden,
    golden_bytes,
    manifest_key,
    object_key,
)
from pipeline.core.geometry.cycle import FRAMES
from pipeline.core.geometry.palettes import VARIANTS
from pipeline.core.geometry.render import Renderer
from pipeline.errors import AwawayError

Progress = Callable[[int, int], None]
"""Called with (done, total) objects."""

REQUESTS_AT_ONCE: Final = 16
_NAMED_MAX: Final = 3
_HEADERS: Final = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "Content-Type": "image/svg+xml",
}


class AssetStoreError(AwawayError):
    """The object store could not be opened, read or written.

    Operator action: check the URL, the credentials in the environment and the network, then run the
    command again; it goes on where it stopped.
    """


class AssetsMissingError(AwawayError):
    """The store does not hold the whole catalogue of this generator version.

    Operator action: run `awaway assets publish` against the store, then start the worker again.
    """


class AssetConflictError(AwawayError):
    """An object in the store has other bytes than its name says.

    Operator action: find out who writes to the store besides this command; then run `awaway assets
    publish --repair`, which puts the right bytes in its place.
    """


class AssetDriftError(AwawayError):
    """This build draws a frame differently from its golden list.

    Operator action: do not publish from this build. A change of drawing needs a new generator
    version and a new golden list.
    """


class PublishReport(NamedTuple):
    """What publishing did, in objects and bytes.

    Attributes:
        created: put now. present: were there and verified. repaired: had wrong bytes, replaced.
        size_bytes: of the whole catalogue.
    """

    created: int
    present: int
    repaired: int
    size_bytes: int


def open_store(url: str, *, create: bool = False) -> ObjectStore:
    """Open a folder, or a store by URL.

    Args:
        url: a path, or `file://`, `memory:///`, `s3://`, `gs://`, `az://` and what else obstore
            knows. Credentials come from the environment, as the provider's own tools have them.
        create: make a folder that is not there; buckets are never made.

    Raises:
        AssetsMissingError: no such folder, and no `create`.
        AssetStoreError: no such scheme, or a store that cannot be opened.
    """
    with _store_errors(url):
        if "://" in url and not url.startswith("file://"):
            return from_url(url)
        folder = Path(unquote(urlsplit(url).path) if "://" in url else url).resolve()
        if create or folder.is_dir():
            return LocalStore(folder, mkdir=create)
    raise AssetsMissingError(
        f"there is no folder {folder} with assets",
        fix="run `awaway assets publish` against this store",
        store=url,
    )


@contextmanager
def _store_errors(subject: str) -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError, ValueError) as error:
        first_line = str(error).partition("\n")[0]
        raise AssetStoreError(
            f"the asset store failed at {subject}",
            why=first_line,
            fix="check the URL, the credentials and the network, then run it again",
            subject=subject,
        ) from error


def publish(
    store: ObjectStore, *, repair: bool = False, progress: Progress | None = None
) -> PublishReport:
    """Put the whole catalogue into the store, any number of times, also by several at once.

    Args:
        repair: replace objects whose bytes are not what their name says.
        progress: called from this thread.

    Raises:
        AssetDriftError: before anything is put. AssetConflictError: wrong bytes and no `repair`.
        AssetStoreError: the store failed; what was put stays and is found by the next run.
    """
    manifest = golden_bytes()
    golden = decode_golden(manifest)
    drawn = draw_all(golden)
    total = len(drawn) + 1
    counts = {"created": 0, "present": 0, "repaired": 0}

    def put(item: tuple[str, bytes]) -> str:
        return _put_exactly(store, object_key(item[0]), item[1], repair=repair)

    with ThreadPoolExecutor(REQUESTS_AT_ONCE, "assets") as pool:
        for done, outcome in enumerate(pool.map(put, drawn.items()), start=1):
            counts[outcome] += 1
            if progress is not None:
                progress(done, total)
    _put_exactly(store, manifest_key(golden.generator_version), manifest, repair=repair)
    if progress is not None:
        progress(total, total)
    return PublishReport(**counts, size_bytes=sum(map(len, drawn.values())))


def ensure_published(url: str, progress: Progress | None = None) -> bool:
    """Publish unless the cheap check finds everything there: a quick start for the demo.

    Args:
        url: as for `open_store`; a folder is made.

    Returns:
        Whether anything had to be published.

    Raises:
        As `check` and `publish`, but for AssetsMissingError.
    """
    store = open_store(url, create=True)
    try:
        check(store)
    except AssetsMissingError:
        publish(store, progress=progress)
        return True
    return False


def asset_base_url(url: str) -> str:
    """What `GoldenCatalogue` is given as its base, for a store that is itself what consumers read.

    Args:
        url: as for `open_store`.

    Returns:
        The URL, or a folder's absolute `file://` URL.
    """
    return url if "://" in url else Path(url).resolve().as_uri()


def draw_all(golden: Golden) -> dict[str, bytes]:
    """Draw every asset and hold it against the golden list.

    Returns:
        Bytes by id, about 10 MB.

    Raises:
        AssetDriftError: a frame is drawn otherwise than it was when the list was frozen.
    """
    renderer = Renderer()
    drawn: dict[str, bytes] = {}
    for frame, row in enumerate(golden.frames, start=1):
        for variant, asset in enumerate(row):
            data = renderer.svg(frame, variant)
            if hashlib.sha256(data).hexdigest() != asset.id:
                raise AssetDriftError(
                    f"frame {frame} in variant {variant} is drawn differently from the golden list",
                    fix="do not publish this build; a new drawing needs a new generator version",
                    frame=frame,
                    variant=variant,
                    generator_version=golden.generator_version,
                )
            drawn[asset.id] = data
    return drawn


def _put_exactly(store: ObjectStore, key: str, data: bytes, *, repair: bool) -> str:
    """Create an object, or verify the one that is there.

    Returns:
        created, present or repaired.
    """
    keeps_headers = not isinstance(store, LocalStore) and key.endswith(".svg")
    attributes = _HEADERS if keeps_headers else None
    with _store_errors(key):
        try:
            obstore.put(store, key, data, mode="create", attributes=attributes)
            return "created"
        except AlreadyExistsError:
            found = bytes(obstore.get(store, key).bytes())
        if found == data:
            return "present"
        if repair:
            obstore.put(store, key, data, attributes=attributes)
            return "repaired"
    raise AssetConflictError(
        f"{key} holds other bytes than it should",
        why=f"{len(found)} bytes found, {len(data)} expected",
        fix="see who else writes to this store, then run `awaway assets publish --repair`",
        key=key,
    )


def check(store: ObjectStore, *, deep: bool = False) -> int:
    """See that the store holds the whole catalogue of this build.

    One read and a listing (two pages on S3): the manifest must be this build's golden list byte for
    byte, and every object must be there in its exact size.

    Args:
        deep: also read every object and hash it.

    Returns:
        How many assets were checked.

    Raises:
        AssetsMissingError: something is not there. AssetConflictError: something is there but
            differs.
        AssetStoreError: the store failed.
    """
    manifest = golden_bytes()
    golden = decode_golden(manifest)
    key = manifest_key(golden.generator_version)
    with _store_errors(key):
        try:
            found = bytes(obstore.get(store, key).bytes())
        except FileNotFoundError:
            found = b""
        sizes = {meta["path"]: meta["size"] for page in obstore.list(store, "svg") for meta in page}
    if not found:
        raise _missing(golden, [key])
    if found != manifest:
        raise _conflict([key])
    assets = [asset for row in golden.frames for asset in row]
    gone = [object_key(asset.id) for asset in assets if object_key(asset.id) not in sizes]
    if gone:
        raise _missing(golden, gone)
    wrong = [key for a in assets if sizes[key := object_key(a.id)] != a.size_bytes]
    if deep and not wrong:
        wrong = _wrong_contents(store, assets)
    if wrong:
        raise _conflict(wrong)
    return len(assets)


def _wrong_contents(store: ObjectStore, assets: list[Asset]) -> list[str]:
    def differs(asset: Asset) -> bool:
        key = object_key(asset.id)
        with _store_errors(key):
            data = bytes(obstore.get(store, key).bytes())
        return hashlib.sha256(data).hexdigest() != asset.id

    with ThreadPoolExecutor(REQUESTS_AT_ONCE, "assets") as pool:
        return [
            object_key(asset.id)
            for asset, wrong in zip(assets, pool.map(differs, assets), strict=True)
            if wrong
        ]


def _missing(golden: Golden, keys: list[str]) -> AssetsMissingError:
    return AssetsMissingError(
        f"the asset store lacks {len(keys)} of the objects of generator {golden.generator_version}",
        why=", ".join(keys[:_NAMED_MAX]),
        fix="run `awaway assets publish` against this store",
        missing=len(keys),
        generator_version=golden.generator_version,
    )


def _conflict(keys: list[str]) -> AssetConflictError:
    return AssetConflictError(
        f"{len(keys)} objects in the asset store hold other bytes than they should",
        why=", ".join(keys[:_NAMED_MAX]),
        fix="see who else writes to this store, then run `awaway assets publish --repair`",
        wrong=len(keys),
    )


def freeze() -> bytes:
    """Draw everything and return the golden list of this build, for a new generator version."""
    renderer = Renderer()

    def asset(frame: int, variant: int) -> Asset:
        data = renderer.svg(frame, variant)
        return Asset(hashlib.sha256(data).hexdigest(), len(data))

    rows = tuple(
        tuple(asset(frame, variant) for variant in range(VARIANTS))
        for frame in range(1, FRAMES + 1)
    )
    return encode_golden(Golden(GENERATOR_VERSION, rows))
