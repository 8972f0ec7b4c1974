"""A service that keeps notes: what it answers to which request. It knows HTTP, and nothing of AWS."""

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import quote, unquote, urlencode

from alb import Request
from errors import (
    BadRequest,
    Conflict,
    NotFound,
    PreconditionFailed,
    UnprocessableContent,
    UnsupportedMediaType,
)
from http_rules import is_json, is_media_type
from notes import (
    Expected,
    Notes,
    Position,
    Summary,
    check_name,
    check_tag,
    make_note,
    read_draft,
    read_object,
)
from replies import Reply, as_json

_ORDERS = ("newest", "oldest")
_LIMIT = 20
_MAX_LIMIT = 100
_MAX_CONDITIONS = 100  # entity tags in one condition of DynamoDB
_A_YEAR = 365 * 24 * 60 * 60

# A note may be a page with a script in it, in the same origin as all the others.
_HARMLESS = {"Content-Security-Policy": "sandbox", "Cache-Control": "no-cache"}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True)
class NotesService:
    """The resources of the service and their methods.

    Args:
        notes: Where the notes are kept.
        now: Tells the time.
    """

    notes: Notes
    now: Callable[[], str] = _now

    @property
    def routes(self) -> dict[str, dict[str, Callable[..., Reply]]]:
        """What there is: by path, and then by method."""
        return {
            "/": {"GET": self.index},
            "/health": {"GET": self.health},
            "/notes": {"GET": self.list_notes, "POST": self.create},
            "/notes/<name>": {"GET": self.read, "PUT": self.write, "DELETE": self.delete},
            "/preferences": {"PUT": self.prefer},
        }

    def index(self, _: Request) -> Reply:
        """Say what there is."""
        return as_json({path: sorted(methods) for path, methods in self.routes.items()})

    def health(self, _: Request) -> Reply:
        """Say that the function works. That the table does not is for alarms: no other target has another."""
        return as_json({"status": "ok"}, headers={"Cache-Control": "no-store"})

    def list_notes(self, request: Request) -> Reply:
        """``GET /notes?tag=a&tag=b&limit=20&sort=newest``: those with all of the tags, page by page."""
        limit, sort = self._preferences(request)
        tags = tuple(check_tag(tag) for tag in request.parameters("tag"))
        after = request.parameter("after")
        page = self.notes.page(
            tags=tags,
            limit=limit,
            newest_first=sort == "newest",
            after=_read_position(after) if after else None,
        )
        if page.next is None:
            return as_json({"notes": [_describe(summary) for summary in page.notes]})
        parameters = [("tag", tag) for tag in tags] + [("limit", str(limit)), ("sort", sort)]
        following = "/notes?" + urlencode([*parameters, ("after", _write_position(page.next))])
        return as_json(
            {"notes": [_describe(summary) for summary in page.notes], "next": following},
            headers={"Link": f'<{following}>; rel="next"'},
        )

    def create(self, request: Request) -> Reply:
        """``POST /notes``: make a note from JSON; never instead of one that is there."""
        if not is_json(_content_type(request)):
            raise UnsupportedMediaType(
                f"the body is {_content_type(request) or 'of no type'!r}: send 'application/json', or PUT "
                "a note of any type to /notes/NAME"
            )
        draft = read_draft(request.body)
        try:
            content = draft.text.encode()
        except UnicodeEncodeError:
            raise UnprocessableContent("'text' has half of a character in it") from None
        note = make_note(draft.name, content, "text/plain; charset=utf-8", draft.tags, now=self.now())
        try:
            self.notes.put(note, expected=Expected(absent=True))
        except PreconditionFailed:
            raise Conflict(f"there is a note {note.summary.name!r} already; PUT would replace it") from None
        return as_json(
            _describe(note.summary), status=HTTPStatus.CREATED, headers={"Location": note.summary.path}
        )

    def read(self, request: Request, name: str) -> Reply:
        """``GET /notes/NAME``: the content as it was sent."""
        note = self.notes.get(check_name(name))
        if note is None:
            raise NotFound(f"there is no note {name!r}")
        tags = [quote(tag) for tag in note.summary.tags]
        return Reply(
            content=note.content,
            content_type=note.summary.content_type,
            headers={**_HARMLESS, **({"Note-Tag": tags} if tags else {})},
            etag=note.summary.etag,
            gzipped=note.stored if note.gzipped else None,
        )

    def write(self, request: Request, name: str) -> Reply:
        """``PUT /notes/NAME``: keep the body, whatever it is; its tags are in ``Note-Tag`` headers."""
        content_type = _content_type(request) or "application/octet-stream"
        if not is_media_type(content_type):
            raise UnsupportedMediaType(f"{content_type!r} is no media type")
        tags = [_decode_tag(tag) for tag in request.elements("note-tag")]
        note = make_note(name, request.body, content_type, tags, now=self.now())
        is_new = self.notes.put(note, expected=_expected(request))
        return Reply(
            HTTPStatus.CREATED if is_new else HTTPStatus.NO_CONTENT,
            headers={"ETag": note.summary.etag, **({"Location": note.summary.path} if is_new else {})},
        )

    def delete(self, request: Request, name: str) -> Reply:
        """``DELETE /notes/NAME``."""
        if not self.notes.delete(check_name(name), expected=_expected(request)):
            raise NotFound(f"there is no note {name!r}")
        return Reply(HTTPStatus.NO_CONTENT)

    def prefer(self, request: Request) -> Reply:
        """``PUT /preferences``: remember in cookies how this client likes its lists."""
        if not is_json(_content_type(request)):
            raise UnsupportedMediaType("preferences are 'application/json'")
        given = read_object(request.body, allowed=("limit", "sort"))
        try:
            chosen = {
                **({"limit": str(_limit(str(given["limit"])))} if "limit" in given else {}),
                **({"sort": _sort(str(given["sort"]))} if "sort" in given else {}),
            }
        except BadRequest as error:
            raise UnprocessableContent(error.detail) from None
        secure = "; Secure" if request.header("x-forwarded-proto") == "https" else ""
        cookies = [
            f"{name}={value}; Path=/notes; Max-Age={_A_YEAR}; HttpOnly; SameSite=Lax{secure}"
            for name, value in chosen.items()
        ]
        return Reply(HTTPStatus.NO_CONTENT, headers={"Set-Cookie": cookies} if cookies else {})

    def _preferences(self, request: Request) -> tuple[int, str]:
        cookies = request.cookies
        limit, sort = request.parameter("limit"), request.parameter("sort")
        return (
            _limit(cookies.get("limit", str(_LIMIT)) if limit is None else limit),
            _sort(cookies.get("sort", _ORDERS[0]) if sort is None else sort),
        )


def _describe(summary: Summary) -> dict[str, object]:
    return {
        "name": summary.name,
        "path": summary.path,
        "content_type": summary.content_type,
        "tags": summary.tags,
        "size_bytes": summary.size_bytes,
        "updated_at": summary.updated_at,
    }


def _content_type(request: Request) -> str:
    """The media type of the body.

    Raises:
        UnsupportedMediaType: The body is compressed.
    """
    codings = [coding.lower() for coding in request.elements("content-encoding")]
    if any(coding != "identity" for coding in codings):
        raise UnsupportedMediaType(
            f"the body is coded with {', '.join(codings)}: send it as it is", {"Accept-Encoding": "identity"}
        )
    return request.header("content-type").strip()


def _expected(request: Request) -> Expected:
    absent, present = request.elements("if-none-match"), request.elements("if-match")
    if absent and absent != ["*"]:
        raise BadRequest("If-None-Match: a write takes '*' only")
    if len(present) > _MAX_CONDITIONS:
        raise BadRequest(f"If-Match names {len(present)} entity tags: name at most {_MAX_CONDITIONS}")
    # What a client got compressed it names by the tag of the compressed form. A weak tag matches nothing.
    return Expected(frozenset(tag.replace('-gzip"', '"') for tag in present), absent=bool(absent))


def _limit(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 3 and 1 <= int(value) <= _MAX_LIMIT):
        raise BadRequest(f"limit={value[:20]!r}: give 1 to {_MAX_LIMIT}")
    return int(value)


def _sort(value: str) -> str:
    if value not in _ORDERS:
        raise BadRequest(f"sort={value[:20]!r}: give {' or '.join(map(repr, _ORDERS))}")
    return value


def _decode_tag(encoded: str) -> str:
    try:
        return unquote(encoded, errors="strict")
    except UnicodeDecodeError:
        raise BadRequest(f"Note-Tag: {encoded!r} is not percent-encoded UTF-8") from None


def _write_position(position: Position) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


def _read_position(token: str) -> Position:
    try:
        updated_at, name = json.loads(base64.b64decode(token, altchars=b"-_", validate=True))
        datetime.strptime(updated_at, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
        return updated_at, check_name(name)
    except (binascii.Error, ValueError, TypeError, UnprocessableContent):
        raise BadRequest("after: take it from 'next' of the page before, as it is") from None
