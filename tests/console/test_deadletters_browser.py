"""Dead letters in a browser, on a real broker: chosen, previewed, redriven and put away."""

import pytest
from playwright.sync_api import Page, expect

from pipeline.codec.partitioner import partition_of
from pipeline.dev.workload.wire import plain_completion
from tests.api.serving import Served
from tests.console.conftest import NOW
from tests.console.test_adjusting import fill, has_no_barrier, page

__all__ = ["page"]


def states(page: Page) -> dict[str, str]:
    """The state of each letter of a list, by its reason."""
    rows = page.locator("table.rows tbody tr").all()
    cells = [[cell.strip() for cell in row.locator("td").all_inner_texts()] for row in rows]
    return {row[-3]: row[-1] for row in cells}


@pytest.mark.verify
def test_an_operator_redrives_one_letter_and_discards_another(page: Page, served: Served) -> None:
    ledger = served.ledger
    elsewhere = (partition_of(b"bo", ledger.partitions) + 1) % ledger.partitions
    stray = plain_completion("bo", "stray", int(NOW.timestamp() * 1000), tz="UTC")
    ledger.send("completions", b"bo", stray, partition=elsewhere)
    ledger.flush()
    ledger.wait_for(lambda: ledger.lag() == 0)
    page.goto("/console/dead-letters")
    assert states(page) == {"transport.wrong_partition": "open", "validate.too_late": "open"}
    assert has_no_barrier(page)

    page.get_by_role("row", name="wrong_partition").get_by_role("link").first.click()
    expect(page.get_by_text("it counts for")).to_be_visible()
    expect(page.locator("pre.command")).to_contain_text('"completion_id": "stray"')
    assert has_no_barrier(page)
    page.get_by_role("link", name="Dead letters").first.click()
    for each in page.get_by_role("checkbox", name="Choose").all():
        each.check()
    fill(page, Ticket="O-17", Reason="the producer is corrected")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("heading", name="Redrive 1 dead letter")).to_be_visible()
    expect(page.get_by_role("row", name="too_late")).to_contain_text("would be rejected again")
    assert has_no_barrier(page)
    assert not ledger.raw("commands")
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_text("redriven: accepted")).to_be_visible()
    page.reload()  # what became of it has an address of its own
    assert states(page) == {
        "transport.wrong_partition": "redriven: accepted",
        "validate.too_late": "open",
    }
    assert ledger.progress()["bo"]["lifetime_days"] == 1

    page.get_by_role("row", name="too_late").get_by_role("checkbox").check()
    page.get_by_label("Discard").check()
    fill(page, Ticket="O-18", Reason="it was too late when it came")
    page.get_by_role("button", name="Preview").click()
    page.get_by_role("button", name="Confirm").click()
    expect(page.get_by_text("discarded", exact=True)).to_be_visible()
    sent = [(record.key(), record.partition()) for record in ledger.raw("commands")]
    assert sorted(sent, key=str)[1] == (b"bo", partition_of(b"bo", ledger.partitions))
    assert {one.value["actor"] for one in ledger.read("audit") if one.value["ticket"]} == {
        "operator/olga"
    }
