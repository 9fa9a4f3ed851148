"""What docs/CONSUMING.md prints: its snippets, and what they need installed.

Owns: finding them by name, and putting a run's own addresses and topics into them.
Does not own: running them (toolchains.py, running.py).
Invariant: nothing of a snippet changes but addresses, the topics' prefix, the group, and what a
test says that it changes.
"""

import re
from pathlib import Path

from pipeline.dev.local.stack import LocalStack

PAGE = Path(__file__).parents[2] / "docs" / "CONSUMING.md"


def snippet(name: str) -> str:
    """A client's program, as it is printed."""
    return _block("snippet", name)


def installed(name: str) -> list[str]:
    """The packages with their versions that the page has a client install."""
    return [word.strip('"') for word in _block("install", name).split() if re.search(r"\d", word)]


def here(code: str, stack: LocalStack, prefix: str, group: str) -> str:
    """A snippet for a stack of this run.

    Args:
        code: from `snippet`.
        stack: whose broker and registry it is to ask.
        prefix: of the topics.
        group: of the consumer.
    """
    registry = stack.registry_url.removeprefix("http://").partition("/")[0]
    for shown, real in (
        ("127.0.0.1:9092", stack.bootstrap_servers),
        ("127.0.0.1:8081", registry),
        ("awaway.", prefix),
        ("my-service", group),
    ):
        assert shown in code, shown
        code = code.replace(shown, real)
    return code


def _block(kind: str, name: str) -> str:
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(rf"<!-- {kind}: {name} -->\n```\w+\n(.*?)```", text, re.DOTALL)
    assert found is not None, f"{PAGE.name} has no {kind} {name}"
    return found[1]
