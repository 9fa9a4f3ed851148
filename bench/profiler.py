"""Where the worker spends its time, by sampling from outside.

Owns: running py-spy on a process and reducing its stacks to a list of functions.
Does not own: the in-process view of single stages (fold_profile.py).
Invariant: pure but for `sample`; a share is of the samples in which the thread was on the processor
or held the interpreter.
"""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from bench.errors import BenchError

RATE_HZ: Final = 100
TOP: Final = 25


def sample(pid: int, seconds: float, path: Path) -> "subprocess.Popen[bytes]":
    """Start sampling a process for `seconds` into `path`; wait for the returned process.

    Native frames are not unwound: that would stop the worker for longer than it runs.
    """
    program = Path(sys.executable).with_name("py-spy")
    return subprocess.Popen(
        [
            str(program),
            "record",
            f"--pid={pid}",
            f"--duration={max(1, round(seconds))}",
            f"--rate={RATE_HZ}",
            "--format=raw",
            "--threads",
            f"--output={path}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def finish(sampling: "subprocess.Popen[bytes]", path: Path) -> list[str]:
    """Wait for `sample` to end.

    Returns:
        The report's lines.

    Raises:
        BenchError: py-spy could not look into the process.
    """
    _, complaint = sampling.communicate()
    if sampling.returncode != 0 or not path.exists():
        raise BenchError(
            "the profile was not taken",
            why=complaint.decode("utf-8", "replace").strip(),
            fix="allow ptrace of one's own processes, or run as root",
        )
    return top_functions(path.read_text("utf-8").splitlines())


def top_functions(stacks: Iterable[str]) -> list[str]:
    """Functions by their own share of all samples, and with what they call.

    Args:
        stacks: py-spy's raw format: frames from the root joined by `;`, a space, a count.
    """
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    total = 0
    for line in stacks:
        frames_text, _, count_text = line.rpartition(" ")
        count = int(count_text)
        frames = [frame.rpartition(":")[0] or frame for frame in frames_text.split(";")]
        total += count
        own[frames[-1]] += count
        for frame in set(frames):
            whole[frame] += count
    lines = [f"{'own':>6} {'whole':>6}  function ({total:,} samples)"]
    for frame, count in own.most_common(TOP):
        lines.append(f"{100 * count / total:5.1f}% {100 * whole[frame] / total:5.1f}%  {frame:.64}")
    return lines
