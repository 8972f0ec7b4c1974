"""HTTP request → HTTP API or REST API → a service that stores notes in DynamoDB.

One function behind both: an HTTP API sends the payload format 2.0, a REST API 1.0.
"""

import os
from typing import TYPE_CHECKING, Any

from shared import environment
from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger

    from notes import payload_v1, payload_v2
    from notes.front import Front
    from notes.service import NotesService
    from notes.table import NotesTable
    from shared.clients import make_quick_client

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
    front = http_api if event.get("version") == "2.0" else rest_api
    return front.answer(event, context, service.answer)
