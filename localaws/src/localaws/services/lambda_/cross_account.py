"""Functions of another account, invoked and managed by their ARN.

The emulator looks for every function in the caller's account. It finds none there, or one of the same name,
whose policy it then evaluates.

Faithful to:
- A request that names a function of another account is for that function. Its identity policies AND the
  function's resource-based policy must allow it, for the qualifier that was given; within an account, one of
  them is enough. The root user of another account needs the resource-based policy as well.
- The operations that AWS lists for this. All others do not find the function.
- Whether a function of another account exists is not revealed: without permission it is always 403.
- Logs of another account's function are not returned (`LogType=Tail` is 403), and functions in another Region
  are not reachable.
- Partial ARNs (`123456789012:function:name`).
Not to: accounts that do not exist; every account exists.

https://docs.aws.amazon.com/lambda/latest/dg/permissions-function-cross-account.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic-cross-account.html
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote, unquote

from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import error_response_json, get_account_id, get_region, request_scope
from ministack.core.router import extract_access_key_id
from ministack.services import lambda_svc

from localaws.patching import around, replaces
from localaws.services.iam.roles import iam_is_enforced
from localaws.services.lambda_.references import FunctionReference

Response = tuple[int, dict[str, Any], bytes]

_OPERATIONS = frozenset(
    """
    InvokeFunction GetFunction GetFunctionConfiguration UpdateFunctionCode DeleteFunction PublishVersion
    ListVersionsByFunction CreateAlias GetAlias ListAliases UpdateAlias DeleteAlias GetPolicy
    PutFunctionConcurrency DeleteFunctionConcurrency
    """.split()  # noqa: SIM905 - a table reads better than 15 lines
)


@replaces(lambda_svc, "function_policy_for_arn")
def _function_policy_for_arn(resource_arn: str) -> tuple[dict[str, Any], str] | None:
    """The resource-based policy of a function, and the account that owns it."""
    named = FunctionReference.parse(unquote(resource_arn))
    if named is None:
        return None
    account, region = named.account or get_account_id(), named.region or get_region()
    function = lambda_svc._functions.get_scoped(account, region, named.name)
    if function is not None:
        return function["policy"], account
    # A function that does not exist allows no other account anything.
    return None if account == get_account_id() else ({"Statement": []}, account)


@around(lambda_svc, "handle_request", after=["iam.functions", "lambda_.event_invoke_configs"])
async def _handle_request(
    stock: Callable[..., Awaitable[Response]],
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query_params: Any,
) -> Response:
    before, separator, rest = path.partition("/functions/")
    reference, slash, operation = rest.partition("/")
    named = FunctionReference.parse(unquote(reference))
    if not separator or named is None or not named.account:
        return await stock(method, path, headers, body, query_params)
    if named.region and named.region != get_region():
        message = f"Functions from '{named.region}' are not reachable in this region ('{get_region()}')"
        return _error("ResourceNotFoundException", message, 404)
    own_path = f"{before}{separator}{quote(named.qualified)}{slash}{operation}"
    if named.account == get_account_id():
        return await stock(method, own_path, headers, body, query_params)
    action = iam_actions._lambda_action(method, path) or ""
    if action not in _OPERATIONS:
        return await stock(method, path, headers, body, query_params)
    resource = iam_actions.extract_resource_arn(
        "lambda", method, path, headers, body, query_params, get_region(), get_account_id()
    )
    refused = _root_refused(f"lambda:{action}", resource, headers, query_params)
    if refused:
        return refused
    if action == "InvokeFunction" and headers.get("x-amz-log-type", "").lower() == "tail":
        return _error("AccessDeniedException", "Cross-account log access is not allowed", 403)
    with request_scope(named.account, get_region()):
        return await stock(method, own_path, headers, body, query_params)


def _root_refused(action: str, resource: str, headers: dict[str, str], query: Any) -> Response | None:
    """The response to a root user whom the resource-based policy does not allow the action.

    For all other callers the emulator has combined the policies before; its root users may do everything.
    """
    caller = iam_evaluator.resolve_principal(extract_access_key_id(headers, query) or "", get_account_id())
    if not iam_is_enforced() or isinstance(caller, iam_evaluator.AuthError) or caller.policies is not None:
        return None
    request = iam_evaluator.EvalContext(
        principal_arn=caller.arn,
        principal_type=caller.type,
        principal_account=caller.account,
        action=action,
        resource_arn=resource,
        region=get_region(),
        secure_transport=True,
        principal_keys=caller.keys,
    )
    policy, _owner = lambda_svc.function_policy_for_arn(resource)
    if iam_evaluator.evaluate_resource_policy(policy, request).decision == "Allow":
        return None
    return _error("AccessDeniedException", _denial(action, caller.arn, resource), 403)


# --- What a refusal says


@around(iam_evaluator, "combine_resource_policy")
def _combine_resource_policy(stock: Callable[..., Any], identity: Any, *args: Any, **named: Any) -> Any:
    """Note that the resource-based policy is what refuses, for the message."""
    result = stock(identity, *args, **named)
    if identity.decision == "Allow" and result.decision == "ImplicitDeny":
        result.resource_policy_arn = args[0].resource_arn
    return result


@around(iam_actions, "access_denied_response")
def _access_denied_response(
    stock: Callable[..., Any],
    service: str,
    action: str,
    principal_arn: str,
    request_id: str,
    **named: Any,
) -> Any:
    explicit, resource = named.get("explicit_deny", False), named.get("resource_arn", "*")
    by_resource = named.get("resource_policy_arn", "")
    if service == "lambda" and not named.get("message") and not named.get("error_code"):
        if by_resource and not explicit:
            named["message"] = _denial(action, principal_arn, by_resource)
        elif resource != "*" and not by_resource:
            named["message"] = iam_actions.identity_denial_message(action, principal_arn, resource, explicit)
    return stock(service, action, principal_arn, request_id, **named)


def _denial(action: str, principal: str, resource: str) -> str:
    return (
        f"User: {principal} is not authorized to perform: {action} on resource: {resource} "
        f"because no resource-based policy allows the {action} action"
    )


def _error(code: str, message: str, status: int) -> Response:
    answer: Response = error_response_json(code, message, status)
    return answer
