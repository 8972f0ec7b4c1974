"""Custom resources: a function that fails fails the deployment at once.

The emulator, like CloudFormation, waits up to an hour for the answer of a custom resource, and a function
that crashed never sends one.

Faithful to: the outcome. CloudFormation reports the resource as failed and rolls back.
Not to: the time. Lambda would invoke the function twice more, after one and two minutes, and
CloudFormation would wait for the rest of the resource's `ServiceTimeout` (one hour unless the template says
less). A function that ends well without answering is waited for as in AWS: its answer may come later, from
another function.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-custom-resources.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.services import lambda_svc
from ministack.services.cloudformation import custom_resource


def install() -> None:
    """Watch the invocations that CloudFormation makes."""
    lambda_svc._execute_function_with_config_scope = _reporting_failure(
        lambda_svc._execute_function_with_config_scope
    )


def _reporting_failure(execute: Callable[..., Any]) -> Callable[..., Any]:
    def execute_and_report(record: dict[str, Any], event: Any) -> Any:
        result = execute(record, event)
        if (
            isinstance(event, dict)
            and "ResponseURL" in event
            and isinstance(result, dict)
            and result.get("error")
        ):
            # An answer that was sent before the crash counts: a token that is known no more refuses another.
            token = event["ResponseURL"].rsplit("/", 1)[-1]
            if not _answered(token):
                custom_resource.deliver_response(token, _failure(record, result))
        return result

    return execute_and_report


def _answered(token: str) -> bool:
    entry = custom_resource._pending.get(token)
    return entry is None or entry["result"] is not None


def _failure(record: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
    name = (record.get("config") or record).get("FunctionName", "the function")
    body = result.get("body")
    reason = body.get("errorMessage") if isinstance(body, dict) else body
    kind = body.get("errorType", "Error") if isinstance(body, dict) else "Error"
    return {"Status": "FAILED", "Reason": f"{name} failed without answering CloudFormation: {kind}: {reason}"}
