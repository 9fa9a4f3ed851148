"""Processes that are told apart from later ones with the same number.

Owns: a process's identity (number and start), signalling exactly that process, dying with a parent.
Does not own: which processes there are (supervisor.py), where they are written down (state.py).
Invariant: a signal is sent only to the process that was meant; a number that the system gave to
another process since is left alone.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast

import msgspec

POLL_S = 0.05
_PR_SET_PDEATHSIG = 1
_LINUX = sys.platform == "linux"


class ProcessId(msgspec.Struct, frozen=True):
    """A process, once and for all: its number and what the system says of its start."""

    pid: int
    started: str

    @property
    def alive(self) -> bool:
        """Whether this very process still runs; a zombie counts as ended."""
        return start_of(self.pid) == self.started


def start_of(pid: int) -> str | None:
    """When a process started, in the system's own terms.

    Args:
        pid: a process number.

    Returns:
        An opaque text, equal only for the same process; None when there is no such process or it is
        a zombie.
    """
    if _LINUX:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return None
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] in "ZX" else f"{_boot_id()}:{fields[19]}"
    shown = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    status, _, started = shown.stdout.strip().partition(" ")
    return started.strip() if started and not status.startswith("Z") else None


def identify(pid: int) -> ProcessId | None:
    """The identity of a running process, or None when it has ended."""
    started = start_of(pid)
    return None if started is None else ProcessId(pid, started)


def this_process() -> ProcessId:
    """The identity of the calling process."""
    return ProcessId(os.getpid(), start_of(os.getpid()) or "")


class _PidfdModule(Protocol):
    """The part of os and signal that only Linux has."""

    def pidfd_open(self, pid: int) -> int: ...
    def pidfd_send_signal(self, fd: int, number: int) -> None: ...


def send_signal(process: ProcessId, number: signal.Signals) -> bool:
    """Signal exactly this process.

    Args:
        process: whom to signal.
        number: the signal.

    Returns:
        False when it had ended. On Linux the check and the signal cannot be separated by a reuse of
        the number; elsewhere the window is the time between two system calls.
    """
    with contextlib.suppress(ProcessLookupError):
        if _LINUX:
            handle = cast(_PidfdModule, os).pidfd_open(process.pid)
            try:
                if process.alive:
                    cast(_PidfdModule, signal).pidfd_send_signal(handle, number)
                    return True
            finally:
                os.close(handle)
        elif process.alive:
            os.kill(process.pid, number)
            return True
    return False


def end(process: ProcessId, patience_s: float) -> bool:
    """Ask a process to end, and make it when it does not.

    Args:
        process: any process of the same user.
        patience_s: how long it may take over a clean end before it is killed; 0 kills at once.

    Returns:
        True when it has ended, False when even a kill did not end it within five seconds.
    """
    if patience_s > 0 and send_signal(process, signal.SIGTERM) and gone(process, patience_s):
        return True
    return not send_signal(process, signal.SIGKILL) or gone(process, 5.0)


def gone(process: ProcessId, timeout_s: float) -> bool:
    """Wait for a process to end.

    Args:
        process: it need not be a child.
        timeout_s: how long to wait at most.

    Returns:
        Whether it has ended.
    """
    deadline = time.monotonic() + timeout_s
    while process.alive:
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def dying_with_parent() -> Callable[[], None] | None:
    """What a child runs between fork and exec so that it cannot outlive the caller.

    Returns:
        A function for `subprocess.Popen(preexec_fn=…)`: the kernel kills the child when the
        *thread* that started it ends, so start it from the main thread. None where the kernel
        is not Linux.
    """
    if not _LINUX:
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def _before_exec() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the kernel was told
            os.kill(os.getpid(), signal.SIGKILL)

    return _before_exec


def _boot_id() -> str:
    """Which boot of the machine this is, as start times count from it."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
