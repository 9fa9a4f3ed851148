"""Run a command that cannot outlive us.

Owns: the tie between a child and its parent, kept over exec.
Does not own: what is run.
Invariant: when the parent's thread that started this ends, however it ends, the command is killed.

Usage: leash.py PARENT_PID COMMAND [ARGUMENT...]
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tie this process to its parent, then become the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the kernel was told
            sys.exit(1)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
