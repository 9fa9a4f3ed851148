"""Every file that a docstring, a comment or a document names is there."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.test_tidy import ROOT, tracked

NAMED = re.compile(r"(?<![\w/.*}<-])((?:[\w-]+/)*[\w-]+\.(?:py|md|yaml|avsc|toml|lock))(?![\w/*])")
"""A file as prose names it: alone, or with folders before it."""

HISTORY = ("docs/adr/", "CHANGELOG.md")
"""What tells of earlier days may name what was there then."""


def missing_in(text: str, folder: Path, files: set[Path]) -> Iterator[str]:
    """The files that a text names and that are not there.

    Args:
        text: Python or Markdown.
        folder: in which it is; a path may begin in it, in a folder above it, or in a room.
        files: that are there, relative to the root.
    """
    names = {path.name for path in files}
    for name in dict.fromkeys(NAMED.findall(text)):
        if "/" not in name:
            if name not in names:
                yield name
        elif not {above / name for above in (folder, *folder.parents, Path("pipeline"))} & files:
            yield name


def prose_of(path: Path) -> str:
    """What a file says to people: of Python its comments and docstrings, else all."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return text
    return "\n".join([*re.findall(r'"""(.*?)"""', text, re.S), *re.findall(r"# (.*)", text)])


def test_every_file_that_is_named_is_there() -> None:
    files = {path.relative_to(ROOT) for path in tracked()}
    complaints = [
        f"{path}: {name}"
        for path in sorted(files)
        if path.suffix in {".py", ".md"}
        and path.parts[0] not in {"tests"}
        and not path.as_posix().startswith(HISTORY)
        for name in missing_in(prose_of(ROOT / path), path.parent, files)
    ]
    assert not complaints, "\n".join(complaints)


def test_a_file_that_moved_is_found() -> None:
    files = {Path("pipeline/engine/machine.py"), Path("docs/ARCHITECTURE.md")}
    here = Path("pipeline/engine/state")
    assert list(missing_in("see machine.py and docs/ARCHITECTURE.md", here, files)) == []
    assert list(missing_in("see engine/machine.py", Path("docs"), files)) == []
    assert list(missing_in("as marker.py says, and core/machine.py", here, files)) == [
        "marker.py",
        "core/machine.py",
    ]
