"""HTTP request → load balancer → a service that keeps notes in DynamoDB.

Nothing here depends on an earlier invocation, and a request that comes twice has no second effect, as HTTP
asks of every method but POST: ``POST /notes`` without a name makes another note each time; ``PUT`` is the way
to retry.
"""

# through all of it again and again takes a third of the start.
import gc

gc.disable()

import os
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeAlias

import alb
from aws_lambda_powertools.event_handler import ALBResolver, CORSConfig, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.logging import Logger
from errors import HttpError, MethodNotAllowed, NotFound
from replies import Reply, as_problem, to_response
from service import NotesService
from settings import Settings
from table import NotesTable, make_client

if TYPE_CHECKING:
    from aws_lambda_powertools.event_handler.middlewares import NextMiddleware
    from aws_lambda_powertools.utilities.typing import LambdaContext

Answer: TypeAlias = Response[Any]

_HEALTH_CHECKER = "ELB-HealthChecker/"
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


def _cors(origins: tuple[str, ...]) -> CORSConfig | None:
    if not origins:
        return None
    return CORSConfig(
        allow_origin=origins[0],
        extra_origins=list(origins[1:]),
        allow_headers=["If-Match", "If-None-Match", "Note-Tag"],
        expose_headers=["ETag", "Link", "Location", "Note-Tag"],
        max_age=600,
    )


settings = Settings.from_environment(os.environ)
logger = Logger()
app = ALBResolver(cors=_cors(settings.cors_origins))
service = NotesService(NotesTable(make_client(), settings.table_name, settings.index_name))

gc.freeze()  # all of this stays as long as the process
gc.enable()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Answer a request; what goes wrong becomes an answer too, because an exception is a bare 502."""
    try:
        response = _answer(event, context.aws_request_id, context)
        size = alb.size_of(response)
        if size <= alb.MAX_RESPONSE_BYTES:
            return response
        logger.error("the response is too large", size=size, limit=alb.MAX_RESPONSE_BYTES)
        detail = (
            f"the response would take {size:,} bytes, and a load balancer passes on at most "
            f"{alb.MAX_RESPONSE_BYTES:,}; ask for it with 'Accept-Encoding: gzip'"
        )
    except Exception:
        logger.exception("this is no event of a load balancer, or a mistake of the service")
        detail = "something went wrong here"
    failure = as_problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail, context.aws_request_id)
    return _write(to_response(failure, None), event)


def _answer(event: dict[str, Any], request_id: str, context: "LambdaContext") -> dict[str, Any]:
    method = event["httpMethod"].upper()
    # What can be asked for can be asked for without its body, which `to_response` leaves out.
    routed = {**event, "httpMethod": "GET" if method == "HEAD" else method}
    if alb.is_multi_value(event):  # the resolver tells the modes apart by whether there is a header
        routed["multiValueHeaders"] = event["multiValueHeaders"] or {"host": [""]}
    app.context.update(event=event, request_id=request_id)
    response = app.resolve(routed, context)
    logger.info("answered", method=method if method in _METHODS else "other", status=response["statusCode"])
    return alb.with_description(response)


def _write(response: Answer, event: object) -> dict[str, Any]:
    """Write a response out without the resolver."""
    if isinstance(event, dict) and alb.is_multi_value(event):
        fields: dict[str, Any] = {
            "multiValueHeaders": {name: [value] for name, value in response.headers.items()}
        }
    else:
        fields = {"headers": response.headers}
    return alb.with_description(
        {
            "statusCode": response.status_code,
            "isBase64Encoded": response.base64_encoded,
            "body": response.body,
            **fields,
        }
    )


def respond(app: ALBResolver, next_middleware: "NextMiddleware") -> Answer:
    """Read the request and do what is done for every request; what goes wrong becomes a response."""
    return _varying_by_origin(_respond(app, next_middleware))


def _respond(app: ALBResolver, next_middleware: "NextMiddleware") -> Answer:
    request, request_id = None, app.context["request_id"]
    try:
        request = alb.Request.from_event(app.context["event"])
        app.context.update(request=request)
        if request.header("user-agent").startswith(_HEALTH_CHECKER):
            return to_response(service.health(request), request)
        return next_middleware(app)
    except HttpError as error:
        return to_response(as_problem(error.status, error.detail, request_id, error.headers), request)
    except Exception:
        logger.exception("a request failed")
        reply = as_problem(HTTPStatus.INTERNAL_SERVER_ERROR, "something went wrong here", request_id)
        return to_response(reply, request)


def _varying_by_origin(response: Answer) -> Answer:
    """Tell caches that the resolver's answer to one origin is not that to another."""
    if settings.cors_origins and settings.cors_origins != ("*",):
        given = response.headers.get("Vary", [])
        lines = [given] if isinstance(given, str) else given
        response.headers["Vary"] = ", ".join([*lines, "Origin"])
    return response


@app.not_found
def no_route(_: NotFoundError) -> Answer:
    """Tell what is not there from what cannot do that."""
    request: alb.Request = app.context["request"]
    methods = {
        method
        for rule, methods in service.routes.items()
        if re.fullmatch(re.sub(r"<\w+>", "[^/]+", rule), request.path)
        for method in methods
    }
    if not methods:
        raise NotFound(f"there is nothing under {request.path!r}; GET / says what there is")
    allow = ", ".join(sorted(methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())))
    if request.method != "OPTIONS":
        raise MethodNotAllowed(f"{request.path!r} takes {allow}", {"Allow": allow})
    return to_response(Reply(HTTPStatus.NO_CONTENT, headers={"Allow": allow}), request)


def _call(reply_to: Callable[..., Reply]) -> Callable[..., Answer]:
    def call(**segments: str) -> Answer:
        request: alb.Request = app.context["request"]
        decoded = {name: alb.decode(segment) for name, segment in segments.items()}
        return to_response(reply_to(request, **decoded), request)

    return call


app.use(middlewares=[respond])
for rule, methods in service.routes.items():
    for method, reply_to in methods.items():
        app.route(rule, method=method)(_call(reply_to))
