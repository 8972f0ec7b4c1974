"""The notes service: which request gets which response. It knows HTTP, but not who delivers it."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import TypeAlias
from urllib.parse import quote

from .messages import HttpError, Request, Response, percent_decode
from .notes import Note, check_name, check_tag
from .table import NotesTable

Methods: TypeAlias = Mapping[str, Callable[[Request], Response]]

_DEFAULTS = {"limit": "20", "sort": "newest"}
_MEDIA_TYPE = re.compile(r"[!-~]+/[ -~]+")  # printable ASCII, so that it can be sent back in a header
_ORIGIN = re.compile(r"\*|https?://[^/\s,]+")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True)
class NotesService:
    """The resources of the service and their methods.

    Args:
        notes: The table with the notes.
        cors_origins: Origins whose pages may use the service in a browser; ``"*"`` for any.
        now: Returns the time.
    """

    notes: NotesTable
    cors_origins: Sequence[str] = ()
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
        allow = ", ".join(_allowed(methods))
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
                return {method: partial(handle, name=name) for method, handle in handlers.items()}
            case ["preferences"]:
                return {"PUT": self._prefer}
        raise HttpError(HTTPStatus.NOT_FOUND, f"there is nothing at {request.path!r}")

    # --- The methods

    def health(self, _: Request) -> Response:
        """``GET /health``: the function works. The table is not checked: no other target could do better."""
        return _json({"status": "ok"})

    def _list(self, request: Request) -> Response:
        """``GET /notes?tag=a&tag=b&limit=20&sort=oldest``: notes that have all of the tags."""
        limit, sort = _preferences({**_DEFAULTS, **request.cookies, **dict(request.query)})
        tags = [check_tag(tag) for tag in request.parameters("tag")]
        notes = self.notes.list(tags, limit=limit, newest_first=sort == "newest")
        return _json({"notes": [_describe(note) for note in notes]})

    def _read(self, request: Request, name: str) -> Response:
        """``GET /notes/NAME``: the content as it was sent; compressed, if the client accepts that."""
        note = self.notes.get(check_name(name))
        if note is None:
            raise _missing(name)
        headers: dict[str, str | list[str]] = {
            "Content-Type": note.content_type,
            # A note may be a page with a script, in the same origin as all other notes.
            "Content-Security-Policy": "sandbox",
            "Cache-Control": "no-cache",
            "Vary": "Accept-Encoding, Origin",
        }
        if note.tags:
            headers["Note-Tag"] = [quote(tag) for tag in note.tags]
        if note.is_gzip and _accepts_gzip(request):
            return Response(headers={**headers, "Content-Encoding": "gzip"}, body=note.stored)
        return Response(headers=headers, body=note.content)

    def _write(self, request: Request, name: str) -> Response:
        """``PUT /notes/NAME``: store the body, of any media type; ``Note-Tag`` headers hold its tags."""
        if codings := set(map(str.lower, request.elements("content-encoding"))) - {"identity"}:
            detail = f"the body is encoded with {', '.join(sorted(codings))}: send it without encoding"
            raise HttpError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, {"Accept-Encoding": "identity"})
        content_type = request.header("content-type").strip() or "application/octet-stream"
        if len(content_type) > 255 or not _MEDIA_TYPE.fullmatch(content_type):
            raise HttpError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"{content_type!r} is not a media type")
        tags = [percent_decode(tag) for tag in request.elements("note-tag")]
        note = Note.make(name, request.body, content_type, tags, now=self.now())
        if self.notes.put(note):
            return Response(status=HTTPStatus.CREATED, headers={"Location": note.path})
        return Response(status=HTTPStatus.NO_CONTENT)

    def _delete(self, _: Request, name: str) -> Response:
        """``DELETE /notes/NAME``."""
        if not self.notes.delete(check_name(name)):
            raise _missing(name)
        return Response(status=HTTPStatus.NO_CONTENT)

    def _prefer(self, request: Request) -> Response:
        """``PUT /preferences?limit=5&sort=oldest``: set cookies with this client's defaults for lists."""
        given = {name: value for name, value in request.query if name in _DEFAULTS}
        _preferences({**_DEFAULTS, **given})
        secure = "; Secure" if request.header("x-forwarded-proto") == "https" else ""
        attributes = f"Path=/notes; Max-Age=31536000; HttpOnly; SameSite=Lax{secure}"
        cookies = [f"{name}={value}; {attributes}" for name, value in given.items()]
        return Response(status=HTTPStatus.NO_CONTENT, headers={"Set-Cookie": cookies} if cookies else {})

    # --- Browsers

    def cors_headers(self, request: Request) -> dict[str, str | list[str]]:
        """Return the headers that let pages of the allowed origins use the service.

        https://developer.mozilla.org/docs/Web/HTTP/Guides/CORS
        """
        if not self.cors_origins:
            return {}
        origin = request.header("origin")
        headers: dict[str, str | list[str]] = {"Vary": "Origin"}
        if "*" in self.cors_origins or origin in self.cors_origins:
            headers["Access-Control-Allow-Origin"] = "*" if "*" in self.cors_origins else origin
            headers["Access-Control-Expose-Headers"] = "Location, Note-Tag"
            if request.method == "OPTIONS":
                headers["Access-Control-Allow-Methods"] = "DELETE, GET, HEAD, PUT"
                headers["Access-Control-Allow-Headers"] = "Content-Type, Note-Tag"
                headers["Access-Control-Max-Age"] = "600"
        return headers


def parse_origins(value: str) -> Sequence[str]:
    """Read origins that are separated by spaces.

    Raises:
        ValueError: One is not an origin.
    """
    origins = value.split()
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(
                f"give origins such as 'https://example.com', without a path, or '*', not {origin!r}"
            )
    return origins


def _json(value: object) -> Response:
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return Response(headers=headers, body=json.dumps(value).encode())


def _describe(note: Note) -> dict[str, object]:
    return {
        "name": note.name,
        "path": note.path,
        "content_type": note.content_type,
        "tags": note.tags,
        "size_bytes": note.size_bytes,
        "updated_at": note.updated_at,
    }


def _allowed(methods: Methods) -> list[str]:
    return sorted({*methods, "OPTIONS", *({"HEAD"} if "GET" in methods else ())})


def _missing(name: str) -> HttpError:
    return HttpError(HTTPStatus.NOT_FOUND, f"there is no note {name!r}")


def _preferences(given: Mapping[str, str]) -> tuple[int, str]:
    limit, sort = given["limit"], given["sort"]
    if not re.fullmatch(r"[1-9][0-9]?|100", limit, re.ASCII):
        raise HttpError(HTTPStatus.BAD_REQUEST, f"limit={limit[:20]!r}: give 1 to 100")
    if sort not in ("newest", "oldest"):
        raise HttpError(HTTPStatus.BAD_REQUEST, f"sort={sort[:20]!r}: give 'newest' or 'oldest'")
    return int(limit), sort


def _accepts_gzip(request: Request) -> bool:
    for element in request.elements("accept-encoding"):
        coding, _, weight = element.lower().replace(" ", "").partition(";q=")
        if coding == "gzip":
            return weight.strip("0.") != "" or weight == ""
    return False
