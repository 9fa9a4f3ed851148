"""How long work tells how far it is.

Owns: the form in which it is told.
Does not own: who shows it (cli/output.py).
"""

from collections.abc import Callable

Say = Callable[[str, int | None, int | None], None]
"""Told how far it is: a step, and how much of how much of it is done."""


def unheard(step: str, done: int | None = None, total: int | None = None) -> None:
    """Progress that nobody watches."""
