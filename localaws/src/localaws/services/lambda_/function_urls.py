"""Function URLs without authentication need the permission of everybody, and hide why a function failed.

The emulator serves every URL with the type NONE, and answers with the error of the function and its stack
trace.

Faithful to: a URL with the type NONE needs both statements of a resource policy for everybody that AWS
asks for since October 2025, `lambda:InvokeFunctionUrl` and `lambda:InvokeFunction`; otherwise it is
forbidden. A function that fails is status 502, and a throttled one 429.
Not to: `lambda:InvokeFunction` of callers with a signature, who need only `lambda:InvokeFunctionUrl`.

https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import request_scope
from ministack.services import lambda_svc

from localaws.patching import around
from localaws.services.iam.roles import iam_is_enforced

Response = tuple[int, dict[str, Any], bytes]
_JSON = {"Content-Type": "application/json"}
_FORBIDDEN = (
    b'{"Message":"Forbidden. For troubleshooting Function URL authorization issues, see: '
    b'https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"}'
)
_NEEDED = {
    "lambda:InvokeFunctionUrl": {"lambda:functionurlauthtype": "NONE"},
    "lambda:InvokeFunction": {"lambda:invokedviafunctionurl": "true"},
}
_of_url: ContextVar[bool] = ContextVar("localaws_function_url", default=False)


@around(lambda_svc, "handle_function_url_request")
async def _handle_function_url_request(
    stock: Callable[..., Awaitable[Response]],
    url_id: str,
    method: str,
    path: str,
    headers: Any,
    body: Any,
    query_params: Any,
    resolved: Any = None,
    source_ip: str | None = None,
) -> Response:
    resolved = resolved or lambda_svc.resolve_function_url(url_id)
    if resolved and resolved[4].get("AuthType") == "NONE" and not _is_open(*resolved[:4]):
        return (
            403,
            {"Content-Type": "application/json", "x-amzn-ErrorType": "AccessDeniedException"},
            _FORBIDDEN,
        )
    token = _of_url.set(True)
    try:
        return await stock(
            url_id, method, path, headers, body, query_params, resolved=resolved, source_ip=source_ip
        )
    finally:
        _of_url.reset(token)


def _is_open(account: str, region: str, name: str, qualifier: str | None) -> bool:
    """Whether the function's resource policy lets everybody use its URL."""
    if not iam_is_enforced():
        return True
    arn = f"arn:aws:lambda:{region}:{account}:function:{name}" + (f":{qualifier}" if qualifier else "")
    with request_scope(account, region):
        found = lambda_svc.function_policy_for_arn(arn)
    policy = found[0] if found else None
    return all(
        iam_evaluator.evaluate_resource_policy(policy, _request(arn, region, action, context)).decision
        == "Allow"
        for action, context in _NEEDED.items()
    )


def _request(arn: str, region: str, action: str, context: dict[str, str]) -> iam_evaluator.EvalContext:
    return iam_evaluator.EvalContext(
        principal_arn="*",
        principal_type="Anonymous",
        principal_account="",
        action=action,
        resource_arn=arn,
        region=region,
        secure_transport=True,
        service_context=context,
    )


@around(lambda_svc, "lambda_execute_result_to_api_proxy_response")
def _response_of_url(
    stock: Callable[[dict[str, Any]], Any], exec_result: dict[str, Any]
) -> tuple[dict[str, Any] | None, str | None]:
    if _of_url.get() and exec_result.get("error") and not exec_result.get("throttle"):
        return {"statusCode": 502, "headers": dict(_JSON), "body": "Internal Server Error"}, None
    answer: tuple[dict[str, Any] | None, str | None] = stock(exec_result)
    return answer
