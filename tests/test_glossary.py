"""The glossary's terms are in use, in order, and each is explained once."""

import re
from pathlib import Path

import pytest

from tests.test_tidy import ROOT, tracked

PAGE = ROOT / "docs" / "GLOSSARY.md"
ROW = re.compile(r"\| ([^|]+?) \| ([^|]+) \| `([^`|]+)` \|")
SPOKEN = {".md", ".py", ".yaml"}


def terms_in(page: str) -> list[list[str]]:
    """Return the terms of each table, in its order."""
    tables = re.split(r"^## ", page, flags=re.M)[1:]
    return [
        [row[1] for line in table.splitlines() if (row := ROW.fullmatch(line))] for table in tables
    ]


def unused(terms: list[str], texts: list[str]) -> list[str]:
    """Return the terms that stand as words in none of the texts, nor as parts of names."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", "\n".join(texts))
    spoken = re.sub(r"[\s_-]+", " ", parted).lower()
    missing = []
    for term in terms:
        words = re.escape(re.sub(r"[\s_-]+", " ", term).lower())
        if not re.search(rf"\b{words}(?:s|d|ed)?\b", spoken):
            missing.append(term)
    return missing


def test_there_are_two_tables_in_alphabetical_order() -> None:
    tables = terms_in(PAGE.read_text(encoding="utf-8"))
    assert [len(terms) > 20 for terms in tables] == [True, True]
    assert [sorted(terms, key=str.lower) for terms in tables] == tables


def test_every_row_is_a_term_a_meaning_and_a_file() -> None:
    rows = [
        line
        for line in PAGE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and not line.startswith("| Term")
    ]
    assert [line for line in rows if not ROW.fullmatch(line)] == []


def test_no_term_is_explained_twice() -> None:
    terms = [term.lower() for table in terms_in(PAGE.read_text(encoding="utf-8")) for term in table]
    assert sorted(terms) == sorted(set(terms))


def test_every_term_is_used() -> None:
    files = [path for path in tracked() if path.suffix in SPOKEN]
    texts = [
        path.read_text(encoding="utf-8")
        for path in files
        if path not in {PAGE, Path(__file__)} and path.exists()
    ]
    terms = [term for table in terms_in(PAGE.read_text(encoding="utf-8")) for term in table]
    assert unused(terms, texts) == []


def test_every_term_stands_in_the_file_that_is_said_to_own_it() -> None:
    complaints = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if row := ROW.fullmatch(line):
            text = (ROOT / "pipeline" / row[3]).read_text(encoding="utf-8")
            complaints += [f"{term}: {row[3]}" for term in unused([row[1]], [row[3], text])]
    assert complaints == []


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("of a seen_filter", []),
        ("two seen\n    filters", []),
        ("SeenFilters", []),
        ("unseen filter", ["seen filter"]),
        ("seen filtering", ["seen filter"]),
    ],
)
def test_a_term_is_found_as_words(text: str, missing: list[str]) -> None:
    assert unused(["seen filter"], [text]) == missing
