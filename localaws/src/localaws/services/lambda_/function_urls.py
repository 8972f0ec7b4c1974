"""Function URLs ask for both permissions, send the documented event, and hide why a function failed.

The emulator answers `/health` and some other paths of every URL itself, decodes paths, sends no cookies, asks
only for `lambda:InvokeFunctionUrl` and only signed requests, and answers with the error of the function and
its stack trace.

Faithful to:
- Both `lambda:InvokeFunctionUrl`, with `lambda:FunctionUrlAuthType`, and `lambda:InvokeFunction`, with
  `lambda:InvokedViaFunctionUrl`, must be allowed for the function or alias: to everybody for the type NONE,
  to the signer for AWS_IAM. Within an account, the identity policy or the resource-based policy is enough;
  across accounts both must allow it. `aws:SourceIp` is the address of the connection. Otherwise 403.
- The event in payload format 2.0, with `cookies`, path and query string as the client sent them, the signer
  in `requestContext.authorizer.iam`, and the request id of the invocation.
- A result without `statusCode` is the body, as JSON. 502 for an error, a timeout and a malformed response,
  429 for a throttled function, 413 for an event over 6 MB, each without the reason, which is in the log.
- A URL with CORS answers preflights itself, and its headers replace those of the function.
- UrlRequestCount, Url4xxCount, Url5xxCount and UrlRequestLatency, for the function, the URL and its version.
Not to: the limit of ten requests per second for each reserved execution; the text of the errors 413 and 429;
which malformed responses AWS repairs; whether the headers of the event have the cookies as well.

https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html
https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
https://docs.aws.amazon.com/lambda/latest/dg/urls-configuration.html
https://docs.aws.amazon.com/lambda/latest/dg/urls-monitoring.html
"""

from __future__ import annotations

import importlib
import json
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from typing import Any
from urllib.parse import parse_qs, urlencode

from ministack.core import iam_evaluator
from ministack.core.concurrency import run_reentrant
from ministack.core.responses import (
    get_account_id,
    request_scope,
    set_request_account_id,
    set_request_client_ip,
)
from ministack.core.router import extract_access_key_id
from ministack.core.sigv4 import decode_header_value
from ministack.services import lambda_svc

from localaws.patching import around
from localaws.server.gate import unproven
from localaws.server.signatures import Request, wrong_scope
from localaws.services.iam.denials import record
from localaws.services.iam.invocations import service_may
from localaws.services.iam.roles import iam_is_enforced
from localaws.services.lambda_ import invocation, metrics, payloads
from localaws.services.lambda_.function_url_events import (
    MalformedError,
    Response,
    UrlRequest,
    make_event,
    read_result,
    read_stream,
)

logger = logging.getLogger("localaws.lambda")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

_NAME = re.compile(r"[a-z0-9]{32}\.lambda-url\.[a-z0-9-]+\.on\.aws")
_FORBIDDEN = (
    "Forbidden. For troubleshooting Function URL authorization issues, see: "
    "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
)
# The service that has signed a request, and the ARN of its resource that it did that for.
signing_service: ContextVar[tuple[str, str] | None] = ContextVar("signing_service", default=None)


class _RefusedError(Exception):
    """The request gets the response of an error."""

    def __init__(self, response: Response) -> None:
        super().__init__(response)
        self.response = response


@around("ministack.app", "app", after=["elbv2.requests", "apigateway.requests"])
async def _app(stock: Application, scope: Message, receive: Receive, send: Send) -> None:
    host = dict(scope.get("headers", ())).get(b"host", b"").decode("latin-1").lower().partition(":")[0]
    if scope["type"] != "http" or _NAME.fullmatch(host) is None:
        await stock(scope, receive, send)
        return
    emulator: Any = importlib.import_module("ministack.app")
    async with emulator._get_reset_lock():  # no request is served during a reset
        pass
    client = (scope.get("client") or ("127.0.0.1",))[0]
    set_request_client_ip(client)
    lines = tuple(
        (name.decode("latin-1").lower(), decode_header_value(value)) for name, value in scope["headers"]
    )
    request = UrlRequest(
        host=host,
        method=scope["method"],
        path=scope["raw_path"].decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers=lines,
        body=await _read(receive),
        source_ip=client,
    )
    status, headers, body = await respond(request)
    if request.method == "HEAD":
        headers, body = {**headers, "Content-Length": str(len(body))}, b""
    await emulator._send_if_handled(emulator._with_date_header(send), (status, headers, body), receive)


async def _read(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


@around("ministack.app", "_handle_lambda_url_request")
async def _handle_lambda_url_request(
    stock: Callable[..., Awaitable[Any]],
    host: str,
    path: str,
    method: str,
    headers: dict[str, str],
    body: bytes,
    query_params: dict[str, list[str]],
    source_ip: str | None = None,
) -> Any:
    """Requests that come another way: from distributions, and to the path that the emulator adds."""
    emulator: Any = importlib.import_module("ministack.app")
    parsed = emulator._parse_lambda_url(host, path)
    if parsed is None:
        return None
    url_id, own_path = parsed
    found = lambda_svc.resolve_function_url(url_id)
    region = found[1] if found else "us-east-1"
    query = urlencode(query_params, doseq=True)
    name, lines = f"{url_id}.lambda-url.{region}.on.aws", tuple(headers.items())
    return await respond(UrlRequest(name, method, own_path, query, lines, body, source_ip or "127.0.0.1"))


async def respond(request: UrlRequest) -> Response:
    """Answer a request to a function URL."""
    started, invoked = time.monotonic(), invocation.Invocation()
    found = lambda_svc.resolve_function_url(request.host.partition(".")[0])
    if found is None or found[1] != request.host.split(".")[2]:  # the Region in the name must be its own
        return _error(403, "AccessDeniedException", _FORBIDDEN)
    account, region, name, qualifier, config = found
    arn = f"arn:aws:lambda:{region}:{account}:function:{name}" + (f":{qualifier}" if qualifier else "")
    try:
        response = await _answer(request, account, region, arn, config, invoked)
    except _RefusedError as refused:
        response = refused.response
    except MalformedError as error:
        logger.warning("502 from %s: %s", request.host, error)
        response = _failed()
    status, headers, body = response
    own = {"x-amzn-RequestId": invoked.request_id}
    if invoked.executed_version:
        own["X-Amzn-Trace-Id"] = f"{request.trace};Parent={secrets.token_hex(8)};Sampled=0"
    cors = lambda_svc._function_url_cors_headers(config, request.by_name)
    lambda_svc._apply_headers_case_insensitively(headers, {**cors, **own})
    with request_scope(account, region):
        resource = arn if qualifier else f"{arn}:$LATEST"
        metrics.count_url_request(resource, status, time.monotonic() - started, invoked.executed_version)
    return status, headers, body


async def _answer(
    request: UrlRequest,
    account: str,
    region: str,
    arn: str,
    config: dict[str, Any],
    invoked: invocation.Invocation,
) -> Response:
    if request.method == "OPTIONS" and config.get("Cors"):
        return 200, {}, b""
    caller = _authorize(request, account, region, arn, config["AuthType"])
    owner = "anonymous" if caller is None else account
    event = make_event(request, owner, invoked.request_id, caller)
    if len(json.dumps(event, ensure_ascii=False).encode()) > payloads.SYNCHRONOUS:
        limit = f"Request must be smaller than {payloads.SYNCHRONOUS} bytes for the InvokeFunction operation"
        return _error(413, "RequestEntityTooLargeException", limit)
    streams = config["InvokeMode"] == "RESPONSE_STREAM"
    result = await run_reentrant(
        _invoke, account, region, arn, event, invoked, streams, thread_name="localaws-function-url"
    )
    if result.get("throttle"):
        return _error(429, "TooManyRequestsException", "Rate Exceeded.")
    if result.get("error"):
        logger.warning("502 from %s: %s", request.host, result.get("body"))
        return _failed()
    return read_stream(result.get("body")) if streams else read_result(result.get("body"))


def _invoke(
    account: str,
    region: str,
    arn: str,
    event: dict[str, Any],
    invoked: invocation.Invocation,
    streams: bool,
) -> dict[str, Any]:
    with request_scope(account, region):
        record, config, _name = lambda_svc._get_func_record_for_ref(arn)
        if record is None or config is None:
            raise MalformedError(f"there is no {arn}")
        invocation.current.set(invoked)
        payloads.streaming.set(streams)
        runnable = lambda_svc._execution_record_for_config(record, config)
        result: dict[str, Any] = lambda_svc._execute_function_with_config_scope(runnable, event)
        return result


# --- Who may call


def _authorize(
    request: UrlRequest, account: str, region: str, arn: str, auth_type: str
) -> dict[str, Any] | None:
    """The signer of a request, as the event names it; None if the URL asks for no signature.

    Raises:
        _RefusedError: The request is not allowed.
    """
    signer = key = None
    service = signing_service.get()
    if auth_type == "AWS_IAM" and service is None:
        key = extract_access_key_id(request.by_name, parse_qs(request.query))
        if not key:
            raise _RefusedError(_error(403, "AccessDeniedException", _FORBIDDEN))
        signer = _signer(request, key, region)
    if iam_is_enforced():
        iam_evaluator.pin_request_origin(request.source_ip, True)
        needed = {
            "lambda:InvokeFunctionUrl": {"lambda:functionurlauthtype": auth_type},
            "lambda:InvokeFunction": {"lambda:invokedviafunctionurl": "true"},
        }
        with request_scope(account, region):
            found = lambda_svc.function_policy_for_arn(arn)
            policy = found[0] if found else None
            for action, context in needed.items():
                if not _allows(policy, account, service or signer, action, arn, region, context):
                    logger.warning("403 from %s: no %s on %s", request.host, action, arn)
                    raise _RefusedError(_error(403, "AccessDeniedException", _FORBIDDEN))
    return None if signer is None else _identity(str(key), signer)


def _signer(request: UrlRequest, key: str, region: str) -> Any:
    """The principal whose signature a request has."""
    emulator: Any = importlib.import_module("ministack.app")
    headers, request_id = request.by_name, lambda_svc.new_uuid()

    def refuse(error: Any) -> _RefusedError:
        return _RefusedError(
            emulator._credential_failure("lambda", "lambda:InvokeFunctionUrl", request_id, error, headers)
        )

    sent = Request(request.method, request.path, request.query, headers)
    wrong = wrong_scope(sent, "lambda", region) or unproven.get()
    if wrong:
        raise refuse(iam_evaluator.AuthError(wrong.code, wrong.message))
    set_request_account_id(emulator._request_account_scope(key))
    signer = iam_evaluator.resolve_principal(key, get_account_id())
    if isinstance(signer, iam_evaluator.AuthError):
        raise refuse(signer)
    return signer


def _allows(
    policy: Any, owner: str, signer: Any, action: str, arn: str, region: str, context: dict[str, str]
) -> bool:
    if isinstance(signer, tuple):
        service, source_arn = signer
        account = source_arn.split(":")[4]
        return service_may(policy, action, arn, service, source_arn, account, context)
    request = iam_evaluator.EvalContext(
        principal_arn=signer.arn if signer else "*",
        principal_type=signer.type if signer else "Anonymous",
        principal_account=signer.account if signer else "",
        action=action,
        resource_arn=arn,
        region=region,
        service_context=context,
        principal_keys=signer.keys if signer else {},
    )
    if signer is None or signer.policies is None:  # everybody, or a root user
        decision = iam_evaluator.evaluate_resource_policy(policy, request).decision
        mine = signer is not None and signer.account == owner
        return bool(decision == "Allow" or (mine and decision != "Deny"))
    own = iam_evaluator.evaluate(request, signer.policies, *signer.limits)
    both = iam_evaluator.combine_resource_policy(own, request, policy, owner, limits=signer.limits)
    if both.decision != "Allow":
        record(request, policy=(policy, owner))
    return bool(both.decision == "Allow")


def _identity(key: str, signer: Any) -> dict[str, Any]:
    with request_scope(signer.account, "us-east-1"):
        known = iam_evaluator.resolve_caller_identity(key) or {}
    return {
        "accessKey": key,
        "accountId": signer.account,
        "callerId": known.get("userId", ""),
        "cognitoIdentity": None,
        "principalOrgId": known.get("principalOrgId"),
        "userArn": signer.arn,
        "userId": known.get("userId", ""),
    }


# --- Errors


def _error(status: int, code: str, message: str) -> Response:
    headers = {"Content-Type": "application/json", "x-amzn-ErrorType": code}
    return status, headers, json.dumps({"Message": message}, separators=(",", ":")).encode()


def _failed() -> Response:
    return 502, {"Content-Type": "application/json"}, b"Internal Server Error"
