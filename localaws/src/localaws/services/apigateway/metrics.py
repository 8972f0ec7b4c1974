"""Metrics of APIs in the namespace AWS/ApiGateway.

Faithful to: Count, Latency, IntegrationLatency, errors (`4xx` and `5xx` of HTTP APIs, `4XXError` and
`5XXError` of REST APIs, 0 or 1 for each request, so that their average is a rate), DataProcessed of HTTP
APIs, and CacheHitCount and CacheMissCount of REST APIs with a cache; by API and stage, and by route or method
if the stage has detailed metrics.
Not to: requests for no stage of an API.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import cloudwatch

from localaws.services.apigateway.exchanges import Exchange
from localaws.services.apigateway.requests import Response
from localaws.services.apigateway.throttling import method_settings, route_settings
from localaws.usage import amounts


def count_http(exchange: Exchange, response: Response) -> None:
    """Count a request for an HTTP API."""
    amounts.add("", "API Gateway HTTP API requests")
    api = {"ApiId": exchange.api_id}
    sets = [api, api | {"Stage": exchange.stage_name}]
    if _yes(route_settings(exchange.stage, exchange.route).get("detailedMetricsEnabled")) and exchange.route:
        sets.append({**sets[1], "Route": exchange.route})
    length = len(exchange.body) + (len(response[2]) if isinstance(response[2], bytes) else 0)
    errors = {"4xx": response[0] // 100 == 4, "5xx": response[0] // 100 == 5}
    _put(exchange, sets, {**errors, "DataProcessed": length})


def count_rest(exchange: Exchange, response: Response) -> None:
    """Count a request for a REST API."""
    amounts.add("", "API Gateway REST API requests")
    name = "".join(one for one in exchange.api.get("name", "") if one.isascii()) or exchange.api_id
    api = {"ApiName": name}
    sets = [api, api | {"Stage": exchange.stage_name}]
    settings = method_settings(exchange.stage, exchange.route, exchange.method)
    if _yes(settings.get("metricsEnabled")) and exchange.route:
        sets.append({**sets[1], "Method": exchange.method, "Resource": exchange.route})
    counted: dict[str, float] = {"4XXError": response[0] // 100 == 4, "5XXError": response[0] // 100 == 5}
    if exchange.cached is not None:
        counted |= {"CacheHitCount": exchange.cached, "CacheMissCount": not exchange.cached}
    _put(exchange, sets, counted)


def _put(exchange: Exchange, sets: list[dict[str, str]], counted: Mapping[str, float]) -> None:
    latencies: dict[str, Any] = {"Latency": (time.monotonic() - exchange.client.started) * 1000}
    if exchange.integration.latency is not None:
        latencies["IntegrationLatency"] = exchange.integration.latency
    with request_scope(exchange.account, exchange.region):
        for dimensions in sets:
            for name, value in {"Count": 1, **counted}.items():
                unit = "Bytes" if name == "DataProcessed" else "Count"
                cloudwatch.record_metric("AWS/ApiGateway", name, float(value), unit, dimensions)
            for name, value in latencies.items():
                cloudwatch.record_metric("AWS/ApiGateway", name, value, "Milliseconds", dimensions)


def _yes(value: Any) -> bool:
    return str(value).lower() == "true"
