"""The segments that Lambda itself sends for a function with active tracing, and the header that it gets.

Faithful to: two segments for each sampled invocation, `AWS::Lambda` (the service) and
`AWS::Lambda::Function`, with the subsegments Initialization (of a new environment), Invocation and Overhead;
errors of the function; the sampling decision that came with the request, from API Gateway or a caller of
Invoke; for messages of SQS, a trace of its own, sampled if one of the messages is, with links to up to 20
traces of senders. Without the permission `xray:PutTraceSegments` of the function's role nothing is stored.
With `PassThrough` the header is passed on, and no segment is sent.
Not to: the rate at which Lambda samples what came without a decision (1 request a second and 5 % of the
rest): here it is all; segments of throttled requests, and Restore of SnapStart; Initialization of functions
with extensions or another runtime than Python, and one that fails; headers that S3, SNS and EventBridge pass
on to functions.

https://docs.aws.amazon.com/lambda/latest/dg/services-xray.html
https://docs.aws.amazon.com/xray/latest/devguide/xray-tracelinking.html
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from ministack.services import lambda_svc

from localaws.patching import around
from localaws.services.xray import daemon
from localaws.services.xray.headers import Context, new_id, new_trace, parsed

_MOST_LINKS = 20
_OF_SENDER = {"aws.xray.reserved.reference_type": "parent"}


@dataclass
class Traced:
    """The place of an invocation in its trace.

    Attributes:
        context: What is in the header that the function gets.
        parent: The segment that called Lambda.
        service: The id of Lambda's own segment.
        records: Whether segments are sent.
        initialized: Seconds of the initialization, if this invocation is the first one after it.
        waited: How many of them the invocation waited.
    """

    context: Context
    parent: str
    service: str = field(default_factory=new_id)
    records: bool = False
    initialized: float = 0.0
    waited: float = 0.0


#: The place of the invocation that runs.
current: ContextVar[Traced | None] = ContextVar("localaws_traced", default=None)
#: Where the next invocation comes from, if its service passes the trace on.
caller: ContextVar[Context | None] = ContextVar("localaws_trace_of_caller", default=None)
#: The contexts of the messages that the next invocation is about.
messages: ContextVar[tuple[Context, ...]] = ContextVar("localaws_traces_of_messages", default=())


def contexts_of(records: Iterable[Mapping[str, Any]]) -> tuple[Context, ...]:
    """The contexts of messages of SQS, in the form of the event."""
    given = (str(record["attributes"].get("AWSTraceHeader", "")) for record in records)
    return tuple(found for header in given if (found := parsed(header)))


@around(lambda_svc, "_invoke", after=["lambda_.start_refusals", "lambda_.invocation"])
async def _invoke(
    stock: Callable[..., Awaitable[Any]],
    name: str,
    event: object,
    headers: dict[str, str],
    path_qualifier: str | None = None,
    query_params: dict[str, Any] | None = None,
) -> Any:
    token = caller.set(parsed(headers.get("x-amzn-trace-id", "")))
    try:
        return await stock(name, event, headers, path_qualifier, query_params)
    finally:
        caller.reset(token)


@around(lambda_svc, "_execute_function_dispatch", after=["lambda_.payloads", "lambda_.response_streaming"])
def _dispatch(
    stock: Callable[..., dict[str, Any]],
    func: dict[str, Any],
    config: dict[str, Any],
    event: object,
    request_id: str,
    started: float,
) -> dict[str, Any]:
    given, sent = caller.get(), messages.get()
    caller.set(None)  # What this invocation causes in the server has another caller.
    messages.set(())
    traced = _place(config, given, sent)
    token, begin = current.set(traced), time.time()
    try:
        result = stock(func, config, event, request_id, started)
    finally:
        current.reset(token)
    if traced.records:
        documents = _documents(config, traced, sent, request_id, result, begin, time.time())
        daemon.put(config["FunctionArn"], config["Role"], documents)
    return result


def _place(config: Mapping[str, Any], given: Context | None, sent: tuple[Context, ...]) -> Traced:
    is_active = (config.get("TracingConfig") or {}).get("Mode") == "Active"
    if not is_active and given:
        return Traced(given, "")
    sampled = given.sampled if given else None
    if sampled is None:
        sampled = is_active and (not sent or any(one.sampled for one in sent))
    trace = given.trace if given else new_trace()
    return Traced(Context(trace, new_id(), sampled), given.parent if given else "", records=sampled)


def _documents(
    config: Mapping[str, Any],
    traced: Traced,
    sent: Iterable[Context],
    request_id: str,
    result: Mapping[str, Any],
    begin: float,
    end: float,
) -> list[dict[str, Any]]:
    trace, function = traced.context.trace, traced.context.parent
    both = {"name": config["FunctionName"], "trace_id": trace, "start_time": begin, "end_time": end}
    arn = ":".join(config["FunctionArn"].split(":")[:7])
    about = {"aws": {"request_id": request_id, "function_arn": arn}, "resource_arn": arn}
    failed = {"fault": True} if result.get("error") else {}
    service = {
        **both,
        "id": traced.service,
        **({"parent_id": traced.parent} if traced.parent else {}),
        "origin": "AWS::Lambda",
        **about,
        "http": {"response": {"status": 200}},
        **failed,
    }
    linked = {one.trace: one for one in sent if one.sampled and one.parent}
    if linked:
        service["links"] = [
            {"trace_id": one.trace, "id": one.parent, "attributes": _OF_SENDER}
            for one in list(linked.values())[:_MOST_LINKS]
        ]
    began = begin + traced.waited
    parts: list[tuple[str, float, float, dict[str, Any]]]
    parts = [("Initialization", began - traced.initialized, began, {})] if traced.initialized else []
    parts += [("Invocation", began, end, failed), ("Overhead", end, end, {})]
    subsegments = [
        {"id": new_id(), "name": name, "start_time": first, "end_time": last, **more}
        for name, first, last, more in parts
    ]
    own = {
        **both,
        "id": function,
        "parent_id": traced.service,
        "start_time": parts[0][1],
        "origin": "AWS::Lambda::Function",
        **about,
        **failed,
        **_cause(result),
        "subsegments": subsegments,
    }
    return [service, own]


def _cause(result: Mapping[str, Any]) -> dict[str, Any]:
    said = result.get("body")
    if not result.get("error") or not isinstance(said, dict):
        return {}
    exception = {"id": new_id(), "type": said.get("errorType"), "message": said.get("errorMessage")}
    return {"cause": {"exceptions": [exception]}}
