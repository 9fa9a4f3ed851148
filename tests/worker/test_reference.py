"""The generated pages are those in docs/."""

from pathlib import Path

import pytest

from pipeline.observability.metrics import METRICS
from pipeline.observability.reference import PAGES, main

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", sorted(PAGES))
def test_the_committed_page_is_what_the_code_says(name: str) -> None:
    fix = "run `python -m pipeline.observability.reference docs`"
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name](), fix


def test_every_metric_has_a_row(tmp_path: Path) -> None:
    main(tmp_path)
    page = (tmp_path / "METRICS.md").read_text(encoding="utf-8")
    for metric in METRICS:
        assert f"| `{metric.name}` | {metric.kind.value} |" in page
