"""What every front does with an event: read the request, answer it, write the response.

Every failure becomes a response, because a front turns an exception of the function into a bare 5xx. Requests
are idempotent, so a client may repeat them.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeAlias

from aws_lambda_powertools.logging import Logger

from .messages import HttpError, Request, Response, problem

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Front:
    """A front, such as a load balancer, as the function sees it.

    Args:
        name: What clients read in an error: "a load balancer".
        read_request: Reads the front's event.
        write_response: Writes the front's response; all of its strings must be ASCII.
        max_response_bytes: How large a response may be as JSON.
        logger: Takes a line for each request.
    """

    name: str
    read_request: Callable[[Json], Request]
    write_response: Callable[[Response, Json], Json]
    max_response_bytes: int
    logger: Logger

    def answer(self, event: Json, context: "LambdaContext", answer: Callable[[Request], Response]) -> Json:
        """Return the front's response to an event.

        Args:
            event: The event.
            context: The context of the invocation.
            answer: Answers a request, or raises an ``HttpError``.
        """
        request_id = context.aws_request_id
        written = self._write(self._response(event, request_id, answer), event)
        size = len(json.dumps(written))
        if size > self.max_response_bytes:
            self.logger.error("response too large", size=size, limit=self.max_response_bytes)
            too_large = HttpError(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                f"the response would be {size:,} bytes of JSON, and {self.name} accepts at most "
                f"{self.max_response_bytes:,}; request it with 'Accept-Encoding: gzip'",
            )
            written = self._write(problem(too_large, request_id), event)
        self.logger.info("answered", status=written["statusCode"])
        return written

    def _response(self, event: Json, request_id: str, answer: Callable[[Request], Response]) -> Response:
        try:
            request = self.read_request(event)
            self.logger.append_keys(method=request.method)
            return answer(request)
        except HttpError as error:
            return problem(error, request_id)
        except Exception:
            self.logger.exception("request failed")
            return problem(HttpError(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error"), request_id)

    def _write(self, response: Response, event: Json) -> Json:
        headers = {"X-Content-Type-Options": "nosniff", **response.headers}
        return self.write_response(replace(response, headers=headers), event)
