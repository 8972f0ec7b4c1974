"""Requests reach APIs as clients send them, whatever their path.

The emulator answers some paths itself (`/health`, `/oauth2/...`), joins repeated headers, and knows only the
APIs of the account of the caller.

    request -> gate of the server -> this front -> HTTP API | REST API

Faithful to: a request whose Host header is the name of an API, `ID.execute-api.REGION.amazonaws.com`, goes to
that API with its header lines and its query string as they are, in whichever account it is. Over 10,240 bytes
of request line and headers it is status 431, and over 10 MB of body 413. No route and no method serves an
HTTP method that `ANY` does not stand for.
Not to: the status of too many headers, and its body, which AWS does not document; the case of header names,
which the server does not see: they are in lower case, as over HTTP/2.

https://docs.aws.amazon.com/apigateway/latest/developerguide/how-to-method-settings-method-request.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-execution-service-limits-table.html
"""

from __future__ import annotations

import importlib
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from ministack.core.iam_evaluator import AuthError
from ministack.core.responses import set_request_account_id
from ministack.core.sigv4 import decode_header_value
from ministack.services import apigateway, apigateway_v1

from localaws.patching import around
from localaws.server.signatures import Request, wrong_scope

logger = logging.getLogger("localaws.apigateway")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
Response = tuple[int, dict[str, Any], Any]

_NAME = re.compile(r"(?P<api>[a-z0-9]+)\.execute-api\.(?P<region>[a-z0-9-]+)\.amazonaws\.com")
#: What `ANY` stands for.
METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
MAX_HEADER_BYTES = 10_240
MAX_BODY_BYTES = 10_485_760


@dataclass
class ClientRequest:
    """A request of a client.

    Attributes:
        headers: Name in lower case and value of each line, in order.
        path: As in the request line, percent-encoded.
        query: The query string, percent-encoded.
        host: The Host header, without its port.
        source_ip: The address of the client.
        protocol: `HTTP/1.1` or `HTTP/2.0`.
        denied: What a caller with a wrong signature or without permission gets where IAM decides.
        epoch: When it came, in seconds.
        started: The same, to measure by.
    """

    headers: tuple[tuple[str, str], ...]
    path: str
    query: str
    host: str
    source_ip: str = "127.0.0.1"
    protocol: str = "HTTP/1.1"
    denied: Response | None = None
    epoch: float = field(default_factory=time.time)
    started: float = field(default_factory=time.monotonic)

    @property
    def header_bytes(self) -> int:
        """The size of the request line and the headers."""
        line = len(self.path) + len(self.query)
        return line + sum(len(name) + len(value.encode()) for name, value in self.headers)

    def header(self, name: str) -> str:
        """The value of a header; empty if there is none."""
        return ", ".join(value for key, value in self.headers if key == name.lower())


#: The current request, if it is for an API.
current: ContextVar[ClientRequest | None] = ContextVar("localaws_api_request", default=None)


def owner_of(api: str) -> tuple[str, str] | None:
    """The account and Region of an API."""
    for store in (apigateway._apis, apigateway_v1._rest_apis):
        for (account, region, found), _ in store.all_items():
            if found == api:
                return account, region
    return None


def message(status: int, text: str, **headers: str) -> Response:
    """A response of API Gateway itself."""
    body = json.dumps({"message": text}, separators=(",", ":")).encode()
    return status, {"Content-Type": "application/json", **headers}, body


@around("ministack.app", "app", after=["elbv2.requests"])
async def _app(stock: Application, scope: Message, receive: Receive, send: Send) -> None:
    host = dict(scope.get("headers", ())).get(b"host", b"").decode("latin-1").lower()
    api = _api_of(host, scope.get("path", "")) if scope["type"] == "http" else None
    if api is None:
        await stock(scope, receive, send)
        return
    if owner := owner_of(api):
        set_request_account_id(owner[0])  # that of the caller, if there is a signature
    request = ClientRequest(
        headers=tuple(
            (name.decode("latin-1").lower(), decode_header_value(value)) for name, value in scope["headers"]
        ),
        path=scope["raw_path"].decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        host=host.partition(":")[0],
        source_ip=(scope.get("client") or ("127.0.0.1",))[0],
        protocol="HTTP/2.0" if scope.get("http_version") == "2" else "HTTP/1.1",
    )
    token = current.set(request)
    try:
        await stock(scope, receive, send)
    finally:
        current.reset(token)


def _api_of(host: str, path: str) -> str | None:
    emulator: Any = importlib.import_module("ministack.app")
    if match := emulator._EXECUTE_API_RE.match(host):
        return str(match[1])
    mapped = emulator._resolve_custom_domain_request(host, path)
    return str(mapped[0]) if mapped else None


@around("ministack.app", "_handle_pre_body_request")
@around("ministack.app", "_handle_post_body_shortcuts")
async def _shortcuts(stock: Callable[..., Awaitable[Any]], *args: Any, **more: Any) -> Any:
    """Requests that the emulator recognises by their path: none of those for an API."""
    return await stock(*args, **more) if current.get() is None else None


@around("ministack.app", "_handle_special_data_plane_request")
async def _data_plane(
    stock: Callable[..., Awaitable[Any]],
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query_params: dict[str, list[str]],
    request_id: str,
    *args: Any,
    **more: Any,
) -> Any:
    request = current.get()
    if request is None:
        return await stock(method, path, headers, body, query_params, request_id, *args, **more)
    emulator: Any = importlib.import_module("ministack.app")
    if _is_elsewhere(request.host):
        return message(404, "Not Found")
    response: Response | None = await emulator._handle_execute_api_request(
        headers.get("host", "").lower(),
        path,
        method,
        headers,
        body,
        query_params,
        raw_path=request.path,
        raw_query_string=request.query,
    )
    if response is None:
        response = message(404, "Not Found")
    if not {"apigw-requestid", "x-amzn-requestid"} & {name.lower() for name in response[1]}:
        response[1]["x-amzn-requestid"] = request_id
    if method == "HEAD" and isinstance(response[2], bytes):
        return response[0], {**response[1], "Content-Length": str(len(response[2]))}, b""
    return response


def _is_elsewhere(host: str) -> bool:
    """Whether the API that a name of AWS names is in another Region."""
    named = _NAME.fullmatch(host)
    owner = owner_of(named["api"]) if named else None
    return named is not None and owner is not None and owner[1] != named["region"]


@around([apigateway, apigateway_v1], "handle_execute")
async def _handle_execute(stock: Callable[..., Awaitable[Response]], *args: Any, **more: Any) -> Response:
    """The last line of defence: the emulator answers with the text of what went wrong inside."""
    try:
        return await stock(*args, **more)
    except Exception:
        logger.exception("500 from an API")
        return message(500, "Internal Server Error")


@around("ministack.app", "_enforce_execute_api")
def _enforce(
    stock: Callable[..., Response | None],
    api_id: str,
    stage: str,
    method: str,
    execute_path: str,
    headers: Any,
    query_params: Any,
    iam_action: str = "execute-api:Invoke",
) -> Response | None:
    """Let the API refuse the caller, where it is known what a refusal looks like."""
    denied = stock(api_id, stage, method, execute_path, headers, query_params, iam_action=iam_action)
    request = current.get()
    if request is None or iam_action != "execute-api:Invoke":
        return denied
    request.denied = _out_of_scope(request, api_id, stage, method, headers, query_params) or denied
    return None


def _out_of_scope(
    request: ClientRequest, api: str, stage: str, method: str, headers: Any, query_params: Any
) -> Response | None:
    """What a caller gets who signed for another service or Region."""
    owner = owner_of(api)
    sent = Request(method, request.path, request.query, dict(request.headers))
    wrong = wrong_scope(sent, "execute-api", owner[1]) if owner else None
    if wrong is None:
        return None
    error = AuthError(wrong.code, wrong.message)
    answer: Response | None = apigateway_v1.authentication_error_response(
        api, stage, error, headers, query_params
    )
    return answer or message(403, "Forbidden")
