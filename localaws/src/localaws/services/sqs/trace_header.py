"""The tracing header of the request that sends a message becomes the message's attribute AWSTraceHeader.

Faithful to: messages of SendMessage and SendMessageBatch get the header of the request, unless they have the
system attribute themselves; so do those that other services send while they serve a request with a header.
Not to: SNS with its own tracing, which adds a segment.

https://docs.aws.amazon.com/xray/latest/devguide/xray-services-sqs.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.services import sqs

from localaws.patching import around
from localaws.services.xray import headers


@around(sqs, "_build_send_sys_attrs", after=["sqs.shapes"])
def _build_send_sys_attrs(
    stock: Callable[..., dict[str, str]], now: float, sys_attrs_input: dict[str, Any]
) -> dict[str, str]:
    header = headers.of_request.get()
    own = {"AWSTraceHeader": header} if headers.parsed(header) else {}
    return own | stock(now, sys_attrs_input)
