"""Requests reach load balancers as clients send them, whatever their path and headers.

The emulator serves load balancers last: it answers `/health` and `/oauth2/...` itself, removes credentials
from headers that are for the application, joins repeated headers and decodes the path.

Faithful to: a request whose Host header is the DNS name of a load balancer goes to that load balancer, with
its header lines unchanged, and its path and query string not decoded. The port in the Host header selects the
listener, by default 80. Header names with other characters than letters, digits and hyphens are dropped if
the load balancer is configured so. TRACE is refused with 405. An internal load balancer does not answer
clients, nor does one whose security groups admit no addresses to the port: 504 with the reason, where AWS
lets the connection time out. Distributions reach it through a VPC origin (`cloudfront.vpc_origins`).
Not to: WebSocket handshakes are refused with 403 instead of 400. All requests come over TLS, whatever the
protocol of the listener. An unknown load balancer returns 404; in AWS its name does not resolve. Limits of
header sizes are those of the emulator.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-listeners.html
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from ministack.core.responses import set_request_client_ip, set_request_region
from ministack.core.sigv4 import decode_header_value
from ministack.services import alb

from localaws.patching import around
from localaws.services.ec2.admission import Side, may_connect

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
Response = tuple[int, dict[str, Any], Any]

_DNS_NAME = re.compile(r"[^.]+\.(?P<region>[a-z0-9-]+)\.elb\.amazonaws\.com")
_VALID_NAME = re.compile(r"[A-Za-z0-9-]+")
_DEFAULT_PORTS = {"HTTP": "80", "HTTPS": "443"}


@dataclass(frozen=True)
class ClientRequest:
    """A request of a client.

    Attributes:
        headers: Name in lower case and value of each line, in order.
        path: As in the request line, percent-encoded.
        query: The query string, percent-encoded.
        idle_timeout: How many seconds the load balancer waits for the target.
    """

    headers: tuple[tuple[str, str], ...]
    path: str
    query: str
    idle_timeout: float = 60


#: The current request, if it is for a load balancer.
current: ContextVar[ClientRequest | None] = ContextVar("localaws_alb_request", default=None)


def error_page(status: int, reason: str) -> Response:
    """The response that a load balancer generates for an error; it does not give the reason."""
    title = f"{status} {reason}"
    body = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
    return status, {"Content-Type": "text/html"}, f"{body}</body>\r\n</html>\r\n".encode()


@around("ministack.app", "app")
async def _app(stock: Application, scope: Message, receive: Receive, send: Send) -> None:
    emulator: Any = importlib.import_module("ministack.app")
    host = dict(scope.get("headers", ())).get(b"host", b"").decode("latin-1").lower()
    name, _, port = host.partition(":")
    match = _DNS_NAME.fullmatch(name)
    if scope["type"] != "http" or match is None:
        await stock(scope, receive, send)
        return
    async with emulator._get_reset_lock():  # no request is served during a reset
        pass
    set_request_region(match["region"])
    response = await _respond(scope, await _read(receive), name, port)
    if scope["method"] == "HEAD" and isinstance(response[2], bytes):
        response = (response[0], {**response[1], "Content-Length": str(len(response[2]))}, b"")
    await emulator._send_if_handled(emulator._with_date_header(send), response, receive)


async def _read(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _respond(scope: Message, body: bytes, name: str, port: str) -> Response:
    balancer = alb.find_lb_for_host(name)
    if balancer is None:
        return error_page(404, "Not Found")
    if scope["method"] == "TRACE":
        return error_page(405, "Method Not Allowed")
    listens_on = int(port) if port.isdecimal() else 80
    if reason := _closed_to_clients(balancer, listens_on):
        return 504, {"Content-Type": "text/plain"}, f"{reason} On AWS, the connection times out.\n".encode()
    client = (scope.get("client") or ("127.0.0.1",))[0]
    set_request_client_ip(client)
    request = ClientRequest(
        headers=tuple(_headers(scope, balancer, name, port)),
        path=scope["raw_path"].decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        idle_timeout=float(_attribute(balancer, "idle_timeout.timeout_seconds", "60")),
    )
    token = current.set(request)
    try:
        response: Response = await alb.dispatch_request(
            balancer,
            scope["method"],
            request.path,
            dict(request.headers),
            body,
            parse_qs(request.query, keep_blank_values=True),
            listens_on,
            client_ip=client,
            raw_query_string=request.query,
            raw_path=request.path,
        )
    finally:
        current.reset(token)
    return response


def _closed_to_clients(balancer: dict[str, Any], port: int) -> str | None:
    """Why a client outside the VPC gets no connection; None if it gets one."""
    name = balancer["LoadBalancerName"]
    if balancer.get("Scheme") == "internal":
        return f"The load balancer {name} is internal: only its VPC, and CloudFront's VPC origins, reach it."
    groups = balancer.get("SecurityGroups") or ()
    if may_connect(Side(is_client=True), Side(groups=groups), port):
        return None
    return f"No security group of the load balancer {name} admits addresses to port {port}."


def _headers(scope: Message, balancer: dict[str, Any], name: str, port: str) -> Iterator[tuple[str, str]]:
    valid_only = _attribute(balancer, "routing.http.drop_invalid_header_fields.enabled", "false") == "true"
    for raw_name, value in scope["headers"]:
        header = raw_name.decode("latin-1").lower()
        if header == "host" and port in _DEFAULT_PORTS.values():
            yield header, name  # clients omit the default port
        elif _VALID_NAME.fullmatch(header) or not valid_only:
            yield header, decode_header_value(value)


def _attribute(balancer: dict[str, Any], key: str, default: str) -> str:
    value: str = alb._lb_attr(balancer["LoadBalancerArn"], key, default)
    return value
