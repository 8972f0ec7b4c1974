"""HTTP ⇄ the JSON of payload format 2.0, which HTTP APIs and function URLs exchange with a function.

The lines of a header arrive joined by commas, cookies in a list of their own, and the query string as the
client sent it. So does the path of a function URL. That of an HTTP API arrives decoded: a slash that the
client encoded separates segments there.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
"""

from typing import Any, TypeAlias

from .bodies import decode_parameter, read_body, write_body
from .messages import Request, Response
from .payload_v1 import path_of_http_api

Json: TypeAlias = dict[str, Any]

# What a function may return. https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MAX_RESPONSE_BYTES = 6 * 1024 * 1024


def read_request(event: Json) -> Request:
    """Read the event of an HTTP API or a function URL.

    Raises:
        HttpError: 400, the query string or the body cannot be decoded.
    """
    context, raw_path = event["requestContext"], event["rawPath"]
    is_function_url = ".lambda-url." in context["domainName"]
    pairs = [pair.partition("=") for pair in event.get("rawQueryString", "").split("&") if pair]
    headers = {name.lower(): [value] for name, value in event.get("headers", {}).items()}
    if event.get("cookies"):  # an HTTP API takes them out of the headers
        headers["cookie"] = event["cookies"]
    return Request(
        method=context["http"]["method"].upper(),
        path=raw_path if is_function_url else path_of_http_api(raw_path, context["stage"]),
        query=[(decode_parameter(name), decode_parameter(value)) for name, _, value in pairs],
        headers=headers,
        body=read_body(event),
    )


def write_response(response: Response, event: Json) -> Json:
    """Return the JSON of a response. The lines of a header are joined, except those that set cookies."""
    lines = {name: [value] if isinstance(value, str) else value for name, value in response.headers.items()}
    cookies = lines.pop("Set-Cookie", [])
    is_head = event.get("requestContext", {}).get("http", {}).get("method", "").upper() == "HEAD"
    body, is_base64 = write_body(b"" if is_head else response.body)
    return {
        "statusCode": response.status.value,
        "headers": {name: ", ".join(values) for name, values in lines.items()},
        "cookies": cookies,
        "body": body,
        "isBase64Encoded": is_base64,
    }
