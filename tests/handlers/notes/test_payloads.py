"""The notes service behind HTTP APIs, REST APIs and function URLs: each event, and each response."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import pytest

from notes import payload_v1, payload_v2
from notes.messages import HttpError, Request, Response
from tests.handlers.notes.payload_events import (
    function_url_event,
    http_api_event,
    http_api_v1_event,
    rest_event,
)

Event = Callable[..., dict[str, Any]]
TEXT = ("Content-Type", "text/plain; charset=utf-8")

FRONTS: dict[str, Event] = {
    "REST API": rest_event,
    "HTTP API, format 1.0": http_api_v1_event,
    "HTTP API": http_api_event,
    "function URL": function_url_event,
}
DECODED = ("HTTP API, format 1.0", "HTTP API")
every_front = pytest.mark.parametrize("front", FRONTS)


def adapter(event: dict[str, Any]) -> Any:
    return payload_v2 if event.get("version") == "2.0" else payload_v1


def read(front: str, *arguments: Any, **options: Any) -> Request:
    event = json.loads(json.dumps(FRONTS[front](*arguments, **options)))
    request: Request = adapter(event).read_request(event)
    return request


def write(front: str, response: Response, method: str = "GET") -> dict[str, Any]:
    event = FRONTS[front](method, "/notes")
    written: dict[str, Any] = json.loads(json.dumps(adapter(event).write_response(response, event)))
    return written


@every_front
def test_a_request_arrives_whole(front: str) -> None:
    headers = [TEXT, ("Note-Tag", "a"), ("Note-Tag", "b"), ("Cookie", "limit=2; sort=oldest")]
    request = read(front, "put", "/notes/caf%C3%A9%20%25?tag=a+b&tag=c%26%2B&empty=", headers, "Grüße")
    assert (request.method, request.body) == ("PUT", "Grüße".encode())
    assert request.segments() == ["notes", "café %"]
    assert list(request.query) == [("tag", "a b"), ("tag", "c&+"), ("empty", "")]
    assert request.header("content-type") == TEXT[1]
    assert request.elements("note-tag") == ["a", "b"]
    assert request.cookies == [("limit", "2"), ("sort", "oldest")]
    assert request.header("x-forwarded-proto") == "https"


@every_front
def test_an_encoded_slash_separates_segments_only_behind_an_http_api(front: str) -> None:
    segments = read(front, "GET", "/notes/1%2F2").segments()
    assert segments == (["notes", "1", "2"] if front in DECODED else ["notes", "1/2"])


@every_front
def test_a_request_may_be_empty(front: str) -> None:
    request = read(front, "GET", "/")
    assert (request.path, list(request.query), request.body, request.cookies) == ("/", [], b"", [])


@pytest.mark.parametrize("event", [http_api_event, http_api_v1_event])
@pytest.mark.parametrize(
    ("path", "expected"), [("/notes/a", "/notes/a"), ("/", "/"), ("/livelier", "/livelier")]
)
def test_the_stage_is_no_part_of_the_path(event: Event, path: str, expected: str) -> None:
    given = event("GET", path, stage="live")
    assert adapter(given).read_request(given).path == expected


def test_only_the_stage_is_the_root() -> None:
    assert payload_v1.path_of_http_api("/live", "live") == "/"


@pytest.mark.parametrize("decoded", ["/a b%25", "/a b%"])
def test_a_percent_sign_arrives_escaped_or_not(decoded: str) -> None:
    assert payload_v1.path_of_http_api(decoded, "$default") == "/a%20b%25"


@every_front
def test_bytes_arrive_unchanged(front: str) -> None:
    content = bytes(range(256))
    encoded = base64.b64encode(content).decode()
    assert read(front, "PUT", "/notes/a", [], encoded, is_base64=True).body == content


@every_front
def test_a_body_that_is_not_base64_is_a_bad_request(front: str) -> None:
    with pytest.raises(HttpError) as refused:
        read(front, "PUT", "/notes/a", [], "not base64", is_base64=True)
    assert refused.value.status == HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize("front", ["HTTP API", "function URL"])
def test_a_query_string_that_is_not_utf_8_is_a_bad_request(front: str) -> None:
    with pytest.raises(HttpError) as refused:
        read(front, "GET", "/notes?tag=%FF")
    assert refused.value.status == HTTPStatus.BAD_REQUEST


def test_a_rest_api_compresses_what_the_service_does_not() -> None:
    accepted = {front: read(front, "GET", "/", [("Accept-Encoding", "gzip")]) for front in FRONTS}
    assert [front for front, request in accepted.items() if not request.header("accept-encoding")] == [
        "REST API"
    ]


@every_front
def test_a_response_leaves_whole(front: str) -> None:
    headers: dict[str, str | list[str]] = {
        "Content-Type": TEXT[1],
        "Note-Tag": ["a", "b"],
        "Set-Cookie": ["limit=2; Path=/", "sort=oldest; Path=/"],
    }
    written = write(front, Response(status=HTTPStatus.CREATED, headers=headers, body="Grüße".encode()))
    body = written["body"].encode()
    assert (base64.b64decode(body) if written["isBase64Encoded"] else body) == "Grüße".encode()
    assert written["statusCode"] == 201
    if adapter(FRONTS[front]("GET", "/")) is payload_v1:
        assert written["multiValueHeaders"] == {**headers, "Content-Type": [TEXT[1]]}
    else:
        assert written["headers"] == {"Content-Type": TEXT[1], "Note-Tag": "a, b"}
        assert written["cookies"] == headers["Set-Cookie"]


@every_front
def test_bytes_leave_as_base64(front: str) -> None:
    written = write(front, Response(body=b"\xff\x00"))
    assert (written["isBase64Encoded"], base64.b64decode(written["body"])) == (True, b"\xff\x00")


def test_a_rest_api_gets_text_as_text() -> None:
    """It may pass base64 on as it is, where the media type of the request is no binary one."""
    written = write("REST API", Response(body="長い話".encode()))
    assert (written["isBase64Encoded"], written["body"]) == (False, "長い話")


@every_front
def test_a_response_to_head_has_no_body(front: str) -> None:
    assert write(front, Response(body=b"text"), "HEAD")["body"] == ""
