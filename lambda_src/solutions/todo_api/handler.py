"""REST API with a Cognito authorizer → (DAX →) the notes of the user who calls, in DynamoDB.

Whose notes a request is about comes from the verified token only: no path, header or body can name another
user.
"""

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger

    from notes import payload_v1
    from notes.front import Front
    from notes.service import NotesService
    from notes.table import NotesTable

    logger = Logger()
    front = Front(
        name="a REST API",
        read_request=payload_v1.read_request,
        write_response=payload_v1.write_response,
        max_response_bytes=payload_v1.MAX_RESPONSE_BYTES,
        logger=logger,
    )
    notes = NotesTable.from_environment(os.environ)
    if endpoint := os.environ.get("DAX_ENDPOINT"):
        from amazondax import AmazonDaxClient  # type: ignore[import-not-found]  # of the layer

        # It writes through the cache, so a user reads what was written before.
        notes = replace(notes, client=AmazonDaxClient(endpoint_url=endpoint), consistent=False)

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Answer a request of a user.

    Raises:
        KeyError: The method has no Cognito authorizer, so nothing says whose notes are meant.
        ValueError: The token names no user. Without an owner, the table would have the notes of all.
    """
    # The id of the user, which never changes and is never given to another one.
    # https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-id-token.html
    owner = event["requestContext"]["authorizer"]["claims"]["sub"]
    if not isinstance(owner, str) or not owner:
        raise ValueError(f"claims.sub is {owner!r}, and not the id of a user; no note is read or written")
    return front.answer(event, context, NotesService(replace(notes, owner=owner)).answer)
