"""Lambda@Edge: distributions invoke functions at the four trigger points, and check what they return.

The emulator stores the associations, and invokes nothing.

Faithful to:
- The events of the four points. Viewer request and response enclose the cache, so they run for hits as well;
  origin request and response run on a miss, and what they return is stored.
- A request may be changed (URI, query string, headers, origin, and with IncludeBody the body) or answered.
  A viewer request that changes the URI stays with its cache behavior. A viewer response does not run when the
  origin answered 400 or above, nor for a response of the viewer request; an origin response runs for errors,
  and not for a response of the origin request.
- IncludeBody shows the first 40 KB (viewer) or 1 MB (origin), in base64; without it there is no body. An
  origin response has no body, and may set one.
- 502 (LambdaValidationError) for a result that is neither request nor response, adds a disallowed header,
  changes a read-only one, or is too large (40 KB viewer, 1 MB origin); a viewer response may not change the
  status. 503 for an error or a timeout (LambdaExecutionError) and for throttling (LambdaLimitExceeded).
- What may be associated: a numbered version in us-east-1, without environment variables, layers, VPC,
  dead-letter queue, X-Ray or arm64, up to 5 s and 128 MB at viewer events, 30 s at origin events; its role
  trusts edgelambda.amazonaws.com; not with CloudFront Functions at viewer events of the behavior.
- Logs go to /aws/lambda/us-east-1.NAME. A version that is associated cannot be deleted, nor its function.

Not to: the Region of an edge location: logs are in us-east-1. Replicas are gone with the last association; on
AWS this takes hours. The whole text of AWS's error pages.

https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-event-structure.html
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-generating-http-responses.html
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-at-edge-function-restrictions.html
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html#limits-lambda-at-edge
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/lambda-edge-delete-replicas.html
"""

from __future__ import annotations

import base64
import binascii
import http.client
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NoReturn
from urllib.parse import parse_qs

from ministack.core.concurrency import run_offloop
from ministack.core.responses import request_scope
from ministack.services import cloudfront, lambda_svc
from ministack.services.cloudformation import provisioners

from localaws.patching import around
from localaws.services.cloudfront.cache import exchange
from localaws.services.cloudfront.functions import DISALLOWED
from localaws.services.cloudfront.viewers import without_location
from localaws.services.iam.roles import role_trusts
from localaws.usage import invoked_as

Record = dict[str, Any]
Headers = dict[str, Any]

_KB = 1024
_LARGEST = {"viewer": 40 * _KB, "origin": _KB * _KB}  # bodies shown, and responses made
_SECONDS, _VIEWER_MB = {"viewer": 5, "origin": 30}, 128
_READ_ONLY = {
    "viewer-request": ("content-length", "host", "transfer-encoding", "via"),
    "origin-request": (
        "accept-encoding",
        "content-length",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "transfer-encoding",
        "via",
    ),
    "origin-response": ("transfer-encoding", "via"),
    "viewer-response": ("content-encoding", "content-length", "transfer-encoding", "via", "warning"),
}
_ERRORS = {
    "LambdaValidationError": 502,
    "LambdaExecutionError": 503,
    "LambdaLimitExceeded": 503,
}

logger = logging.getLogger("localaws.cloudfront")


class EdgeError(Exception):
    """What the viewer gets in place of an answer.

    Attributes:
        kind: As `X-Cache` names it.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def _invalid(text: str) -> NoReturn:
    raise EdgeError("LambdaValidationError", f"The Lambda function result failed validation: {text}.")


# --- Associations


def _associations(behavior_el: Any) -> Iterator[tuple[str, str, bool]]:
    """Event, ARN and whether the body is included, of each function of a cache behavior."""
    for element in behavior_el.iter():
        if cloudfront._local_tag_name(element) == "LambdaFunctionAssociation":
            arn = cloudfront._text(element, "LambdaFunctionARN")
            included = cloudfront._text(element, "IncludeBody", "false")
            yield cloudfront._text(element, "EventType"), arn, included.lower() == "true"


@around(cloudfront, "_dataplane_behavior", after=["cloudfront.cache"])
def _dataplane_behavior(
    stock: Callable[..., Record], behavior_el: Any, path_pattern: str | None = None
) -> Record:
    lambdas = {event: (arn, body) for event, arn, body in _associations(behavior_el)}
    return {**stock(behavior_el, path_pattern), "lambdas": lambdas}


@around(cloudfront, "_distribution_vpc_origin_error")
def _distribution_error(stock: Callable[[Any], Any], config_el: Any) -> Any:
    if (error := stock(config_el)) is not None:
        return error
    wrong = _wrong_association(config_el)
    return cloudfront._error("InvalidLambdaFunctionAssociation", wrong, 400) if wrong else None


@around(provisioners, "_cf_distribution_config")
def _distribution_config(stock: Callable[..., Any], props: Record, caller_reference: str) -> Any:
    config_el = stock(props, caller_reference)
    if wrong := _wrong_association(config_el):
        raise ValueError(
            'Resource handler returned message: "Invalid request provided: AWS::CloudFront::Distribution: '
            f'{wrong}" (HandlerErrorCode: InvalidRequest)'
        )
    return config_el


def _wrong_association(config_el: Any) -> str | None:
    for behavior in config_el.iter():
        if cloudfront._local_tag_name(behavior) not in ("DefaultCacheBehavior", "CacheBehavior"):
            continue
        seen: set[str] = set()
        for event, arn, body in _associations(behavior):
            if event not in _READ_ONLY or event in seen:
                return f"The event type {event} is not valid, or is given twice."
            seen.add(event)
            if body and not event.endswith("request"):
                return f"IncludeBody is not allowed for {event}."
            if wrong := _wrong_function(event, arn):
                return wrong
        if any(event.startswith("viewer") for event in seen) and (
            cloudfront._dataplane_function_associations(behavior)
        ):
            return "A cache behavior cannot have CloudFront Functions and Lambda@Edge at viewer events."
    return None


def _wrong_function(event: str, arn: str) -> str | None:
    parts = arn.split(":")
    if len(parts) != 8 or not parts[7].isdigit():
        return (
            "The function ARN must reference a specific function version. (The ARN must end with the version "
            f"number.) ARN: {arn}"
        )
    if parts[3] != "us-east-1":
        return f"The function must be in region 'us-east-1'. ARN: {arn}"
    _, config = _function(arn)
    if config is None:
        return f"The function does not exist. ARN: {arn}"
    point = event.partition("-")[0]
    unsupported = {
        "environment variables": (config.get("Environment") or {}).get("Variables"),
        "layers": config.get("Layers"),
        "a VPC": (config.get("VpcConfig") or {}).get("SubnetIds"),
        "a dead-letter queue": (config.get("DeadLetterConfig") or {}).get("TargetArn"),
        "active tracing": (config.get("TracingConfig") or {}).get("Mode") == "Active",
        "the architecture arm64": "arm64" in (config.get("Architectures") or ()),
        "a container image": config.get("PackageType") == "Image",
        "more than 512 MB of ephemeral storage": int(
            (config.get("EphemeralStorage") or {}).get("Size") or 512
        )
        > 512,
    }
    for name, given in unsupported.items():
        if given:
            return f"The function cannot have {name}. Function: {arn}"
    if not str(config.get("Runtime")).startswith(("nodejs", "python")):
        return f"The runtime {config.get('Runtime')} is not supported for Lambda@Edge. Function: {arn}"
    if int(config["Timeout"]) > _SECONDS[point]:
        return (
            f"The function timeout is larger than maximum allowed for the {event} event: {_SECONDS[point]} "
            f"seconds. Function: {arn}"
        )
    if point == "viewer" and int(config["MemorySize"]) > _VIEWER_MB:
        return (
            f"The function memory size is larger than maximum allowed for the {event} event: {_VIEWER_MB} "
            f"MB. Function: {arn}"
        )
    if not role_trusts(config["Role"], "edgelambda.amazonaws.com"):
        return (
            "The function execution role must be assumable with edgelambda.amazonaws.com as well as "
            f"lambda.amazonaws.com principals. Update the IAM role and try again. Role: {config['Role']}"
        )
    return None


def _function(arn: str) -> tuple[Any, Any]:
    parts = arn.split(":")
    with request_scope(parts[4], parts[3]):
        record, config, _ = lambda_svc._get_func_record_for_ref(arn)
    return record, config


@around(lambda_svc, "_delete_function", after=["lambda_.environment_encryption"])
def _delete_function(
    stock: Callable[..., Any], name: str, query_params: Any, path_qualifier: str | None = None
) -> Any:
    record, config, _ = lambda_svc._get_func_record_for_ref(name)
    qualifier = path_qualifier or lambda_svc._qp_first(query_params, "Qualifier")
    for arn in _replicated() if config is not None else ():
        function, _, version = arn.rpartition(":")
        if function == record["config"]["FunctionArn"] and qualifier in ("", None, version):
            text = (
                f"Lambda was unable to delete {arn} because it is a replicated function. Please see our "
                "documentation for Deleting Lambda@Edge Functions and Replicas."
            )
            return lambda_svc.error_response_json("InvalidParameterValueException", text, 400)
    return stock(name, query_params, path_qualifier)


def _replicated() -> set[str]:
    return {
        arn
        for distribution in cloudfront._distributions.values()
        for _, arn, _ in _associations(cloudfront._dist_config_el(distribution))
    }


# --- Invoking


async def _run(event: str, arn: str, request: Record, response: Record | None = None) -> Any:
    """Invoke a function, and return what it returned.

    Raises:
        EdgeError: It failed.
    """
    now = exchange()
    assert now is not None
    config = {
        "distributionDomainName": now.distribution["DomainName"],
        "distributionId": now.distribution["Id"],
        "eventType": event,
        "requestId": cloudfront._cf_request_id(),
    }
    shown = {"config": config, "request": request} | ({"response": response} if response is not None else {})
    outcome = await run_offloop(_invoke, arn, {"Records": [{"cf": shown}]})
    if outcome.get("throttle"):
        text = "The Lambda function associated with the CloudFront distribution was throttled."
        raise EdgeError("LambdaLimitExceeded", text)
    if outcome.get("error"):
        logger.warning("%s of %s failed: %s", event, arn, outcome.get("body"))
        raise EdgeError("LambdaExecutionError", "The Lambda function failed to execute.")
    return outcome.get("body")


def _invoke(arn: str, event: Record) -> Record:
    record, config = _function(arn)
    if record is None or config is None:
        return {"error": True, "body": f"{arn} does not exist"}
    group = f"/aws/lambda/us-east-1.{config['FunctionName']}"
    logs = {**(config.get("LoggingConfig") or {}), "LogGroup": group}
    runnable = lambda_svc._execution_record_for_config(record, {**config, "LoggingConfig": logs})
    token = invoked_as.set("Lambda@Edge")
    try:
        with request_scope(arn.split(":")[4], "us-east-1"):
            outcome: Record = lambda_svc._execute_function_with_config_scope(runnable, event)
    finally:
        invoked_as.reset(token)
    return outcome


# --- Headers, bodies and results


def edge_headers(headers: Mapping[str, Any]) -> Headers:
    """Headers as events have them."""
    return {
        name.lower(): [
            {"key": cloudfront._title_case_header_name(name.lower()), "value": str(one)}
            for one in (value if isinstance(value, list) else [value])
        ]
        for name, value in headers.items()
        if not DISALLOWED.fullmatch(name.lower())
    }


def read_headers(event: str, given: Any, before: Headers | None) -> Headers:
    """Headers that a function returned, as the emulator has them.

    Raises:
        EdgeError: They are not allowed.
    """
    if not isinstance(given, dict):
        _invalid("The headers are not an object")
    read: Headers = {}
    for name, lines in given.items():
        if not isinstance(lines, list):
            raise EdgeError(
                "LambdaValidationError",
                "The Lambda function returned an invalid entry in the headers object: Each header entry in "
                "the headers object must be an array.",
            )
        if name != name.lower():
            _invalid(f"The name of the header {name} must be in lower case")
        if DISALLOWED.fullmatch(name):
            _invalid(f"The function tried to add a disallowed header: {name}")
        values = []
        for line in lines:
            if not isinstance(line, dict) or not isinstance(line.get("value"), str):
                _invalid(f"The header {name} needs a value, which is a string")
            if str(line.get("key", name)).lower() != name:
                _invalid(f"The key of the header {name} is another name")
            values.append(line["value"])
        if values:
            read[name] = values[0] if len(values) == 1 else values
    shown = {name: [line["value"] for line in lines] for name, lines in (before or {}).items()}
    for name in _READ_ONLY[event]:
        after = [line["value"] for line in given.get(name, [])]
        if before is not None and after != shown.get(name, []):
            _invalid("The function tried to add, delete, or change a read-only header")
    return read


def shown_body(event: str, body: bytes) -> Record:
    """The body of a request in an event."""
    largest = _LARGEST[event.partition("-")[0]]
    return {
        "action": "read-only",
        "data": base64.b64encode(body[:largest]).decode(),
        "encoding": "base64",
        "inputTruncated": len(body) > largest,
    }


def read_body(event: str, given: Any, body: bytes) -> bytes:
    """The body of a request that a function returned.

    Raises:
        EdgeError: It is too large, or no body.
    """
    if not isinstance(given, dict) or given.get("action") != "replace":
        return body
    return _decoded(event, given.get("data"), given.get("encoding", "text"))


def _replaced(event: str, value: Record, headers: Headers, body: bytes) -> bytes:
    """The body of the request that goes on, with its length in the headers."""
    sent = read_body(event, value.get("body"), body)
    if "content-length" in headers:
        headers["content-length"] = str(len(sent))
    return sent


def _decoded(event: str, data: Any, encoding: Any) -> bytes:
    wrong = "The body is not a string, is not an object, or exceeds the maximum size"
    if not isinstance(data, str) or encoding not in ("text", "base64"):
        _invalid(wrong)
    try:
        content = base64.b64decode(data, validate=True) if encoding == "base64" else data.encode()
    except binascii.Error:
        _invalid(wrong)
    if len(content) > _LARGEST[event.partition("-")[0]]:
        _invalid(wrong)
    return content


def read_response(
    event: str, given: Record, before: Headers | None
) -> tuple[int, str, Headers, bytes | None]:
    """Status, reason, headers and, if there is one, the body of a response that a function returned.

    Raises:
        EdgeError: It is not one.
    """
    status = str(given.get("status", ""))
    if not (status.isdecimal() and 200 <= int(status) <= 599):
        _invalid(f"The status {status!r} is not a number from 200 to 599")
    headers = read_headers(event, given.get("headers") or {}, before)
    body = None
    if given.get("body") is not None:
        body = _decoded(event, given["body"], given.get("bodyEncoding", "text"))
        lines = sum(len(name) + len(str(value)) + 4 for name, value in headers.items())
        if len(body) + lines > _LARGEST[event.partition("-")[0]]:
            _invalid("The response exceeds the maximum size")
        if status == "204" and body and event == "viewer-request":
            _invalid("A response with the status 204 has no body")
    reason = given.get("statusDescription") or http.client.responses.get(int(status), "")
    return int(status), str(reason), headers, body


def _returned(value: Any) -> Record:
    if not isinstance(value, dict):
        _invalid("The function returned no object")
    return value


def _check_request(value: Record, before: Record) -> None:
    if not str(value.get("uri", "")).startswith("/") or not isinstance(value.get("querystring", ""), str):
        _invalid("The function returned neither a request, with uri and querystring, nor a response")
    for name in ("method", "clientIp"):
        if value.get(name, before[name]) != before[name]:
            _invalid(f"The function changed {name}, which is read-only")
    if len(value["uri"]) + len(value.get("querystring", "")) > 8_192:
        _invalid("URI and query string have more than 8192 characters")


# --- Viewer events


@around(cloudfront, "handle_viewer_request", after=["cloudfront.viewers"])
async def _handle_viewer_request(
    stock: Callable[..., Awaitable[Any]],
    dist: Record,
    method: str,
    path: str,
    raw_uri: str,
    raw_query_string: str,
    headers: dict[str, str],
    body: bytes,
    query_params: dict[str, list[str]],
    client_ip: str = "127.0.0.1",
) -> Any:
    parsed, now = cloudfront.parse_distribution_dataplane_config(dist), exchange()
    behavior = cloudfront._match_behavior(parsed, path) or {}
    https = headers.get("x-forwarded-proto", "http") == "https"
    refused = behavior and (
        cloudfront._check_viewer_protocol_policy(behavior, method, https, raw_uri, raw_query_string, headers)
        or cloudfront._check_allowed_methods(behavior, method)
    )
    if now is None or refused or not behavior.get("lambdas"):
        return await stock(
            dist, method, path, raw_uri, raw_query_string, headers, body, query_params, client_ip
        )
    headers = without_location(headers)
    try:
        before = _request(
            method,
            cloudfront._apply_default_root_object(parsed.get("default_root_object", ""), raw_uri),
            raw_query_string,
            headers,
            client_ip,
        )
        if "viewer-request" in behavior["lambdas"]:
            arn, included = behavior["lambdas"]["viewer-request"]
            shown = {**before, "body": shown_body("viewer-request", body)} if included else before
            value = _returned(await _run("viewer-request", arn, shown))
            if "status" in value:
                status, _, made, content = read_response("viewer-request", value, None)
                sent = cloudfront._add_cloudfront_headers(made, "LambdaGeneratedResponse from cloudfront")
                return status, cloudfront._render_headers(sent, title_case=True), content or b""
            _check_request(value, before)
            hidden = {name: one for name, one in headers.items() if DISALLOWED.fullmatch(name)}
            read = read_headers("viewer-request", value.get("headers") or {}, before["headers"])
            headers = {**hidden, **{name: _joined(name, one) for name, one in read.items()}}
            now.headers = headers
            if included:
                body = _replaced("viewer-request", value, headers, body)
            raw_uri, raw_query_string = value["uri"], value.get("querystring", "")
            query_params = parse_qs(raw_query_string, keep_blank_values=True)
        status, sent, content = await stock(
            dist, method, path, raw_uri, raw_query_string, headers, body, query_params, client_ip
        )
        failed = now.result == "Error from cloudfront"
        if "viewer-response" in behavior["lambdas"] and status < 400 and not failed:
            request = _request(method, raw_uri, raw_query_string, headers, client_ip)
            sent = await _viewer_response(behavior["lambdas"]["viewer-response"][0], request, status, sent)
    except EdgeError as error:
        logger.warning("%s for a viewer: %s", error.kind, error)
        return cloudfront._cf_error_response(_ERRORS[error.kind], str(error), f"{error.kind} from cloudfront")
    return status, sent, content


def _joined(name: str, value: Any) -> str:
    return value if isinstance(value, str) else ("; " if name == "cookie" else ", ").join(value)


def _request(method: str, uri: str, query_string: str, headers: Headers, client_ip: str) -> Record:
    return {
        "clientIp": client_ip,
        "headers": edge_headers(headers),
        "method": method,
        "querystring": query_string,
        "uri": uri,
    }


async def _viewer_response(arn: str, request: Record, status: int, sent: Headers) -> Headers:
    reason = http.client.responses.get(status, "")
    before: Record = {"headers": edge_headers(sent), "status": str(status), "statusDescription": reason}
    value = _returned(await _run("viewer-response", arn, request, before))
    if str(value.get("status")) != str(status):
        _invalid("The function tried to change the status of a viewer response")
    read = read_headers("viewer-response", value.get("headers") or {}, before["headers"])
    hidden = {name: one for name, one in sent.items() if DISALLOWED.fullmatch(name.lower())}
    return {**cloudfront._render_headers(read, title_case=True), **hidden}


# --- Origin events


@around(cloudfront, "_fetch_from_origin")
async def _fetch_from_origin(
    stock: Callable[..., Awaitable[Any]],
    origin: Record,
    method: str,
    uri: str,
    query_string: str,
    headers: dict[str, str],
    body: bytes,
    viewer_is_https: bool,
    client_ip: str,
    viewer_xff: str,
    dist_arn: str,
) -> Any:
    now = exchange()
    lambdas = now.behavior.get("lambdas", {}) if now is not None else {}
    request = _request(method, uri, query_string, {"host": origin["domain_name"], **headers}, client_ip)
    request["origin"] = _shown_origin(origin)
    if "origin-request" in lambdas:
        arn, included = lambdas["origin-request"]
        shown = {**request, "body": shown_body("origin-request", body)} if included else request
        value = _returned(await _run("origin-request", arn, shown))
        if "status" in value:
            status, reason, made, content = read_response("origin-request", value, None)
            return status, reason, made, content or b""
        _check_request(value, request)
        read = read_headers("origin-request", value.get("headers") or {}, request["headers"])
        hidden = {name: one for name, one in headers.items() if DISALLOWED.fullmatch(name)}
        headers = {**hidden, **{name: _joined(name, one) for name, one in read.items()}}
        if headers.get("host") == origin["domain_name"] or origin.get("s3_bucket"):
            headers.pop("host", None)  # that of the origin, which may be another one now
        body = _replaced("origin-request", value, headers, body) if included else body
        origin = _read_origin(value.get("origin"), origin)
        uri, query_string = value["uri"], value.get("querystring", "")
        request = {**request, **{name: value[name] for name in ("uri", "querystring") if name in value}}
    status, reason, got, content = await stock(
        origin, method, uri, query_string, headers, body, viewer_is_https, client_ip, viewer_xff, dist_arn
    )
    if "origin-response" in lambdas:
        before: Record = {"headers": edge_headers(got), "status": str(status), "statusDescription": reason}
        value = _returned(await _run("origin-response", lambdas["origin-response"][0], request, before))
        status, reason, read, replaced = read_response("origin-response", value, before["headers"])
        hidden = {name: one for name, one in got.items() if DISALLOWED.fullmatch(name.lower())}
        got, content = {**hidden, **read}, content if replaced is None else replaced
        if replaced is not None:
            got = {name: one for name, one in got.items() if name != "content-length"}
    return status, reason, got, content


def _shown_origin(origin: Record) -> Record:
    custom = {name.lower(): [{"key": name, "value": value}] for name, value in origin["custom_headers"]}
    common = {"customHeaders": custom, "domainName": origin["domain_name"], "path": origin["origin_path"]}
    if origin.get("s3_bucket"):
        region = origin["domain_name"].partition(".s3.")[2].partition(".amazonaws")[0]
        method = "origin-access-identity" if origin.get("oai_id") else "none"
        return {"s3": {**common, "authMethod": method, "region": region}}
    secure = origin["protocol_policy"] != "http-only"
    return {
        "custom": {
            **common,
            "keepaliveTimeout": 5,
            "port": origin["https_port" if secure else "http_port"],
            "protocol": "https" if secure else "http",
            "readTimeout": origin["read_timeout"],
            "sslProtocols": ["TLSv1.2"],
        }
    }


def _read_origin(given: Any, origin: Record) -> Record:
    """The origin that a function chose, in place of that of the behavior.

    Raises:
        EdgeError: It is no origin.
    """
    if given is None:
        return origin
    kind = next(iter(given), "") if isinstance(given, dict) and len(given) == 1 else ""
    chosen = given.get(kind) if kind in ("s3", "custom") else None
    if not isinstance(chosen, dict) or not isinstance(chosen.get("domainName"), str):
        _invalid("The origin is neither an S3 origin nor a custom one")
    changed = {**origin, "domain_name": chosen["domainName"], "origin_path": chosen.get("path", "")}
    changed["custom_headers"] = [
        (lines[0].get("key", name), lines[0]["value"])
        for name, lines in (chosen.get("customHeaders") or {}).items()
    ]
    if kind == "s3":
        return {**changed, "s3_bucket": cloudfront._s3_origin_bucket(chosen["domainName"])}
    with suppress(KeyError):
        port = int(chosen["port"])
        changed |= {"protocol_policy": f"{chosen['protocol']}-only", f"{chosen['protocol']}_port": port}
    return {**changed, "s3_bucket": None, "read_timeout": int(chosen.get("readTimeout", 30))}
