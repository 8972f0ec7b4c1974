"""The notes service: which request gets which response. It knows HTTP, but not who delivers it."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import TypeAlias
from urllib.parse import quote

from .messages import HttpError, Request, Response, percent_decode
from .note import MAX_TAGS, Note, check_name, check_tag
from .table import NotesTable

Methods: TypeAlias = Mapping[str, Callable[[Request], Response]]

# How lists are limited and sorted: the default, the pattern of what is allowed, and its description.
_PREFERENCES = {
    "limit": ("20", "[1-9][0-9]?|100", "1 to 100"),
    "sort": ("newest", "newest|oldest", "'newest' or 'oldest'"),
}
_LISTED = ("name", "path", "content_type", "tags", "size_bytes", "updated_at")
_MEDIA_TYPE = re.compile(r"[!-~]+/[ -~]+")  # printable ASCII, so that it can be sent back in a header


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True)
class NotesService:
    """The resources of the service and their methods.

    Args:
        notes: The table with the notes.
        now: Returns the time.
    """

    notes: NotesTable
    now: Callable[[], str] = _now

    def answer(self, request: Request) -> Response:
        """Answer a request.

        Raises:
            HttpError: The request gets an error response.
        """
        methods = self._resource(request)
        method = "GET" if request.method == "HEAD" else request.method
        if method in methods:
            return methods[method](request)
        allow = ", ".join(sorted({*methods, "OPTIONS", *({"HEAD"} if "GET" in methods else ())}))
        if method == "OPTIONS":
            return Response(status=HTTPStatus.NO_CONTENT, headers={"Allow": allow})
        detail = f"{request.path!r} takes {allow}"
        raise HttpError(HTTPStatus.METHOD_NOT_ALLOWED, detail, {"Allow": allow})

    def _resource(self, request: Request) -> Methods:
        match request.segments():
            case ["health"]:
                return {"GET": self.health}
            case ["notes"]:
                return {"GET": self._list}
            case ["notes", name] if name:
                handlers = {"DELETE": self._delete, "GET": self._read, "PUT": self._write}
                return {method: partial(handle, name=check_name(name)) for method, handle in handlers.items()}
            case ["preferences"]:
                return {"PUT": self._prefer}
        raise HttpError(HTTPStatus.NOT_FOUND, f"there is nothing at {request.path!r}")

    def health(self, _: Request) -> Response:
        """``GET /health``: the function works. The table is not checked: no other target could do better."""
        return _json({"status": "ok"})

    def _list(self, request: Request) -> Response:
        """``GET /notes?tag=a&tag=b&limit=20&sort=oldest``: notes that have all of the tags."""
        limit, newest_first = int(_preference(request, "limit")), _preference(request, "sort") == "newest"
        tags = sorted({check_tag(tag) for tag in request.parameters("tag")})
        if len(tags) > MAX_TAGS:
            detail = f"{len(tags)} tags: a note has at most {MAX_TAGS}, so give no more"
            raise HttpError(HTTPStatus.BAD_REQUEST, detail)
        notes = self.notes.list(tags, limit=limit, newest_first=newest_first)
        return _json({"notes": [{field: getattr(note, field) for field in _LISTED} for note in notes]})

    def _read(self, request: Request, name: str) -> Response:
        """``GET /notes/NAME``: the content as it was sent; compressed, if the client accepts that."""
        note = self.notes.get(name)
        if note is None:
            raise _missing(name)
        headers: dict[str, str | list[str]] = {
            "Content-Type": note.content_type,
            # A note may be a page with a script, in the same origin as all other notes.
            "Content-Security-Policy": "sandbox",
            "Cache-Control": "no-cache",
            "Vary": "Accept-Encoding",
        }
        if note.tags:
            headers["Note-Tag"] = [quote(tag) for tag in note.tags]
        if _accepts_gzip(request):
            return Response(headers={**headers, "Content-Encoding": "gzip"}, body=note.zipped)
        return Response(headers=headers, body=note.content)

    def _write(self, request: Request, name: str) -> Response:
        """``PUT /notes/NAME``: store the body, of any media type; ``Note-Tag`` headers hold its tags."""
        _check_unconditional(request)
        coding = request.header("content-encoding").lower()
        if coding not in ("", "identity"):
            detail = f"the body is encoded with {coding}: send it without encoding"
            raise HttpError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, {"Accept-Encoding": "identity"})
        content_type = request.header("content-type").strip() or "application/octet-stream"
        if len(content_type) > 255 or not _MEDIA_TYPE.fullmatch(content_type):
            raise HttpError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"{content_type!r} is not a media type")
        tags = [percent_decode(tag) for tag in request.elements("note-tag")]
        note = Note.make(name, request.body, content_type, tags, now=self.now())
        if self.notes.put(note):
            return Response(status=HTTPStatus.CREATED, headers={"Location": note.path})
        return Response(status=HTTPStatus.NO_CONTENT)

    def _delete(self, request: Request, name: str) -> Response:
        """``DELETE /notes/NAME``."""
        _check_unconditional(request)
        if not self.notes.delete(name):
            raise _missing(name)
        return Response(status=HTTPStatus.NO_CONTENT)

    def _prefer(self, request: Request) -> Response:
        """``PUT /preferences?limit=5&sort=oldest``: set cookies with this client's defaults for lists."""
        secure = "; Secure" if request.header("x-forwarded-proto") == "https" else ""
        attributes = f"Path=/notes; Max-Age=31536000; HttpOnly; SameSite=Lax{secure}"
        cookies = [
            f"{name}={_preference(request, name)}; {attributes}"
            for name in _PREFERENCES
            if request.parameters(name)
        ]
        return Response(status=HTTPStatus.NO_CONTENT, headers={"Set-Cookie": cookies} if cookies else {})


def _check_unconditional(request: Request) -> None:
    """Notes have no ETag, so no condition on one can hold; without an error the client would lose an update.

    https://www.rfc-editor.org/rfc/rfc9110.html#section-13.1.1

    Raises:
        HttpError: There is a condition.
    """
    for name in ("If-Match", "If-None-Match", "If-Unmodified-Since"):
        if request.header(name.lower()):
            detail = f"{name}: notes have no versions to compare with; send the request without it"
            raise HttpError(HTTPStatus.PRECONDITION_FAILED, detail)


def _preference(request: Request, name: str) -> str:
    default, allowed, choices = _PREFERENCES[name]
    for value in request.parameters(name)[-1:]:
        if not re.fullmatch(allowed, value):
            raise HttpError(HTTPStatus.BAD_REQUEST, f"{name}={value[:20]!r}: give {choices}")
        return value
    # Another application of the domain may have set a cookie of this name: what is not allowed is not ours.
    # Clients send the cookie with the longest path first.
    ours = (value for cookie, value in request.cookies if cookie == name and re.fullmatch(allowed, value))
    return next(ours, default)


def _json(value: object) -> Response:
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return Response(headers=headers, body=json.dumps(value).encode())


def _missing(name: str) -> HttpError:
    return HttpError(HTTPStatus.NOT_FOUND, f"there is no note {name!r}")


def _accepts_gzip(request: Request) -> bool:
    for element in request.elements("accept-encoding"):
        coding, _, weight = element.lower().replace(" ", "").partition(";q=")
        if coding == "gzip":
            return weight.strip("0.") != "" or weight == ""
    return False
