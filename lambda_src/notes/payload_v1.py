"""HTTP ⇄ the JSON of payload format 1.0, which REST APIs, and HTTP APIs if asked, exchange with a function.

Names and values of the query string arrive decoded, each line of a header and each value by itself. The path
of a REST API arrives as the client sent it, without the stage. That of an HTTP API arrives decoded: a slash
that the client encoded separates segments there.

https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

from typing import Any, TypeAlias
from urllib.parse import quote

from .bodies import read_body, write_body
from .messages import Request, Response

Json: TypeAlias = dict[str, Any]

# What a function may return. https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MAX_RESPONSE_BYTES = 6 * 1024 * 1024


def read_request(event: Json) -> Request:
    """Read the event of a REST API, or of an HTTP API.

    Raises:
        HttpError: 400, the body cannot be decoded.
    """
    is_http_api = "version" in event
    headers = {name.lower(): list(values) for name, values in (event["multiValueHeaders"] or {}).items()}
    if not is_http_api:
        # A REST API takes a response for binary by the Accept header of the request, not by its own
        # Content-Type. Give the API a minimum_compression_size: it compresses what this service does not.
        headers.pop("accept-encoding", None)
    path, parameters = event["path"], event["multiValueQueryStringParameters"] or {}
    return Request(
        method=event["httpMethod"].upper(),
        path=path_of_http_api(path, event["requestContext"]["stage"]) if is_http_api else path,
        query=[(name, value) for name, values in parameters.items() for value in values],
        headers=headers,
        body=read_body(event),
    )


def path_of_http_api(decoded: str, stage: str) -> str:
    """Return the path of an HTTP API's event percent-encoded, and without the name of the stage.

    The API may leave ``%25`` as it is, the escape of the percent sign.
    """
    if stage != "$default" and f"{decoded}/".startswith(f"/{stage}/"):
        decoded = decoded[len(stage) + 1 :] or "/"
    return quote(decoded.replace("%25", "%"))


def write_response(response: Response, event: Json) -> Json:
    """Return the JSON of a response. UTF-8 is text, because a REST API may pass base64 on as it is."""
    lines = {name: [value] if isinstance(value, str) else value for name, value in response.headers.items()}
    is_head = str(event.get("httpMethod")).upper() == "HEAD"
    content, is_base64 = b"" if is_head else response.body, False
    try:
        body = content.decode()
    except UnicodeDecodeError:
        body, is_base64 = write_body(content)
    return {
        "statusCode": response.status.value,
        "multiValueHeaders": lines,
        "body": body,
        "isBase64Encoded": is_base64,
    }
