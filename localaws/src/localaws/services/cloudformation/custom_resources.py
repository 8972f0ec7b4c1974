"""Custom resources: what CloudFormation takes as a response, how long it waits, and what it deletes.

    Create, Update or Delete -> function -> response (checked) -> next resource, or rollback

The emulator takes any response, waits for the whole time limit after the function has ended, and forgets a
resource whose creation failed.

Faithful to: a response is at most 4,096 bytes, sent without a content type, and a copy of StackId, RequestId
and LogicalResourceId. It needs a Status, a PhysicalResourceId of 1 to 1,024 bytes, and a Reason if it is
FAILED; Data is an object. Any other response fails the resource. The first response counts. Without one the
resource fails after `ServiceTimeout` (1 to 3,600 seconds, default 3,600). A resource whose creation failed is
deleted all the same, by the rollback or with the stack: with the physical id that it responded with, or, if
it has none, with one that CloudFormation makes up. When a stack's resource cannot be deleted, what it depends
on stays, so that the next deletion can try again. The service token of a resource cannot be changed.
Not to: what happens when a function fails. Lambda would retry twice, after one and two minutes, and
CloudFormation would wait for the rest of `ServiceTimeout`; here the resource fails immediately. Once the
function has ended without a response, the rest of `ServiceTimeout` passes at the pace: another function may
respond later, as those of the CDK's `Provider` with an `is_complete_handler` do. The words of errors, except
those about the size, the physical id, the token, a FAILED response and a missing one; nested stacks, whose
failed resources are not deleted; a failed update that responds with another physical id, and its update back;
a rollback that fails, which deletes what the resource depends on all the same; the events of a resource that
an update adds, which are `UPDATE_IN_PROGRESS` and `UPDATE_FAILED` here, and `CREATE_...` on AWS.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-requesttypes-delete.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudformation-customresource.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cfn-lambda-function-code-cfnresponsemodule.html
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

from ministack.core.responses import now_iso
from ministack.services import lambda_svc
from ministack.services.cloudformation import custom_resource, handlers, stacks

from localaws import strict_json
from localaws.identifiers import BASE32, identifier
from localaws.pace import shortened
from localaws.patching import around, on_reset

_PATH = "/_ministack/cfn-response/"
_MOST_BYTES, _LONGEST_ID = 4096, 1024
_LONGEST_TIMEOUT = 3600  # seconds
_COPIED = ("StackId", "RequestId", "LogicalResourceId")

_requests: dict[str, dict[str, Any]] = {}  # by the token in the response URL
_physical_ids: dict[str, str] = {}  # what a request was answered with, by the same token
_failed: dict[
    tuple[str, str], dict[str, Any]
] = {}  # resources whose creation failed, by stack and logical id
_refused: set[tuple[str, str]] = set()  # updates that were never sent, by stack and logical id
# The token of the request of this resource, once its function is invoked.
_sent: contextvars.ContextVar[list[str]] = contextvars.ContextVar("_sent")
# The name of the stack that is deleted, and what another of its resources, which could not be, depends on.
_deletion: contextvars.ContextVar[tuple[str, dict[str, Any]]] = contextvars.ContextVar("_deletion")


# -- the request


@around(custom_resource, "invoke_custom_resource")
def _invoke(stock: Callable[..., Any], *args: Any, **more: Any) -> Any:
    kind, logical_id, properties, stack_name, stack_id, type_ = args
    key = (stack_id, logical_id)
    old = more.get("old_props")
    if old and old.get("ServiceToken") != properties.get("ServiceToken"):
        if key in _refused:  # the rollback: there is nothing to send back
            _refused.discard(key)
            return more["physical_id"], {}
        _refused.add(key)
        raise ValueError("Modifying service token is not allowed.")
    _timeout(properties)
    sent: list[str] = []
    before = _sent.set(sent)
    try:
        return stock(*args, **more)
    except Exception:
        if kind == "Create" and sent:
            answered = [_physical_ids[one] for one in sent if one in _physical_ids]
            _failed[key] = {
                "PhysicalResourceId": (answered or [f"{stack_name}-{logical_id}-{identifier(BASE32, 12)}"])[
                    0
                ],
                "ResourceType": type_,
                "ResourceStatus": "CREATE_FAILED",
                "LogicalResourceId": logical_id,
                "Properties": properties,
                "Attributes": {},
                "Timestamp": now_iso(),
            }
        raise
    finally:
        for one in sent:
            _requests.pop(one, None)
            _physical_ids.pop(one, None)
        _sent.reset(before)


def _timeout(properties: dict[str, Any]) -> int:
    """The seconds that CloudFormation waits."""
    given = str(properties.get("ServiceTimeout", _LONGEST_TIMEOUT))
    if not given.isdecimal() or not 1 <= int(given) <= _LONGEST_TIMEOUT:
        raise ValueError(f"ServiceTimeout is {given}; it must be an integer from 1 to {_LONGEST_TIMEOUT}")
    return int(given)


@around(lambda_svc, "_execute_function_with_config_scope")
def _execute(stock: Callable[..., Any], func: dict[str, Any], event: Any) -> Any:
    token = _pending_token(func, event)
    if not token:
        return stock(func, event)
    _requests[token] = event
    _sent.get().append(token)
    limit, started = _timeout(event["ResourceProperties"]), time.monotonic()

    def execute() -> None:
        result = stock(func, event)
        if isinstance(result, dict) and result.get("error") and not _answered(token):
            _deliver(token, _failure(func, result))

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(execute,), name="custom-resource", daemon=True)
    thread.start()
    thread.join(limit)
    if not thread.is_alive() and not _answered(token):
        rest = limit - (time.monotonic() - started)
        custom_resource._pending[token]["event"].wait(shortened(max(rest, 0)))
    if not _answered(token):
        _deliver(
            token,
            "CloudFormation did not receive a response from your Custom Resource. Please check your logs for "
            f"requestId [{event['RequestId']}]. If you are using the Python cfn-response module, you may "
            "need to update your Lambda function code so that CloudFormation can attach the updated version.",
        )
    return {}


def _pending_token(record: dict[str, Any], event: Any) -> str:
    """The token, if CloudFormation invokes this function, and not another one that passes the event on."""
    if not isinstance(event, dict) or "ResponseURL" not in event:
        return ""
    properties = event.get("ResourceProperties")
    service = str(properties.get("ServiceToken", "")) if isinstance(properties, dict) else ""
    name = (record.get("config") or record).get("FunctionName", "")
    token = str(event["ResponseURL"]).rsplit("/", 1)[-1]
    is_provider = service.partition(":function:")[2].partition(":")[0] in ("", name)
    return token if is_provider and token in custom_resource._pending and token not in _requests else ""


def _answered(token: str) -> bool:
    entry = custom_resource._pending.get(token)
    return entry is None or entry["result"] is not None


def _failure(record: dict[str, Any], result: dict[str, Any]) -> str:
    name = (record.get("config") or record).get("FunctionName", "the function")
    body = result.get("body")
    reason = body.get("errorMessage") if isinstance(body, dict) else body
    kind = body.get("errorType", "Error") if isinstance(body, dict) else "Error"
    return f"{name} failed and sent no response: {kind}: {reason}"


# -- the response


@around("ministack.app", "_handle_post_body_shortcuts", after=["apigateway.requests"])
async def _respond(
    stock: Callable[..., Awaitable[Any]],
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    *more: Any,
    **named: Any,
) -> Any:
    token = path.removeprefix(_PATH)
    if method != "PUT" or token not in _requests:
        return await stock(method, path, headers, body, *more, **named)
    if headers.get("content-type"):
        # The URL is signed for a request without a content type.
        return 403, {"Content-Type": "application/xml"}, b"<Error><Code>SignatureDoesNotMatch</Code></Error>"
    if not _answered(token):
        response, problem = checked(body, _requests[token])
        if _is_id(response.get("PhysicalResourceId")):
            _physical_ids[token] = response["PhysicalResourceId"]
        if problem:
            _deliver(token, problem)
        else:
            custom_resource.deliver_response(token, response)
    return 200, {}, b""


def checked(body: bytes, request: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The response, as far as it can be read, and why the resource fails; an empty text if it does not.

    Args:
        body: What was sent.
        request: What it answers.
    """
    if len(body) > _MOST_BYTES:
        return {}, "Response object is too long."
    try:
        response = strict_json.read(body)
    except ValueError:
        response = None
    if not isinstance(response, dict):
        return {}, "The response is not a JSON object"
    if not _is_id(response.get("PhysicalResourceId")):
        return response, "Invalid PhysicalResourceId"
    for name in _COPIED:
        if response.get(name) != request[name]:
            return response, f"The {name} of the response is not that of the request"
    status, reason = response.get("Status"), response.get("Reason")
    if status not in ("SUCCESS", "FAILED"):
        return response, f"The Status of the response is {status!r}; it must be SUCCESS or FAILED"
    if status == "FAILED":
        if not isinstance(reason, str) or not reason:
            return response, "The response is FAILED, but has no Reason"
        about = f"Message returned: {reason} (RequestId: {request['RequestId']})"
        return response, f"Received response status [FAILED] from custom resource. {about}"
    if not isinstance(response.get("Data") or {}, dict):
        return response, "The Data of the response is not a JSON object"
    return response, ""


def _is_id(given: object) -> bool:
    return isinstance(given, str) and 0 < len(given.encode(errors="replace")) <= _LONGEST_ID


def _deliver(token: str, problem: str) -> None:
    """Let the resource fail."""
    custom_resource.deliver_response(token, {"Status": "FAILED", "Reason": problem})


# -- the rollback


@around(stacks, "_roll_back_operation")
@around(handlers, "_roll_back_operation")
async def _roll_back(
    stock: Callable[..., Awaitable[Any]],
    stack_name: str,
    stack_id: str,
    stack: dict[str, Any],
    operation: dict[str, Any],
    *more: Any,
    **named: Any,
) -> Any:
    failed = operation.get("failed_logical_id")
    if record := _failed.pop((stack_id, str(failed)), None):
        stack.setdefault("_resources", {})[failed] = record
        operation = {**operation, "created": [*operation.get("created", []), failed]}
    return await stock(stack_name, stack_id, stack, operation, *more, **named)


@around(stacks, "_delete_stack_async")
@around(handlers, "_delete_stack_async")
async def _delete_stack(
    stock: Callable[..., Awaitable[Any]], stack_name: str, stack_id: str, *more: Any, **named: Any
) -> Any:
    """Delete what a creation without a rollback has left, too, and keep what a failed deletion needs."""
    from ministack.services.cloudformation import _stacks

    for key in [key for key in _failed if key[0] == stack_id]:
        _stacks[stack_name].setdefault("_resources", {}).setdefault(key[1], _failed.pop(key))
    kept: dict[str, Any] = {}
    before = _deletion.set((stack_name, kept))
    try:
        return await stock(stack_name, stack_id, *more, **named)
    finally:
        _deletion.reset(before)
        if kept:
            _stacks[stack_name]["_resources"].update(kept)


@around(stacks, "_delete_resource")
def _delete_resource(
    stock: Callable[..., Any],
    resource_type: str,
    physical_id: str,
    props: Any,
    stack_name: str | None = None,
    logical_id: str | None = None,
) -> Any:
    from ministack.services.cloudformation import _stacks

    try:
        return stock(resource_type, physical_id, props, stack_name, logical_id)
    except Exception:
        deleted, kept = _deletion.get(("", {}))
        if deleted == stack_name:
            resources = _stacks[stack_name]["_resources"]
            declared = (_stacks[stack_name].get("_template") or {}).get("Resources") or {}
            needed = stacks._with_dependencies([logical_id], declared, set(resources)) - {logical_id}
            kept.update({one: resources.pop(one) for one in needed})
        raise


@on_reset
def _clear() -> None:
    """Forget requests and failures."""
    for kept in (_requests, _physical_ids, _failed, _refused):
        kept.clear()
