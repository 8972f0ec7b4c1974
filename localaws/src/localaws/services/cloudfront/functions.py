"""CloudFront Functions run as at the edge: with a store, without the network, and their result is checked.

The emulator runs them without the module `cloudfront`, lets them evaluate code, accepts any size and any
result, writes no log, and lacks TestFunction.

Faithful to:
- `import cf from 'cloudfront'` with `cf.kvs()`: `get` with its three formats, `exists`, `count` and `meta`,
  of the one store that is associated. An update of the store is seen by the next request. `crypto`,
  `querystring` and `buffer`, and no other module. Strict mode; no `eval`, no `new Function`, no timers, no
  network; nothing is left for the next request.
- A function has 10 KB (FunctionSizeLimitExceeded), one store, and for that the runtime 2.0.
- Disallowed headers are not in events. 502 for a result that adds one, changes a read-only header, has a name
  in capitals, or is no request or response; 503 for an error, and for 5 seconds without a result.
- `console.log` writes to /aws/cloudfront/function/NAME in us-east-1.
- TestFunction runs either stage; its result has output, log and error.
Not to: the compute budget of 1 ms, and 2 MB of memory: utilisation is measured on this machine, and never
refused; what the engine of AWS lacks of JavaScript (V8 runs it); helper methods for origins; the text of
AWS's error pages.

https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/functions-event-structure.html
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/functions-javascript-runtime-20.html
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/functions-custom-methods.html
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/edge-function-restrictions-all.html
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html
https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_TestFunction.html
"""

from __future__ import annotations

import base64
import json
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import SubElement

from ministack.core import node_pool
from ministack.core.concurrency import run_offloop
from ministack.core.responses import get_account_id, request_scope
from ministack.services import cloudfront, cloudfront_keyvaluestore, cloudwatch_logs
from ministack.services.cloudformation import provisioners

from localaws.patching import around, on_reset, replaces
from localaws.usage import amounts

Event = dict[str, Any]
Record = dict[str, Any]

LARGEST = 10_240  # bytes
_SECONDS = 5.0
DISALLOWED = re.compile(
    "connection|expect|keep-alive|proxy-(authenticate|authorization|connection)|trailer|upgrade"
    "|x-accel-(buffering|charset|limit-rate|redirect)|x-amz-cf-.*|x-amzn-(auth|cf-billing|cf-id|cf-xff|errortype"
    "|fle-profile|header-count|header-order|lambda-integration-tag|requestid)|x-cache|x-edge-.*"
    "|x-forwarded-proto|x-real-ip"
)
_READ_ONLY = {
    "viewer-request": ("content-length", "host", "transfer-encoding", "via"),
    "viewer-response": ("via", "warning"),
}
_TEST = re.compile(r"/2020-05-31/function/([^/]+)/test/?")

logger = logging.getLogger("localaws.cloudfront")
_workers = node_pool.NodeWorkerPool(
    Path(__file__).with_suffix(".js").read_text("utf-8"),
    log_prefix="cloudfront-function",
    logger=logger,
    timeout=_SECONDS,
)


class InvalidResultError(Exception):
    """The result of a function is not one that CloudFront takes: 502."""


@on_reset
def _forget() -> None:
    _workers.reset()


# --- Running


@replaces(cloudfront, "_run_function")
async def _run_function(function_arn: str, event: Event) -> Any:
    function = cloudfront._functions.get(function_arn.rpartition("/")[2])
    if function is None or not function.get("live_etag"):
        raise cloudfront.CloudFrontFunctionError(f"{function_arn} is not published")
    amounts.add("", "CloudFront Functions invocations")
    outcome = await run_offloop(_run, function, cloudfront._function_view(function, "LIVE"), event)
    if outcome.get("error"):
        raise cloudfront.CloudFrontFunctionError(outcome["error"])
    if wrong := problem(outcome.get("value"), event):
        raise InvalidResultError(wrong)
    return outcome["value"]


def _run(function: Record, view: Record, event: Event) -> Record:
    """Run a function, and write its log."""
    request = {
        "code": bytes(view["code"]).decode("utf-8"),
        "runtime": view["runtime"],
        "event": event,
        "store": _store(view.get("kvs_arns") or []),
    }
    try:
        outcome: Record = _workers.call(request, timeout=_SECONDS)
    except node_pool.NodeWorkerTimeout:
        outcome = {"error": "The function exceeded its compute budget", "logs": [], "milliseconds": 5000}
    except node_pool.NodeWorkerError as error:
        outcome = {"error": f"Node.js, which runs the function: {error}", "logs": [], "milliseconds": 0}
    request_id = str(event.get("context", {}).get("requestId") or uuid.uuid4())
    lines = [f"{request_id} {line}" for line in outcome["logs"]]
    if outcome.get("error"):
        lines.append(f"{request_id} {outcome['error']}")
    outcome["lines"] = lines
    if lines:
        _log(
            function["name"],
            [f"{request_id} START DistributionID: {_of(event)}", *lines, f"{request_id} END"],
        )
    return outcome


def _of(event: Event) -> str:
    return str(event.get("context", {}).get("distributionId", ""))


def _store(arns: list[str]) -> Record | None:
    if not arns:
        return None
    known = next((one for one in cloudfront._kvstores.values() if one["ARN"] == arns[0]), None)
    store, _ = cloudfront_keyvaluestore._get_store(arns[0])
    if known is None or store is None:
        return None
    modified = known["LastModifiedTime"]
    return {"items": dict(store["items"]), "created": modified, "modified": modified}


def _log(name: str, lines: list[str]) -> None:
    moment = int(time.time() * 1000)
    with request_scope(get_account_id(), "us-east-1"):
        group = {"logGroupName": f"/aws/cloudfront/function/{name}"}
        stream = {**group, "logStreamName": time.strftime("%Y/%m/%d/") + "edge"}
        cloudwatch_logs._create_log_group(group)
        cloudwatch_logs._create_log_stream(stream)
        events = [{"timestamp": moment, "message": line} for line in lines]
        cloudwatch_logs._put_log_events({**stream, "logEvents": events})


# --- What a function gets and returns


@around(cloudfront, "_build_function_event")
def _build_function_event(
    stock: Callable[..., Event],
    event_type: str,
    dist_id: str,
    dist_domain: str,
    request_id: str,
    method: str,
    uri: str,
    query_params: dict[str, Any],
    headers: dict[str, Any],
    client_ip: str,
) -> Event:
    shown = {name: value for name, value in headers.items() if not DISALLOWED.fullmatch(name)}
    return stock(event_type, dist_id, dist_domain, request_id, method, uri, query_params, shown, client_ip)


@around(cloudfront, "_response_event_fields")
def _response_event_fields(
    stock: Callable[..., Event], status: int, reason: str, headers: dict[str, Any]
) -> Event:
    return stock(status, reason, {name: v for name, v in headers.items() if not DISALLOWED.fullmatch(name)})


def problem(value: Any, event: Event) -> str | None:
    """What is wrong with the result of a function; None if nothing is."""
    kind = event["context"]["eventType"]
    if not isinstance(value, dict):
        return "the function returned no object"
    is_response = kind == "viewer-response" or "statusCode" in value
    if is_response:
        status = value.get("statusCode")
        if not isinstance(status, int) or isinstance(status, bool) or not 200 <= status <= 599:
            return f"statusCode {status!r} is not a number from 200 to 599"
    elif not str(value.get("uri", "")).startswith("/") or "method" not in value:
        return "the function returned neither a request, with method and uri, nor a response"
    elif value["method"] != event["request"]["method"]:
        return "the function changed the method, which is read-only"
    return _header_problem(value, event["request"] if not is_response else event.get("response"), kind)


def _header_problem(value: Record, original: Record | None, kind: str) -> str | None:
    headers = value.get("headers") or {}
    for name, given in headers.items():
        if name != name.lower():
            return f"the name of the header {name} must be in lower case"
        if DISALLOWED.fullmatch(name):
            return f"the header {name} is not allowed"
        if not isinstance(given, dict) or not isinstance(given.get("value"), str):
            return f"the header {name} needs a value, which is a string"
    before = (original or {}).get("headers", {})
    for name in _READ_ONLY[kind]:
        if original is not None and headers.get(name) != before.get(name):
            return f"the function added, deleted or changed the read-only header {name}"
    return None


@around(cloudfront, "handle_viewer_request", after=["cloudfront.cache", "cloudfront.lambda_edge"])
async def _handle_viewer_request(stock: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
    try:
        return await stock(*args, **kwargs)
    except InvalidResultError as error:
        logger.warning("502 for a viewer: %s", error)
        text = f"The CloudFront function returned an invalid value: {error}."
        return cloudfront._cf_error_response(502, text, "Error from cloudfront")


# --- Limits


@around(cloudfront, "_cf_decode_function_code")
def _decode(stock: Callable[[str], tuple[bytes | None, Any]], code_b64: str) -> tuple[bytes | None, Any]:
    code, error = stock(code_b64)
    return (None, _too_large(code)) if code is not None and len(code) > LARGEST else (code, error)


def _too_large(code: bytes) -> Any:
    text = f"The function is too large: {len(code)} bytes, and the maximum is {LARGEST}."
    return cloudfront._error("FunctionSizeLimitExceeded", text, 413)


@around(cloudfront, "_cf_parse_function_config")
def _parse_config(stock: Callable[[Any], tuple[Any, Any]], cfg_el: Any) -> tuple[Any, Any]:
    config, error = stock(cfg_el)
    arns = config["kvs_arns"] if config else []
    known = {store["ARN"] for store in cloudfront._kvstores.values()}
    if len(arns) > 1:
        text = "A function can be associated with one key value store."
        return None, cloudfront._error("InvalidArgument", text, 400)
    if arns and config["runtime"] == "cloudfront-js-1.0":
        text = "Key value stores need the runtime cloudfront-js-2.0."
        return None, cloudfront._error("InvalidArgument", text, 400)
    if not set(arns) <= known:
        return None, cloudfront._error("EntityNotFound", f"The key value store {arns[0]} was not found.", 404)
    return config, error


@around(provisioners, "_cf_function_body")
def _body(stock: Callable[..., tuple[Any, bytes, bool]], name: str, props: Record) -> tuple[Any, bytes, bool]:
    config, code, publish = stock(name, props)
    if len(code) > LARGEST:
        raise ValueError(
            f"FunctionSizeLimitExceeded: {name} has {len(code)} bytes, and the maximum is {LARGEST}"
        )
    return config, code, publish


@around(cloudfront, "_cf_update_function")
def _update_function(stock: Callable[..., Any], name: str, headers: Any, body: bytes) -> Any:
    """The header is called ETtag in CloudFront's API, and clients read the new version from there."""
    status, sent, content = stock(name, headers, body)
    return status, ({**sent, "ETtag": sent["ETag"]} if "ETag" in sent else sent), content


# --- TestFunction


@around(cloudfront, "handle_request")
async def _handle_request(
    stock: Callable[..., Awaitable[Any]], method: str, path: str, headers: Any, body: bytes, query_params: Any
) -> Any:
    found = _TEST.fullmatch(path)
    if found is None or method != "POST":
        return await stock(method, path, headers, body, query_params)
    return await run_offloop(_test, found[1], headers, body)


def _test(name: str, headers: Any, body: bytes) -> Any:
    request, function = cloudfront._parse_body(body), cloudfront._functions.get(name)
    stage = cloudfront._text(request, "Stage", "DEVELOPMENT") if request is not None else ""
    if function is None or (stage == "LIVE" and not function.get("live_etag")):
        return cloudfront._error("NoSuchFunctionExists", "The specified function does not exist.", 404)
    if headers.get("if-match") != function["live_etag" if stage == "LIVE" else "dev_etag"]:
        text = "The If-Match version is missing or not valid for the resource."
        return cloudfront._error("InvalidIfMatchVersion", text, 400)
    try:
        event = json.loads(base64.b64decode(cloudfront._text(request, "EventObject")))
        kind = event["context"]["eventType"]
        event["request"]["method"], _READ_ONLY[kind]
    except (ValueError, KeyError, TypeError):
        text = "The event object is not an event of CloudFront Functions."
        return cloudfront._error("TestFunctionFailed", text, 500)
    view = cloudfront._function_view(function, stage) if stage == "LIVE" else function
    outcome = _run(function, view, event)
    value = outcome.get("value")
    error = outcome.get("error") or problem(value, event) or ""
    answers = kind == "viewer-response" or (isinstance(value, dict) and "statusCode" in value)
    output = {"response" if answers else "request": value}

    def build(root: Any) -> None:
        summary = SubElement(root, "FunctionSummary")
        modified = function["last_modified_live" if stage == "LIVE" else "last_modified_dev"]
        status = cloudfront._function_dev_status(function)
        cloudfront._function_summary_builder(function, stage, status, modified)(summary)
        SubElement(root, "ComputeUtilization").text = str(min(100, int(outcome["milliseconds"] * 100)))
        logs = SubElement(root, "FunctionExecutionLogs")
        for line in outcome["lines"]:
            SubElement(logs, "member").text = line
        SubElement(root, "FunctionErrorMessage").text = error
        SubElement(root, "FunctionOutput").text = "" if error else json.dumps(output)

    return cloudfront._xml_response("TestResult", build)
