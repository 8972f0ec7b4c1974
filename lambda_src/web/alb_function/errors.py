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

    status = HTTPStatus.INTERNAL_SERVER_ERROR

    def __init__(self, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = dict(headers or {})


class BadRequest(HttpError):  # noqa: N818 - named as HTTP names it, like all of these
    """The request is malformed."""

    status = HTTPStatus.BAD_REQUEST


class NotFound(HttpError):  # noqa: N818
    """There is nothing under this path."""

    status = HTTPStatus.NOT_FOUND


class MethodNotAllowed(HttpError):  # noqa: N818
    """What is under this path cannot do that."""

    status = HTTPStatus.METHOD_NOT_ALLOWED


class Conflict(HttpError):  # noqa: N818
    """There is already something where the request would make something new."""

    status = HTTPStatus.CONFLICT


class PreconditionFailed(HttpError):  # noqa: N818
    """What the client thinks is there is not what is there."""

    status = HTTPStatus.PRECONDITION_FAILED


class ContentTooLarge(HttpError):  # noqa: N818
    """The body is larger than what is kept."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class UnsupportedMediaType(HttpError):  # noqa: N818
    """The body is of a kind that this path does not take."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class UnprocessableContent(HttpError):  # noqa: N818
    """The body is well-formed and says something impossible."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class ServiceUnavailable(HttpError):  # noqa: N818
    """It may work in a moment."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
