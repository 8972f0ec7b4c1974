"""Throttling of stages, routes, methods and usage plans, and quotas.

The emulator ignores the settings of HTTP APIs and those of single methods in templates, and lets a period of
a quota last as long as on AWS.

Faithful to: a token bucket for each route or method, with the settings of the stage and those of the route or
method before them; in a usage plan one for each key. Without a rate or burst it is that of the account,
10,000 and 5,000. 0 refuses everything. Quotas per day, week and month.
Not to: the limits of the account together. Rates are per second as on AWS; the periods of quotas are
shortened.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-throttling.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-request-throttling.html
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from ministack.services import apigateway_v1

from localaws import pace
from localaws.patching import changes, on_reset, replaces
from localaws.services.apigateway.exchanges import Exchange, Refusal

ACCOUNT_RATE, ACCOUNT_BURST = 10_000, 5_000

_buckets: dict[Any, tuple[float, float]] = {}  # tokens, and when they were counted
_lock = threading.Lock()


def check(exchange: Exchange) -> None:
    """Take a token for the route of an HTTP API.

    Raises:
        Refusal: There is none.
    """
    limits = route_settings(exchange.stage, exchange.route)
    rate, burst = limits.get("throttlingRateLimit"), limits.get("throttlingBurstLimit")
    slot = exchange.account, exchange.api_id, exchange.stage_name, exchange.route
    if not take(slot, {"rateLimit": rate, "burstLimit": burst}):
        raise Refusal(429, "Too Many Requests")


def route_settings(stage: Mapping[str, Any], route: str) -> dict[str, Any]:
    """The settings of a route: its own, and those of the stage."""
    return {
        **(stage.get("defaultRouteSettings") or {}),
        **((stage.get("routeSettings") or {}).get(route) or {}),
    }


def method_settings(stage: Mapping[str, Any], path: str, method: str) -> dict[str, Any]:
    """The settings of a method of a REST API: its own, or else those of the stage."""
    own = own_settings(stage, path, method)
    return dict((stage.get("methodSettings") or {}).get("*/*", {}) if own is None else own)


def own_settings(stage: Mapping[str, Any], path: str, method: str) -> dict[str, Any] | None:
    """The settings that override those of the stage for a method, if there are any."""
    settings = stage.get("methodSettings") or {}
    named = {key.replace("~1", "/").lstrip("/"): value for key, value in settings.items()}
    return named.get(f"{path.lstrip('/')}/{method}".lstrip("/"))


@replaces(apigateway_v1, "_method_throttle_settings")
def _method_throttle_settings(
    stage: dict[str, Any], resource_path: str, http_method: str
) -> dict[str, Any] | None:
    found = method_settings(stage, resource_path, http_method)
    return found if {"throttlingRateLimit", "throttlingBurstLimit"} & found.keys() else None


@replaces(apigateway_v1, "_take_token")
def take(slot: Any, limits: dict[str, Any]) -> bool:
    """Take a token from a bucket; whether there was one."""
    given, most = limits.get("rateLimit"), limits.get("burstLimit")
    if given is None and most is None:
        return True
    rate = float(ACCOUNT_RATE if given is None else given)
    burst = float(ACCOUNT_BURST if most is None else most)
    now = time.monotonic()
    with _lock:
        tokens, counted = _buckets.get(slot, (burst, now))
        tokens = min(burst, tokens + (now - counted) * rate)
        _buckets[slot] = (max(tokens - 1, 0) if tokens >= 1 else tokens), now
        return rate > 0 and tokens >= 1


@changes(apigateway_v1, "_QUOTA_PERIOD_SECONDS")
def _quota_periods(stock: dict[str, int]) -> dict[str, float]:
    return {name: pace.shortened(seconds) for name, seconds in stock.items()}


@on_reset
def _forget() -> None:
    with _lock:
        _buckets.clear()
