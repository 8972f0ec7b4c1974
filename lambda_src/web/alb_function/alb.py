"""HTTP ⇄ the JSON that an Application Load Balancer exchanges with a function.

A target group has two modes. With multi-value headers, headers and query parameters are lists
(``multiValueHeaders``, ``multiValueQueryStringParameters``), and the response must use lists too. Without,
they are single strings (``headers``, ``queryStringParameters``), and of a header or parameter that a client
sent twice only the last value arrives. In both modes path and query string arrive percent-encoded, as the
client sent them.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from notes.bodies import decode_parameter, read_body, write_body
from notes.messages import Request, Response

Json: TypeAlias = dict[str, Any]

# The limit applies to the whole response as JSON, not to the body.
MAX_RESPONSE_BYTES = 1024 * 1024


def is_multi_value(event: object) -> bool:
    """Whether the event comes from a target group with multi-value headers."""
    return isinstance(event, dict) and "multiValueHeaders" in event


# --- Request


def read_request(event: Json) -> Request:
    """Read the event of a load balancer.

    Raises:
        HttpError: 400, the query string or the body cannot be decoded.
    """
    return Request(
        method=event["httpMethod"].upper(),
        path=event["path"],
        query=[
            (decode_parameter(name), decode_parameter(value))
            for name, value in _pairs(event, "QueryStringParameters")
        ],
        headers=_read_headers(event),
        body=read_body(event),
    )


def is_health_check(request: Request) -> bool:
    """Whether the load balancer itself sent the request, to any path that its health check is set to.

    Its health checks have no other header. A client that sends the same one is not taken for it: the load
    balancer adds headers to the requests of clients.
    """
    agent = request.header("user-agent")
    is_own = request.headers.keys() == {"user-agent"} and agent.startswith("ELB-HealthChecker/")
    return is_own and request.method == "GET"


def _pairs(event: Json, field: str) -> Iterator[tuple[str, str]]:
    """Names and values of the field for the mode, such as ``headers`` or ``multiValueHeaders``."""
    if is_multi_value(event):
        for name, values in (event.get(f"multiValue{field}") or {}).items():
            yield from ((name, value) for value in values)
    else:
        yield from (event.get(field[0].lower() + field[1:]) or {}).items()


def _read_headers(event: Json) -> dict[str, list[str]]:
    headers: dict[str, list[str]] = {}
    for name, value in _pairs(event, "Headers"):
        headers.setdefault(name.lower(), []).append(value)
    return headers


# --- Response


def write_response(response: Response, event: object) -> Json:
    """Return the JSON of a response, in the mode of the event's target group."""
    lines = {name: [value] if isinstance(value, str) else value for name, value in response.headers.items()}
    is_head = isinstance(event, dict) and str(event.get("httpMethod")).upper() == "HEAD"
    body, is_base64 = write_body(b"" if is_head else response.body)
    written: Json = {
        "statusCode": response.status.value,
        "statusDescription": f"{response.status.value} {response.status.phrase}",
        "isBase64Encoded": is_base64,
        "body": body,
    }
    if is_multi_value(event):
        return {**written, "multiValueHeaders": lines}
    return {**written, "headers": one_line_each(lines)}


def one_line_each(headers: Mapping[str, list[str]]) -> dict[str, str]:
    """Join the lines of each header, for a target group without multi-value headers.

    Cookies must not be joined. Each gets a name in different case: a different key in JSON, the same header
    in HTTP. (Mangum and serverless-wsgi send several cookies in this way.)
    """
    single = {name: ", ".join(values) for name, values in headers.items() if name != "Set-Cookie"}
    cookies = headers.get("Set-Cookie", [])
    return {**single, **dict(zip(_cases("set-cookie"), cookies, strict=False))}


def _cases(name: str) -> Iterator[str]:
    letters = [index for index, letter in enumerate(name) if letter.isalpha()]
    for number in range(2 ** len(letters)):
        upper = {index for bit, index in enumerate(letters) if number >> bit & 1}
        yield "".join(letter.upper() if index in upper else letter for index, letter in enumerate(name))
