"""Tasks that invoke functions: the error of a throttled function.

Faithful to: a function without capacity fails its task with `Lambda.TooManyRequestsException`. What a
function raises, its timeout (`Sandbox.Timedout`) and its end (`Runtime.ExitError`) are named by their type,
with the error as JSON in the cause.
Not to: the errors of Lambda itself (`Lambda.ServiceException`, `Lambda.SdkClientException`), which never
happen.

https://docs.aws.amazon.com/step-functions/latest/dg/bp-lambda-serviceexception.html
https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from ministack.services import stepfunctions

from localaws.patching import around


@around(stepfunctions, "_call_lambda")
def _call_lambda(stock: Callable[[str, Any], Any], func_ref: str, event: Any) -> Any:
    try:
        return stock(func_ref, event)
    except stepfunctions._ExecutionError as error:
        if not _is_throttled(error.cause):
            raise
        cause = f"Rate Exceeded. (Service: Lambda, Status Code: 429, Request ID: {uuid4()})"
        raise stepfunctions._ExecutionError("Lambda.TooManyRequestsException", cause) from None


def _is_throttled(cause: Any) -> bool:
    try:
        return bool(json.loads(cause).get("__type") == "TooManyRequestsException")
    except (TypeError, ValueError, AttributeError):
        return False
