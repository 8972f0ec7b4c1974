"""What a request can come to that is no success, each with its HTTP status.

The text of an error is for the client: it says what was wrong with the request, and nothing of what is
inside.
"""

from collections.abc import Mapping
from http import HTTPStatus


class HttpError(Exception):
    """The request is answered with an error.

    Args:
        detail: What was given, what is allowed, what to do.
        headers: Headers that belong to the status, such as ``Allow``.
    """

    status: HTTPStatus

    def __init_subclass__(cls, *, status: HTTPStatus) -> None:
        cls.status = status

    def __init__(self, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = dict(headers or {})


class BadRequest(HttpError, status=HTTPStatus.BAD_REQUEST):
    """The request is malformed."""


class NotFound(HttpError, status=HTTPStatus.NOT_FOUND):
    """There is nothing under this path."""


class MethodNotAllowed(HttpError, status=HTTPStatus.METHOD_NOT_ALLOWED):
    """What is under this path cannot do that."""


class Conflict(HttpError, status=HTTPStatus.CONFLICT):
    """There is already something where the request would make something new."""


class PreconditionFailed(HttpError, status=HTTPStatus.PRECONDITION_FAILED):
    """What the client thinks is there is not what is there."""


class ContentTooLarge(HttpError, status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE):
    """The body is larger than what is kept."""


class UnsupportedMediaType(HttpError, status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE):
    """The body is of a kind that this path does not take."""


class UnprocessableContent(HttpError, status=HTTPStatus.UNPROCESSABLE_ENTITY):
    """The body is well-formed and says something impossible."""


class ServiceUnavailable(HttpError, status=HTTPStatus.SERVICE_UNAVAILABLE):
    """It may work in a moment."""
