"""YAML in which nothing is said twice.

Owns: parsing. Does not own: what a file must hold (file.py).
Invariant: a key that occurs twice in one mapping is refused: the second would silently win.
"""

from collections.abc import Hashable
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which takes no repeated key."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(
                    problem="a key is a list or a mapping", problem_mark=key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key!r} occurs twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def parse_yaml(text: str) -> Any:
    """The one document of a YAML text.

    Raises:
        yaml.YAMLError: it is not YAML, or a key occurs twice.
    """
    return yaml.load(text, _Loader)  # a subclass of the safe loader
