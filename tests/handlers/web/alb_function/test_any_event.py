"""For any event of a load balancer's shape the handler returns a well-formed response."""

from __future__ import annotations

import base64
from types import ModuleType
from typing import Any
from urllib.parse import quote

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.handlers.records import TARGET_GROUP, Event
from tests.handlers.web.alb_function.client import Client
from tests.handlers.web.alb_function.conftest import emptied

METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]) | st.text()
PIECES = [*"aé%☕/ +&=?", "%20", "%C3%A9", "%ff", "%00", "%2F"]
ENCODED = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
PATHS = st.builds("/{}".format, ENCODED) | st.builds("/notes/{}".format, ENCODED) | st.just("/preferences")
NAMES = st.sampled_from(
    [
        "accept-encoding",
        "content-encoding",
        "content-type",
        "cookie",
        "Host",
        "note-tag",
        "origin",
        "user-agent",
        "x-forwarded-proto",
    ]
) | st.text(max_size=8)
VALUES = (
    st.text(max_size=20)
    | st.sampled_from(
        ["*", "gzip", "application/json", "text/plain", '"x"', "ELB-HealthChecker/2.0", "https"]
    )
    | st.builds("limit={}; sort={}".format, st.integers(), st.sampled_from(["newest", "x"]))
)
PARAMETERS = st.sampled_from(["tag", "limit", "sort"]) | ENCODED
BODIES = (
    st.just("")
    | st.none()
    | st.text(max_size=50)
    | st.binary(max_size=50).map(lambda content: base64.b64encode(content).decode())
)


@st.composite
def events(draw: st.DrawFn) -> Event:
    """An event of either mode."""
    event: dict[str, Any] = {
        "requestContext": {"elb": {"targetGroupArn": TARGET_GROUP}},
        "httpMethod": draw(METHODS),
        "path": draw(PATHS),
        "body": draw(BODIES),
        "isBase64Encoded": draw(st.booleans()),
    }
    if draw(st.booleans()):
        lines = st.lists(VALUES, min_size=1, max_size=3)
        event["multiValueHeaders"] = draw(st.dictionaries(NAMES, lines, max_size=5))
        event["multiValueQueryStringParameters"] = draw(st.dictionaries(PARAMETERS, lines, max_size=3))
    else:
        event["headers"] = draw(st.dictionaries(NAMES, VALUES, max_size=5))
        event["queryStringParameters"] = draw(st.dictionaries(PARAMETERS, VALUES, max_size=3))
    return event


@settings(max_examples=400)
@given(event=events())
@example(event={"requestContext": {"elb": {}}, "httpMethod": "", "path": "/", "multiValueHeaders": {}})
@example(event={"httpMethod": "PUT", "path": "/notes/a", "headers": {"content-type": "text/plain\r\nx: y"}})
@example(event={"httpMethod": "GET", "path": "/notes/\udcff", "headers": {}})
def test_any_event_is_answered(function: ModuleType, event: Event) -> None:
    # No request is an internal error of the service.
    assert 200 <= Client(emptied(function)).invoke(event).status < 500


@settings(max_examples=150)
@given(
    content=st.binary(max_size=3_000)
    | st.text(max_size=1_000).map(lambda text: text.encode("utf-8", "replace")),
    name=st.text(min_size=1, max_size=30).filter(lambda name: name.isprintable() and name not in (".", "..")),
    multi_value=st.booleans(),
    zipped=st.booleans(),
)
def test_any_content_under_any_name_comes_back(
    function: ModuleType, content: bytes, name: str, multi_value: bool, zipped: bool
) -> None:
    client = Client(emptied(function), multi_value=multi_value)
    path = f"/notes/{quote(name, safe='')}"
    binary = ("Content-Type", "application/octet-stream")
    assert client.send("PUT", path, binary, body=content).status == 201
    answer = client.send("GET", path, *([("Accept-Encoding", "gzip")] if zipped else []))
    assert (answer.unzipped() if answer.header("content-encoding") else answer.body) == content
