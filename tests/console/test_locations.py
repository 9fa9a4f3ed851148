"""The address that a POST is answered with, followed by a real browser, whatever the id is."""

import pytest
from playwright.sync_api import Browser

from pipeline.api.http.paths import user_path
from tests.api.odd_ids import ODD_IDS
from tests.api.serving import Served, completion, token

ASK = """async ([addresses, token]) => {
  const answers = [];
  for (const address of addresses) {
    const answer = await fetch(address, {headers: {Authorization: `Bearer ${token}`}});
    answers.push([answer.status, await answer.json()]);
  }
  return answers;
}"""


@pytest.mark.verify
def test_a_browser_reaches_every_id_where_the_answer_says(browser: Browser, served: Served) -> None:
    scope = "completions:write completions:read progress:read"
    raw = token("gateway", "service", scope=scope)
    gateway = served.client("gateway", "service", scope=scope)
    locations = []
    for number, id_ in enumerate(ODD_IDS):
        sent = completion(id_, id_, session_id=f"odd {number}")
        answer = gateway.post("/v1/completions", json=sent)
        assert answer.status_code == 202, answer.text
        locations.append(answer.headers["location"])
    for location in locations:
        assert served.status(gateway, location)["status"] == "accepted"
    context = browser.new_context(base_url=served.base)
    page = context.new_page()
    page.goto("/livez")  # to be of the same site
    answers = page.evaluate(ASK, [locations, raw])
    for id_, (status, content) in zip(ODD_IDS, answers, strict=True):
        assert (status, content["user_id"], content["completion_id"]) == (200, id_, id_)
        assert content["status"] == "accepted"
    paths = [f"{user_path(id_)}/progress?min_revision=1" for id_ in ODD_IDS]
    answers = page.evaluate(ASK, [paths, raw])
    for id_, (status, content) in zip(ODD_IDS, answers, strict=True):
        assert (status, content["user_id"]) == (200, id_)
    context.close()
