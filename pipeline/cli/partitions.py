"""Which partitions a command looks at, for every command that may be told.

Owns: the option, and the partitions that follow from it or from a user.
Does not own: what is done with them (the commands).
"""

from collections.abc import Collection
from typing import Annotated

import typer

from pipeline.errors import UsageError

PartitionsOption = Annotated[
    list[int] | None, typer.Option("--partition", help="Only this one; may be repeated.")
]
UserOption = Annotated[str | None, typer.Option(help="Only this user.")]


def wanted_of(partitions: Collection[int] | None, user: str | None, count: int) -> list[int]:
    """Return the partitions that are wanted, in order: the user's, else the given, else all.

    Args:
        count: of the partitions that there are.

    Raises:
        UsageError: one is not there.
    """
    from pipeline.codec.partitioner import partition_of  # noqa: PLC0415 - slow to import

    if user is not None:
        return [partition_of(user.encode(), count)]
    wanted = sorted(set(partitions or range(count)))
    if wanted[0] < 0 or wanted[-1] >= count:
        raise UsageError(
            f"--partition: {partitions} are not all there", fix=f"they are 0 to {count - 1}"
        )
    return wanted
