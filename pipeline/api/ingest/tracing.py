"""Makes the headers of a record that came over HTTP.

Owns: who sent the record, and the trace that it belongs to.
Does not own: the producer (producing.py).
Invariant: headers are bounded, and are passed on only if they follow their standard (W3C Trace
Context); others are left out, and no request is refused because of them.

`tracestate` is passed on only with a valid `traceparent`, as it means nothing alone. `baggage` is
not passed on: it is made for the services that a request passes, sites put their users' data into
it, and the topic keeps its records for ever and shows them to every reader.
"""

import re
from typing import Final

from starlette.datastructures import Headers as HttpHeaders

from pipeline.api.ingest.producing import Headers

STATE_CHARS_MAX: Final = 512
"""Max characters of `tracestate`; the standard asks for these (W3C Trace Context, 3.3.1.5)."""

_PARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)
_STATE: Final = re.compile(r"[\x20-\x7e\t]+")


def record_headers(given: HttpHeaders, sent_by: str) -> Headers:
    """Make the headers of a record.

    Args:
        given: the headers of the request.
        sent_by: the principal's name.
    """
    headers: Headers = [("awaway-sent-by", sent_by.encode())]
    parents = given.getlist("traceparent")
    if len(parents) == 1 and _PARENT.fullmatch(parents[0]):
        headers.append(("traceparent", parents[0].encode()))
        state = ",".join(one.strip() for one in given.getlist("tracestate"))
        if len(state) <= STATE_CHARS_MAX and _STATE.fullmatch(state):
            headers.append(("tracestate", state.encode()))
    return headers
