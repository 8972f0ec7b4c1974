"""The trace that each invocation carries, and the recursive loops that it gives away.

The emulator counts the hops of a loop with a header of its own, for which it imports botocore into every
worker. Lambda's own way needs no help: SDKs send `_X_AMZN_TRACE_ID` on, and Lambda counts in its `Lineage`.

Faithful to: the variable's form with and without active tracing; a loop of functions that invoke each other
directly is stopped after 16 hops, unless `RecursiveLoop` is `Allow`.
Not to: loops through SQS, SNS and S3, which Lambda stops too; traces (nothing collects them).

https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
"""

from __future__ import annotations

import re
import secrets
import time
import zlib
from collections.abc import Mapping
from typing import Any

from ministack.services import lambda_svc

_stock_depth = lambda_svc._inbound_invoke_depth


def install() -> None:
    """Count hops in the lineage of the trace header."""
    lambda_svc._inbound_invoke_depth = _depth


def header(config: dict[str, Any]) -> str:
    """The trace header of an invocation of the function that is about to start."""
    trace = lambda_svc._xray_trace_id_for_invocation(config) or _unsampled()
    name = zlib.crc32(config["FunctionName"].encode())
    return f"{trace};Lineage=1:{name:08x}:{lambda_svc._invoke_depth.get()}"


def _unsampled() -> str:
    return f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)};Parent={secrets.token_hex(8)};Sampled=0"


def _depth(headers: Mapping[str, str]) -> int:
    """The hops that the request has made through functions."""
    lineage = re.search(r"Lineage=1:[0-9a-f]+:(\d+)", headers.get("x-amzn-trace-id", ""))
    hops: int = _stock_depth(headers)
    return max(hops, int(lineage[1])) if lineage else hops
