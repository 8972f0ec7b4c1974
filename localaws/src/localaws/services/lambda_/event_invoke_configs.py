"""UpdateFunctionEventInvokeConfig, which the emulator lacks.

Faithful to: only the given settings change; without a configuration there is nothing to update, and the call
fails with ResourceNotFoundException.
Not to: nothing else is known to differ.

https://docs.aws.amazon.com/lambda/latest/api/API_UpdateFunctionEventInvokeConfig.html
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from ministack.services import lambda_svc

from localaws.patching import around

_SETTINGS = ("MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig")


@around(lambda_svc, "handle_request", after=["iam.functions"])
async def _handle_request(
    stock: Callable[..., Awaitable[Any]],
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query_params: dict[str, Any],
) -> Any:
    if method != "POST" or not path.rstrip("/").endswith("/event-invoke-config"):
        return await stock(method, path, headers, body, query_params)
    found = await stock("GET", path, headers, b"", query_params)
    if found[0] >= 300:
        return found
    current = json.loads(found[2])
    settings = {name: current[name] for name in _SETTINGS} | json.loads(body or b"{}")
    return await stock("PUT", path, headers, json.dumps(settings).encode(), query_params)
