"""HTTP request → HTTP API or REST API → a service that stores notes in DynamoDB.

One function behind both: an HTTP API sends the payload format 2.0, a REST API 1.0.
"""

import os
from typing import TYPE_CHECKING, Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger

    from notes import payload_v1, payload_v2
    from notes.front import Front
    from notes.service import NotesService
    from notes.table import NotesTable

    logger = Logger()
    rest_api = Front(
        name="a REST API",
        read_request=payload_v1.read_request,
        write_response=payload_v1.write_response,
        max_response_bytes=payload_v1.MAX_RESPONSE_BYTES,
        logger=logger,
    )
    http_api = Front(
        name="an HTTP API",
        read_request=payload_v2.read_request,
        write_response=payload_v2.write_response,
        max_response_bytes=payload_v2.MAX_RESPONSE_BYTES,
        logger=logger,
    )
    service = NotesService(NotesTable.from_environment(os.environ))

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Answer a request."""
    front = http_api if event.get("version") == "2.0" else rest_api
    return front.answer(event, context, service.answer)
