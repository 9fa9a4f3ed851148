"""What an input's headers say of where it came from.

Owns: the headers of a record that came over HTTP: who sent it, and the trace that it belongs to.
Does not own: the producer (producing.py).
Invariant: what is passed on is bounded, and only where it is what its standard says (W3C Trace
Context); anything else is left out, and no request is refused over it.

`tracestate` goes with a sound `traceparent`, as it means nothing alone. `baggage` does not go on:
it is made for the services that a request passes, sites put their users' data into it, and the
topic keeps its records for ever and shows them to every reader.
"""

import re
from typing import Final

from starlette.datastructures import Headers as HttpHeaders

from pipeline.api.ingest.producing import Headers

STATE_CHARS_MAX: Final = 512
"""What has to be passed on (W3C Trace Context, section 3.3.1.5); more is left out."""

_PARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)
_STATE: Final = re.compile(r"[\x20-\x7e\t]+")


def record_headers(given: HttpHeaders, sent_by: str) -> Headers:
    """The headers of a record.

    Args:
        given: of the request. sent_by: the principal's name.
    """
    headers: Headers = [("awaway-sent-by", sent_by.encode())]
    parents = given.getlist("traceparent")
    if len(parents) == 1 and _PARENT.fullmatch(parents[0]):
        headers.append(("traceparent", parents[0].encode()))
        state = ",".join(one.strip() for one in given.getlist("tracestate"))
        if len(state) <= STATE_CHARS_MAX and _STATE.fullmatch(state):
            headers.append(("tracestate", state.encode()))
    return headers
