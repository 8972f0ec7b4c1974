"""HTTP request → Application Load Balancer → a service that stores notes in DynamoDB.

Every failure becomes a response, because the load balancer turns an exception into a bare 502. Requests are
idempotent, so a client may repeat them.
"""

import os
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from shared import environment
from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger

    from shared.clients import make_quick_client

    from . import alb
    from .messages import HttpError, Response, problem
    from .service import NotesService
    from .table import NotesTable

    logger = Logger()
    # A client waits: better a quick error than a slow response.
    service = NotesService(
        NotesTable(
            make_quick_client("dynamodb"),
            environment.read(os.environ, "TABLE_NAME", environment.name),
            environment.read(os.environ, "INDEX_NAME", environment.name),
        )
    )

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Answer a request."""
    request_id = context.aws_request_id
    written = alb.write_response(_answer(event, request_id), event)
    size = alb.size_of(written)
    if size > alb.MAX_RESPONSE_BYTES:
        logger.error("response too large", size=size, limit=alb.MAX_RESPONSE_BYTES)
        too_large = HttpError(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            f"the response would be {size:,} bytes of JSON, and a load balancer accepts at most "
            f"{alb.MAX_RESPONSE_BYTES:,}; request it with 'Accept-Encoding: gzip'",
        )
        written = alb.write_response(problem(too_large, request_id), event)
    logger.info("answered", status=written["statusCode"])
    return written


def _answer(event: dict[str, Any], request_id: str) -> Response:
    try:
        request = alb.read_request(event)
        logger.append_keys(method=request.method)
        response = service.health(request) if alb.is_health_check(request) else service.answer(request)
    except HttpError as error:
        response = problem(error, request_id)
    except Exception:
        logger.exception("request failed")
        failure = HttpError(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error")
        response = problem(failure, request_id)
    return replace(response, headers={"X-Content-Type-Options": "nosniff", **response.headers})
