"""HTTPS request → function URL → a service that stores notes in DynamoDB.

Two URLs lead here: everybody may read, and signed callers may write. Lambda itself sets
``requestContext.authorizer.iam``, after it has checked the signature: no client can send it.

https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
"""

import os
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from notes.messages import HttpError, Request, Response
from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger

    from notes import payload_v2
    from notes.front import Front
    from notes.service import NotesService
    from notes.table import NotesTable

    logger = Logger()
    front = Front(
        name="a function URL",
        read_request=payload_v2.read_request,
        write_response=payload_v2.write_response,
        max_response_bytes=payload_v2.MAX_RESPONSE_BYTES,
        logger=logger,
    )
    service = NotesService(NotesTable.from_environment(os.environ))

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

_READING = ("GET", "HEAD", "OPTIONS")


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Answer a request."""
    return front.answer(event, context, partial(_answer, signer_of(event)))


def signer_of(event: dict[str, Any]) -> str | None:
    """The ARN of the principal that signed the request; None behind a URL without authentication."""
    authorizer = event["requestContext"].get("authorizer") or {}
    return (authorizer.get("iam") or {}).get("userArn")


def _answer(signer: str | None, request: Request) -> Response:
    if signer is None and request.method not in _READING:
        detail = f"{request.method} needs a signature: send it to the URL for signed requests"
        raise HttpError(HTTPStatus.FORBIDDEN, detail)
    if signer is not None:
        logger.append_keys(signer=signer)
    return service.answer(request)
