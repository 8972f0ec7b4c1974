"""HTTP request → Application Load Balancer → a service that stores notes in DynamoDB."""

import os
from typing import TYPE_CHECKING, Any

from notes.messages import Request, Response
from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger

    from notes.front import Front
    from notes.service import NotesService
    from notes.table import NotesTable

    from . import alb

    logger = Logger()
    front = Front(
        name="a load balancer",
        read_request=alb.read_request,
        write_response=alb.write_response,
        max_response_bytes=alb.MAX_RESPONSE_BYTES,
        logger=logger,
    )
    service = NotesService(NotesTable.from_environment(os.environ))

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Answer a request."""
    return front.answer(event, context, _answer)


def _answer(request: Request) -> Response:
    return service.health(request) if alb.is_health_check(request) else service.answer(request)
