"""The segment of a REST API whose stage is traced.

Faithful to: a sampling rule decides, unless the request came with a decision; the segment has the name
`api/stage`, the request and the response, and a subsegment Lambda that the function's segments belong to;
errors (4xx), throttles (429) and faults (5xx). Without tracing, the header of the client is passed on.
Not to: HTTP APIs and WebSocket APIs, which X-Ray does not support; subsegments of authorizers and of other
integrations.

https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-xray.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-using-xray-maps.html
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from ministack.core.responses import request_scope

from localaws.services.apigateway.exchanges import Exchange
from localaws.services.apigateway.requests import Response
from localaws.services.xray import headers, sampling, segments
from localaws.services.xray.headers import Context, new_id
from localaws.services.xray.segments import Document

_TYPE = "AWS::ApiGateway::Stage"


def begin(exchange: Exchange) -> Document | None:
    """Place a request in its trace; returns the segment if it is sampled."""
    given = headers.parsed(exchange.client.header("x-amzn-trace-id") or "")
    context = given or Context(exchange.trace.removeprefix("Root="))
    if str(exchange.stage.get("tracingEnabled")).lower() != "true":
        exchange.context = given
        return None
    name = f"{exchange.api.get('name')}/{exchange.stage_name}"
    arn = f"arn:aws:apigateway:{exchange.region}::/restapis/{exchange.api_id}/stages/{exchange.stage_name}"
    if context.sampled is None:
        asked = sampling.Request(
            name, _TYPE, arn, exchange.domain, exchange.method, exchange.path, exchange.headers
        )
        with request_scope(exchange.account, exchange.region):
            context = replace(context, sampled=sampling.decide(asked))
    exchange.trace = f"Root={context.trace}"
    exchange.context = replace(context, parent=new_id())
    if not context.sampled:
        return None
    request = {
        "url": f"https://{exchange.domain}{exchange.full_path}",
        "method": exchange.method,
        "client_ip": exchange.client.source_ip,
        "user_agent": exchange.client.header("user-agent") or "",
        "x_forwarded_for": True,
    }
    about = {
        "account_id": exchange.account,
        "rest_api_id": exchange.api_id,
        "stage": exchange.stage_name,
        "request_id": exchange.request_id,
    }
    return {
        "id": new_id(),
        **({"parent_id": context.parent} if context.parent else {}),
        "trace_id": context.trace,
        "name": name,
        "start_time": time.time(),
        "origin": _TYPE,
        "resource_arn": arn,
        "http": {"request": request},
        "aws": {"api_gateway": about},
    }


def end(segment: Document | None, exchange: Exchange, response: Response) -> None:
    """Complete and store the segment of a sampled request."""
    if segment is None:
        return
    segment["end_time"] = time.time()
    segment["http"]["response"] = {"status": response[0], "content_length": len(response[2])}
    segment |= _failure(response[0])
    call = exchange.integration
    if call.request_id and call.latency is not None and exchange.context:
        start = max(segment["start_time"], segment["end_time"] - call.latency / 1000)
        segment["subsegments"] = [
            {
                "id": exchange.context.parent,
                "name": "Lambda",
                "namespace": "aws",
                "start_time": start,
                "end_time": segment["end_time"],
                "http": {"response": {"status": call.service_status or 500}},
                "aws": {"operation": "Invoke", "region": exchange.region, "request_id": call.request_id},
                **_failure(call.service_status or 500),
            }
        ]
    with request_scope(exchange.account, exchange.region):
        segments.put(segment)


def _failure(status: int) -> dict[str, Any]:
    if status >= 500:
        return {"fault": True}
    return ({"throttle": True} if status == 429 else {}) | ({"error": True} if status >= 400 else {})
