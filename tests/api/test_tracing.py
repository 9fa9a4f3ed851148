"""Which headers of a request go on with its records."""

import pytest
from starlette.datastructures import Headers

from pipeline.api.ingest.tracing import record_headers

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
STATE = "vendor=a-1,other@b=2"


def sent_on(*given: tuple[str, str]) -> list[tuple[str, str]]:
    raw = [(name.encode(), value.encode()) for name, value in given]
    found = record_headers(Headers(raw=raw), "user/ana")
    assert found[0] == ("awaway-sent-by", b"user/ana")
    return [(name, value.decode()) for name, value in found[1:]]


def test_a_trace_goes_on_with_its_state_and_without_baggage() -> None:
    parent, state = ("traceparent", PARENT), ("tracestate", STATE)
    assert sent_on(parent) == [parent]
    assert sent_on(state, ("baggage", "user=ana"), parent) == [parent, state]
    both = sent_on(parent, ("tracestate", "a=1"), ("tracestate", " b=2"))
    assert both == [parent, ("tracestate", "a=1,b=2")]


@pytest.mark.parametrize(
    "parent",
    [
        *("", "00", PARENT.upper(), PARENT + "-x", PARENT.replace("00-", "ff-", 1)),
        *(f"00-{'0' * 32}-{'1' * 16}-01", f"00-{'1' * 32}-{'0' * 16}-01"),
    ],
)
def test_what_is_no_trace_is_left_out_with_its_state(parent: str) -> None:
    assert sent_on(("traceparent", parent), ("tracestate", STATE)) == []


def test_two_traces_are_none_and_a_state_is_bounded() -> None:
    assert sent_on(("traceparent", PARENT), ("traceparent", PARENT)) == []
    for state in ("a=" + "x" * 511, "a=\u00e9", "a=\x01"):
        assert sent_on(("traceparent", PARENT), ("tracestate", state)) == [("traceparent", PARENT)]
