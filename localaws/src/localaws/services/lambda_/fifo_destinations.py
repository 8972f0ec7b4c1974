"""Lambda refuses FIFO queues and topics as destinations and as dead-letter queues.

Faithful to: CreateFunction, UpdateFunctionConfiguration, PutFunctionEventInvokeConfig and
UpdateFunctionEventInvokeConfig refuse them with InvalidParameterValueException, and so does CloudFormation.
Not to: the words of the message. No AWS page says what an event source mapping does with a FIFO destination
(API_OnFailure names only "Amazon SQS queue"); it is refused here as well, as for asynchronous invocations.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
https://docs.aws.amazon.com/lambda/latest/api/API_OnFailure.html
https://github.com/aws/aws-cdk/issues/13793
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import lambda_svc

from localaws.patching import Created, Handler, Properties, around, resource


def refusal(settings: Any) -> str | None:
    """Why Lambda refuses a destination in these settings; None if it does not."""
    if not hasattr(settings, "get"):
        return None
    destinations = settings.get("DestinationConfig") or {}
    targets = [(destinations.get(kind) or {}).get("Destination") for kind in ("OnSuccess", "OnFailure")]
    targets.append((settings.get("DeadLetterConfig") or {}).get("TargetArn"))
    fifo = next((one for one in targets if isinstance(one, str) and one.endswith(".fifo")), None)
    if not fifo:
        return None
    return f"The destination {fifo} is invalid: FIFO queues and FIFO topics are not supported"


def _refused(settings: Any) -> Any:
    reason = refusal(settings)
    return error_response_json("InvalidParameterValueException", reason, 400) if reason else None


@around(lambda_svc, "_create_function", after=["iam.functions"])
def _create_function(stock: Callable[[Properties], Any], data: Properties) -> Any:
    return _refused(data) or stock(data)


@around(lambda_svc, "_update_config", after=["iam.functions"])
def _update_config(stock: Callable[[str, Properties], Any], name: str, data: Properties) -> Any:
    return _refused(data) or stock(name, data)


@around(lambda_svc, "_put_event_invoke_config")
def _put_event_invoke_config(
    stock: Callable[..., Any], func_name: str, qualifier: str | None, data: Properties
) -> Any:
    return _refused(data) or stock(func_name, qualifier, data)


@around(lambda_svc, "_create_esm", after=["iam.functions", "lambda_.event_source_mappings"])
def _create_esm(stock: Callable[[Properties], Any], data: Properties) -> Any:
    return _refused(data) or stock(data)


@around(lambda_svc, "_update_esm", after=["lambda_.event_source_mappings"])
def _update_esm(stock: Callable[[str, Properties], Any], esm_id: str, data: Properties) -> Any:
    return _refused(data) or stock(esm_id, data)


def _require(properties: Properties) -> None:
    if reason := refusal(properties):
        raise ValueError(f"{reason} (Service: Lambda, Status Code: 400)")


_CONFIG = resource("AWS::Lambda::EventInvokeConfig")
_MAPPING = resource(
    "AWS::Lambda::EventSourceMapping", after=["iam.functions", "lambda_.event_source_mappings"]
)
_FUNCTION = resource(
    "AWS::Lambda::Function", after=["iam.deployments", "iam.functions", "lambda_.properties"]
)


@_CONFIG.create
@_MAPPING.create
@_FUNCTION.create
def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    _require(properties)
    return stock(logical_id, properties, stack)


@_CONFIG.update
@_MAPPING.update
@_FUNCTION.update
def _update(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    _require(new)
    return stock(physical_id, old, new, stack, logical_id)
