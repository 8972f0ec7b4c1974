"""A custom resource fails as soon as its function fails.

Like CloudFormation, the emulator waits up to an hour for the response of a custom resource, and a
function that crashed never sends one.

Faithful to: the outcome. CloudFormation reports the resource as failed and rolls back.
Not to: the time. Lambda would retry twice, after one and two minutes, and CloudFormation would wait for
the rest of the resource's `ServiceTimeout` (one hour by default). A function that succeeds without
responding is waited for as in AWS: another function may respond later, and fail before that, as the
functions of the CDK's `Provider` with an `is_complete_handler` do.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-custom-resources.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.services import lambda_svc
from ministack.services.cloudformation import custom_resource

from localaws.patching import around


@around(lambda_svc, "_execute_function_with_config_scope")
def _execute(stock: Callable[..., Any], func: dict[str, Any], event: Any) -> Any:
    result = stock(func, event)
    if _is_provider(func, event) and isinstance(result, dict) and result.get("error"):
        # A response that was sent before the crash counts.
        token = event["ResponseURL"].rsplit("/", 1)[-1]
        if not _answered(token):
            custom_resource.deliver_response(token, _failure(func, result))
    return result


def _is_provider(record: dict[str, Any], event: Any) -> bool:
    """Whether CloudFormation has invoked this function, and not another one that passes the event on."""
    if not isinstance(event, dict) or "ResponseURL" not in event:
        return False
    token = str((event.get("ResourceProperties") or {}).get("ServiceToken", ""))
    name = (record.get("config") or record).get("FunctionName", "")
    return token.partition(":function:")[2].partition(":")[0] in ("", name)


def _answered(token: str) -> bool:
    entry = custom_resource._pending.get(token)
    return entry is None or entry["result"] is not None


def _failure(record: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    name = (record.get("config") or record).get("FunctionName", "the function")
    body = result.get("body")
    reason = body.get("errorMessage") if isinstance(body, dict) else body
    kind = body.get("errorType", "Error") if isinstance(body, dict) else "Error"
    return {
        "Status": "FAILED",
        "Reason": f"{name} failed and sent no response: {kind}: {reason}",
    }
