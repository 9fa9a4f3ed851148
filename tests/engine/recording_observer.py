"""An observer that writes down what it is told.

Owns: the record. Does not own: what the engine tells (pipeline/engine/observer.py).
"""

from typing import Any

from pipeline.engine.observer import EngineObserver


class RecordingObserver(EngineObserver):
    """Writes down what it is told, the steps apart.

    Attributes:
        said: (method, arguments) in order.
        steps: that the engine came to.
    """

    def __init__(self) -> None:
        self.said: list[tuple[str, tuple[Any, ...]]] = []
        self.steps: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        if name not in vars(EngineObserver) or name.startswith("__"):
            return super().__getattribute__(name)
        if name == "at":
            return self.steps.append
        return lambda *arguments, **named: self.said.append((name, (*arguments, *named.values())))

    def of(self, name: str) -> list[tuple[Any, ...]]:
        """The arguments of each call of a method."""
        return [arguments for said, arguments in self.said if said == name]
