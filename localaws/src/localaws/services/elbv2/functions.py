"""Functions behind load balancers: the documented event, and only valid responses.

The emulator sends both `headers` and `multiValueHeaders`, decodes query strings, joins repeated headers,
checks no permission, returns 200 for an invalid response, and shows the function's error to the client.

Faithful to:
- Headers and query parameters are either single-value or multi-value, by the attribute of the target group; a
  single-value field has the last value. Path and query string are not decoded. Bodies are base64-encoded
  unless their type is text, JSON, JavaScript or XML and they are not compressed.
- 413 for a request body over 1 MB. 502 for a response over 1 MB of JSON, for one without a required member or
  with the headers of the other mode, for an error, a timeout, a throttled function and a missing permission.
  503 without a target. 504 when the idle timeout of the load balancer expires, 60 seconds by default. 400 for
  an upgrade to another protocol.
- Error pages do not give the reason. It is in the log of the server, with the codes of access logs.
- Hop-by-hop headers and Content-Length of a response are dropped.
Not to: the reason phrase, which is always that of the status; more than four invocations at a time, or as
many as LOCALAWS_ALB_INVOCATIONS says: other requests wait. isBase64Encoded, statusCode and headers, which a
response "must include" according to AWS, are required here; AWS itself may accept responses without them.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-troubleshooting.html
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from ministack.core.concurrency import run_reentrant
from ministack.services import alb, lambda_svc

from localaws.patching import around
from localaws.services.elbv2 import requests
from localaws.services.elbv2.requests import ClientRequest, Response, error_page
from localaws.services.iam.invocations import service_may_invoke
from localaws.settings import numbers

logger = logging.getLogger("localaws.alb")

MAX_BODY_BYTES = 1024 * 1024
MAX_RESPONSE_BYTES = 1024 * 1024

_SERVICE = "elasticloadbalancing.amazonaws.com"
_TEXT = re.compile(r"text/.*|application/(json|javascript|xml)")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[^\r\n\0]*")
_NOT_PASSED_ON = frozenset(
    ("connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade")
)


# Each concurrent invocation starts an execution environment, a process that takes half a second of CPU time.
# Two hundred at once would be ready after a minute.
(_most,) = numbers("LOCALAWS_ALB_INVOCATIONS", "4", "a number from 1 on", low=1)
_at_once = asyncio.Semaphore(int(_most))


class RefusedError(Exception):
    """There is no valid response; the text is the error code of access logs, and the reason."""


def is_multi_value(target_group: str) -> bool:
    """Whether multi-value headers are enabled for the target group."""
    attributes = {one["Key"]: one["Value"] for one in alb._tg_attrs.get(target_group, [])}
    return str(attributes.get("lambda.multi_value_headers.enabled")).lower() == "true"


def may_invoke(function: str, target_group: str) -> bool:
    """Whether the function's policy allows load balancers of the target group's account to invoke it."""
    return service_may_invoke(function, _SERVICE, target_group, target_group.split(":")[4])


@around(alb, "_forward_to_tg")
async def _forward_to_tg(
    stock: Callable[..., Awaitable[Any]],
    tg_arn: str,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    *args: Any,
    **more: Any,
) -> Any:
    if alb._tgs.get(tg_arn, {}).get("TargetType") != "lambda":
        return await stock(tg_arn, method, path, headers, body, *args, **more)
    targets = alb._targets.get(tg_arn)
    if not targets:
        return error_page(503, "Service Temporarily Unavailable")
    if len(body) > MAX_BODY_BYTES:
        return error_page(413, "Request Entity Too Large")
    if "upgrade" in headers.get("connection", "").lower():
        return error_page(400, "Bad Request")
    request = requests.current.get() or ClientRequest(tuple(headers.items()), path, "")
    lines = tuple(_lines(request, headers))
    event = make_event(tg_arn, method, request.path, request.query, lines, body)
    try:
        async with _at_once:
            invocation = asyncio.ensure_future(
                run_reentrant(invoke, targets[0]["Id"], tg_arn, event, thread_name="localaws-alb-invoke")
            )
            invocation.add_done_callback(lambda done: done.cancelled() or done.exception())
            # Afterwards the invocation continues: Lambda does not learn that nothing waits for it.
            await asyncio.wait([invocation], timeout=request.idle_timeout)
        if not invocation.done():
            return error_page(504, "Gateway Time-out")
        return read_response(invocation.result(), multi_value=is_multi_value(tg_arn))
    except RefusedError as refused:
        logger.warning("502 from %s: %s", tg_arn, refused)
        return error_page(502, "Bad Gateway")


# --- To the function


def _lines(request: ClientRequest, headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The header lines of the client, with those that the load balancer adds or replaces."""
    own = {"x-amzn-trace-id", "x-forwarded-for", "x-forwarded-port", "x-forwarded-proto"}
    yield from ((name, value) for name, value in request.headers if name not in own)
    yield from ((name, headers[name]) for name in sorted(own) if name in headers)


def make_event(
    target_group: str,
    method: str,
    path: str,
    query: str,
    headers: tuple[tuple[str, str], ...],
    body: bytes,
) -> dict[str, Any]:
    """Return the event of a request."""
    parameters = [pair.partition("=")[::2] for pair in query.split("&") if pair]
    if is_multi_value(target_group):
        fields: dict[str, Any] = {
            "multiValueQueryStringParameters": _grouped(parameters),
            "multiValueHeaders": _grouped(headers),
        }
    else:
        fields = {"queryStringParameters": dict(parameters), "headers": dict(headers)}
    text = _text(body, dict(headers))
    return {
        "requestContext": {"elb": {"targetGroupArn": target_group}},
        "httpMethod": method.upper(),
        "path": path,
        **fields,
        "body": base64.b64encode(body).decode() if text is None else text,
        "isBase64Encoded": text is None,
    }


def _grouped(pairs: Any) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, value in pairs:
        grouped.setdefault(name, []).append(value)
    return grouped


def _text(body: bytes, headers: Mapping[str, str]) -> str | None:
    """The body as text; None if it has to be base64-encoded."""
    if not body:
        return ""
    essence = headers.get("content-type", "").partition(";")[0].strip().lower()
    if "content-encoding" in headers or not _TEXT.fullmatch(essence):
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def invoke(function: str, target_group: str, event: Mapping[str, Any]) -> Any:
    """Invoke a target and return its result.

    Raises:
        RefusedError: The load balancer may not invoke it, or the function failed.
    """
    if not may_invoke(function, target_group):
        raise RefusedError(f"LambdaAccessDenied: no statement of {function} allows {_SERVICE} to invoke it")
    record, config, _name = lambda_svc._get_func_record_for_ref(function)
    if record is None or config is None:
        raise RefusedError(f"LambdaResourceNotFound: {function}")
    runnable = lambda_svc._execution_record_for_config(record, config)
    result = lambda_svc._execute_function_with_config_scope(runnable, event)
    if result.get("throttle"):
        raise RefusedError(f"LambdaThrottling: {function}")
    if result.get("error"):
        raise RefusedError(f"LambdaUnhandled: {result.get('body')}")
    return result.get("body")


# --- From the function


def read_response(result: Any, *, multi_value: bool) -> Response:
    """Return the HTTP response in the result of a function.

    Raises:
        RefusedError: It is not valid.
    """
    # As the Python runtime serialises it; other runtimes omit the spaces.
    size = len(json.dumps(result, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    if size > MAX_RESPONSE_BYTES:
        raise RefusedError(f"LambdaResponseTooLarge: {size:,} bytes of JSON")
    if not isinstance(result, dict):
        raise _invalid("the result must be an object", result)
    status = result.get("statusCode")
    if type(status) is not int or not 100 <= status <= 599:
        raise _invalid("statusCode must be a number from 100 to 599", status)
    description = result.get("statusDescription", f"{status} ")
    if not isinstance(description, str) or not description.startswith(f"{status} "):
        raise _invalid("statusDescription must be the status code, a space and the reason", description)
    return status, dict(_passed_on(result, multi_value)), _content(result)


def _passed_on(result: Mapping[str, Any], multi_value: bool) -> Iterator[tuple[str, list[str]]]:
    field = "multiValueHeaders" if multi_value else "headers"
    headers = result.get(field)
    if not isinstance(headers, dict):
        raise _invalid(f"{field} is required by the target group's attribute", sorted(result))
    for name, value in headers.items():
        lines = value if multi_value else [value]
        if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
            raise _invalid(
                f"{field}: {name} must be {'a list of strings' if multi_value else 'a string'}", value
            )
        if not _TOKEN.fullmatch(name) or not all(_VALUE.fullmatch(line) for line in lines):
            raise _invalid(f"{field}: {name} is not a valid header", value)
        if name.lower() not in _NOT_PASSED_ON:
            yield name, lines


def _content(result: Mapping[str, Any]) -> bytes:
    body, encoded = result.get("body", ""), result.get("isBase64Encoded")
    if not isinstance(body, str) or not isinstance(encoded, bool):
        raise _invalid("body must be a string, and isBase64Encoded true or false", (type(body), encoded))
    try:
        return base64.b64decode(body, validate=True) if encoded else body.encode()
    except (binascii.Error, ValueError) as error:
        raise _invalid("body does not match isBase64Encoded", str(error)) from None


def _invalid(rule: str, given: object) -> RefusedError:
    return RefusedError(f"LambdaInvalidResponse: {rule}; given: {str(given)[:200]}")
