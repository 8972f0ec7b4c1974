"""The tracing header `X-Amzn-Trace-Id`, which takes a trace and its sampling decision to the next service.

Faithful to: `Root`, `Parent` and `Sampled` in any order, and other fields, such as Lambda's `Lineage`, which
are ignored here; the header of a request is known while the request is served.
Not to: `Sampled=?`, with which a client asks for the decision.

https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from localaws.patching import around

TRACE_ID = re.compile(r"1-[0-9a-f]{8}-[0-9a-f]{24}")
SEGMENT_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Context:
    """A place in a trace.

    Attributes:
        trace: The id of the trace.
        parent: The id of the segment or subsegment that made the call, if it is known.
        sampled: The sampling decision; None if it is still to be made.
    """

    trace: str
    parent: str = ""
    sampled: bool | None = None

    def header(self) -> str:
        """The value of the header."""
        parts = [f"Root={self.trace}"]
        parts += [f"Parent={self.parent}"] if self.parent else []
        parts += [f"Sampled={int(self.sampled)}"] if self.sampled is not None else []
        return ";".join(parts)


def new_trace() -> str:
    """The id of a new trace: it says when the trace began."""
    return f"1-{int(time.time()):08x}-{secrets.token_hex(12)}"


def new_id() -> str:
    """The id of a new segment."""
    return secrets.token_hex(8)


def parsed(header: str) -> Context | None:
    """What a header says; None if there is no valid one."""
    fields = dict(part.strip().partition("=")[::2] for part in header.split(";"))
    trace, parent = fields.get("Root", ""), fields.get("Parent", "")
    if not TRACE_ID.fullmatch(trace):
        return None
    sampled = {"0": False, "1": True}.get(fields.get("Sampled", ""))
    return Context(trace, parent if SEGMENT_ID.fullmatch(parent) else "", sampled)


#: The header of the request that is being served.
of_request: ContextVar[str] = ContextVar("localaws_trace_header", default="")


@around("ministack.app", "_dispatch_service_request", after=["lambda_.invocation", "requests.faults"])
async def _dispatch_service_request(
    stock: Callable[..., Awaitable[Any]],
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query_params: dict[str, Any],
    request_id: str,
) -> Any:
    of_request.set(headers.get("x-amzn-trace-id", ""))
    return await stock(method, path, headers, body, query_params, request_id)
