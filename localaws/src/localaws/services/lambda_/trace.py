"""The trace header of each invocation, and the detection of recursive loops with it.

The emulator counts the hops of a loop in a header of its own, for which it imports botocore in every worker.
Lambda needs no help: SDKs propagate `_X_AMZN_TRACE_ID`, and Lambda counts hops in its `Lineage`.

Faithful to: the value of the header with and without active tracing (see `lambda_.segments`), in every
runtime; a loop of functions that invoke each other directly is stopped after 16 hops, unless `RecursiveLoop`
is `Allow`.
Not to: loops through SQS, SNS and S3, which Lambda also stops.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
"""

from __future__ import annotations

import re
import secrets
import time
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from ministack.services import lambda_svc

from localaws.patching import around
from localaws.services.lambda_ import segments


def header(config: dict[str, Any]) -> str:
    """The trace header for the next invocation of a function."""
    return str(lambda_svc._xray_trace_id_for_invocation(config))


@around(lambda_svc, "_xray_trace_id_for_invocation")
def _xray_trace_id_for_invocation(
    stock: Callable[..., str | None], config: dict[str, Any], inbound_trace_header: str | None = None
) -> str:
    placed = segments.current.get()
    trace = placed.context.header() if placed else stock(config, inbound_trace_header) or _unsampled()
    name = zlib.crc32(config["FunctionName"].encode())
    return f"{trace};Lineage=1:{name:08x}:{lambda_svc._invoke_depth.get()}"


def _unsampled() -> str:
    return f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)};Parent={secrets.token_hex(8)};Sampled=0"


@around(lambda_svc, "_inbound_invoke_depth")
def _inbound_invoke_depth(stock: Callable[[Mapping[str, str]], int], headers: Mapping[str, str]) -> int:
    """The number of functions that the request has passed through."""
    lineage = re.search(r"Lineage=1:[0-9a-f]+:(\d+)", headers.get("x-amzn-trace-id", ""))
    hops = stock(headers)
    return max(hops, int(lineage[1])) if lineage else hops
