"""What the service answers to which request."""

from __future__ import annotations

import gzip
import random
from typing import Any

import pytest

from tests.handlers.loading import LoadedHandler
from tests.handlers.web.alb_function.client import BINARY, JSON, TEXT, Answer, Client
from tests.handlers.web.alb_function.conftest import Log, emptied
from tests.handlers.web.alb_function.events import event

ORIGIN = ("Origin", "https://b.example")


def problem(answer: Answer, status: int) -> str:
    """What an error says is wrong."""
    assert answer.status == status, answer.body
    assert answer.header("content-type") == "application/problem+json"
    assert answer.header("cache-control") == "no-store"
    body = answer.json()
    assert body["status"] == status
    assert body["request_id"] == "request-1"
    detail: str = body["detail"]
    return detail


# --- Errors


@pytest.mark.parametrize(
    ("status", "method", "target", "headers", "body", "detail"),
    [
        (400, "POST", "/notes", [JSON], "{", "the body is no JSON"),
        (400, "POST", "/notes", [JSON], "[" * 100_000, "the body is no JSON"),
        (400, "GET", "/notes/%ff", [], "", "is not percent-encoded UTF-8"),
        (400, "GET", "/notes?tag=%ff", [], "", "is not percent-encoded UTF-8"),
        (400, "GET", "/notes?limit=0", [], "", "limit='0': give 1 to 100"),
        (400, "GET", "/notes?limit=x", [], "", "limit='x'"),
        (400, "GET", "/notes?limit=%C2%B2", [], "", "limit='²'"),
        (400, "GET", "/notes?sort=name", [], "", "sort='name': give 'newest' or 'oldest'"),
        (400, "GET", "/notes?after=x", [], "", "after: take it from 'next'"),
        (400, "GET", "/notes?after=WzEsMl0=", [], "", "after: take it from 'next'"),
        (400, "PUT", "/notes/a", [TEXT, ("If-None-Match", '"x"')], "x", "a write takes '*' only"),
        (400, "PUT", "/notes/a", [TEXT, ("If-Match", ",".join(["x"] * 101))], "x", "101 entity tags"),
        (400, "PUT", "/notes/a", [TEXT, ("Note-Tag", "%ff")], "x", "Note-Tag: '%ff'"),
        (404, "GET", "/notes/missing", [], "", "there is no note 'missing'"),
        (404, "DELETE", "/notes/missing", [], "", "there is no note 'missing'"),
        (404, "GET", "/notes/", [], "", "there is nothing under '/notes/'"),
        (404, "GET", "/notes/a/b", [], "", "there is nothing under"),
        (404, "GET", "//", [], "", "there is nothing under"),
        (405, "PATCH", "/notes", [], "", "takes GET, HEAD, OPTIONS, POST"),
        (405, "POST", "/notes/a", [TEXT], "x", "takes DELETE, GET, HEAD, OPTIONS, PUT"),
        (405, "PROPFIND", "/", [], "", "takes GET, HEAD, OPTIONS"),
        (412, "PUT", "/notes/a", [TEXT, ("If-Match", "*")], "x", "not what"),
        (415, "POST", "/notes", [TEXT], "{}", "send 'application/json'"),
        (415, "POST", "/notes", [], "{}", "of no type"),
        (415, "POST", "/notes", [JSON, ("Content-Encoding", "gzip")], "{}", "coded with gzip"),
        (415, "PUT", "/notes/a", [("Content-Type", "nonsense")], "x", "'nonsense' is no media type"),
        (415, "PUT", "/preferences", [TEXT], "{}", "preferences are 'application/json'"),
        (422, "POST", "/notes", [JSON], "[]", "must be a JSON object"),
        (422, "POST", "/notes", [JSON], "{}", "'text' must be there and a string"),
        (422, "POST", "/notes", [JSON], '{"text": "x", "name": 1}', "so must 'name' be"),
        (422, "POST", "/notes", [JSON], '{"text": "x", "tags": "a"}', "'tags' must be a list"),
        (422, "POST", "/notes", [JSON], '{"text": "x", "tag": "a"}', "'tag' means nothing here"),
        (422, "POST", "/notes", [JSON], '{"text": "\\ud800"}', "half of a character"),
        (422, "POST", "/notes", [JSON], '{"text": "x", "name": "\\ud800"}', "a name of 1 characters"),
        (422, "POST", "/notes", [JSON], '{"text": "x", "name": ""}', "a name of 0 characters"),
        (422, "PUT", "/notes/a%00b", [TEXT], "x", "without control characters"),
        (422, "GET", f"/notes/{'a' * 201}", [], "", "a name of 201 characters: give 1 to 200"),
        (422, "GET", "/notes?tag=a%20b", [], "", "the tag 'a b': give 1 to 50"),
        (422, "PUT", "/notes/a", [TEXT, ("Note-Tag", ",".join("abcdefghijk"))], "x", "11 tags: a note has"),
        (422, "PUT", "/preferences", [JSON], '{"limit": 1000}', "limit='1000'"),
        (422, "PUT", "/preferences", [JSON], '{"sort": "\\r\\nx: y"}', "sort="),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(
    client: Client,
    status: int,
    method: str,
    target: str,
    headers: list[tuple[str, str]],
    body: str,
    detail: str,
) -> None:
    assert detail in problem(client.send(method, target, *headers, body=body), status)


def test_a_body_that_is_not_what_the_event_says_is_a_400(client: Client) -> None:
    given = event("PUT", "/notes/a", [TEXT], b"", multi_value=client.multi_value)
    for body, encoded in (("no base64!", True), ("\ud800", False)):
        answer = client.invoke({**given, "body": body, "isBase64Encoded": encoded})
        assert problem(answer, 400) == "the body could not be decoded"


def test_a_mistake_of_the_service_is_a_500_that_says_nothing(client: Client, log: Log) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("the secret reason")

    object.__setattr__(client.notes.handler.service, "notes", _Failing(fail))
    answer = client.send("GET", "/notes/a")
    assert problem(answer, 500) == "something went wrong here"
    assert b"secret" not in answer.body
    assert "the secret reason" in log()[0]["exception"]


class _Failing:
    def __init__(self, fail: Any) -> None:
        self.get = fail


def test_logs_name_no_notes_and_hold_no_contents(client: Client, log: Log) -> None:
    client.send("PUT", "/notes/confidential", TEXT, ("Authorization", "hidden"), body="confidential")
    client.send("GET", "/notes/confidential?tag=confidential")
    lines = log()
    assert [(line["message"], line["method"], line["status"]) for line in lines] == [
        ("answered", "PUT", 201),
        ("answered", "GET", 200),
    ]
    assert "confidential" not in str(lines)
    assert "hidden" not in str(lines)


# --- Methods


def test_the_index_says_what_there_is(client: Client) -> None:
    assert client.send("GET", "/").json()["/notes"] == ["GET", "POST"]
    assert client.send("GET", "/health").json() == {"status": "ok"}


def test_every_route_takes_its_methods_and_refuses_the_others(client: Client) -> None:
    for rule, methods in client.send("GET", "/").json().items():
        path = rule.replace("<name>", "missing")
        for method in ("DELETE", "GET", "PATCH", "POST", "PUT"):
            refused = client.send(method, path).status == 405
            assert refused is (method not in methods), (method, path)


def test_head_is_get_without_the_body(client: Client) -> None:
    client.send("PUT", "/notes/a", TEXT, body="content")
    get, head = client.send("GET", "/notes/a"), client.send("HEAD", "/notes/a")
    assert (head.status, head.body) == (200, b"")
    assert head.headers == get.headers
    assert client.send("HEAD", "/notes/missing").status == 404
    assert client.send("HEAD", "/notes/missing").body == b""


def test_options_says_what_is_allowed(client: Client) -> None:
    answer = client.send("OPTIONS", "/notes/any")
    assert (answer.status, answer.header("allow")) == (204, "DELETE, GET, HEAD, OPTIONS, PUT")
    assert not answer.lines("access-control-allow-origin")
    assert client.send("OPTIONS", "/nowhere").status == 404


@pytest.mark.parametrize("multi_value", [True, False])
def test_pages_of_chosen_origins_may_use_it(with_cors: LoadedHandler, multi_value: bool) -> None:
    client = Client(emptied(with_cors), multi_value=multi_value)
    preflight = client.send("OPTIONS", "/notes", ORIGIN, ("Access-Control-Request-Method", "POST"))
    assert preflight.status == 204
    assert preflight.header("access-control-allow-origin") == ORIGIN[1]
    assert "If-Match" in preflight.header("access-control-allow-headers")
    answer = client.send("GET", "/notes", ORIGIN)
    assert answer.header("access-control-allow-origin") == ORIGIN[1]
    assert answer.header("vary") == "Origin"
    missing = client.send("GET", "/notes/missing", ORIGIN)
    assert (missing.status, missing.header("access-control-allow-origin")) == (404, ORIGIN[1])
    other = client.send("GET", "/notes", ("Origin", "https://c.example"))
    assert not other.lines("access-control-allow-origin")
    assert other.header("vary") == "Origin"


# --- Notes


def test_a_note_is_made_read_replaced_and_deleted(client: Client) -> None:
    made = client.send("POST", "/notes", JSON, body='{"text": "x", "name": "a b", "tags": ["t"]}')
    assert (made.status, made.header("location")) == (201, "/notes/a%20b")
    assert made.json()["tags"] == ["t"]
    read = client.send("GET", "/notes/a%20b")
    assert (read.status, read.body, read.header("content-type")) == (200, b"x", "text/plain; charset=utf-8")
    assert client.send("PUT", "/notes/a%20b", TEXT, body="y").status == 204
    assert client.send("GET", "/notes/a%20b").body == b"y"
    assert client.send("DELETE", "/notes/a%20b").status == 204
    assert client.send("GET", "/notes/a%20b").status == 404


def test_post_never_replaces_and_names_what_has_no_name(client: Client) -> None:
    assert client.send("POST", "/notes", JSON, body='{"text": "x", "name": "a"}').status == 201
    detail = problem(client.send("POST", "/notes", JSON, body='{"text": "y", "name": "a"}'), 409)
    assert "PUT would replace it" in detail
    first, second = (client.send("POST", "/notes", JSON, body='{"text": "x"}') for _ in range(2))
    assert first.header("location") != second.header("location")
    assert client.send("GET", first.header("location")).body == b"x"


def test_a_note_that_is_a_page_can_do_no_harm(client: Client) -> None:
    client.send("PUT", "/notes/a", ("Content-Type", "text/html"), body="<script>alert(1)</script>")
    answer = client.send("GET", "/notes/a")
    assert answer.header("content-security-policy") == "sandbox"
    assert answer.header("x-content-type-options") == "nosniff"


def test_who_has_it_already_gets_304(client: Client) -> None:
    client.send("PUT", "/notes/a", TEXT, body="x" * 5_000)
    plain = client.send("GET", "/notes/a").header("etag")
    zipped = client.send("GET", "/notes/a", ("Accept-Encoding", "gzip")).header("etag")
    assert plain != zipped
    for condition in (plain, zipped, f"W/{plain}", f'"x", {plain}', "*"):
        answer = client.send("GET", "/notes/a", ("If-None-Match", condition))
        assert (answer.status, answer.header("etag")) == (304, plain)
    assert client.send("GET", "/notes/a", ("If-None-Match", '"x"')).status == 200
    client.send("PUT", "/notes/a", TEXT, body="y")
    assert client.send("GET", "/notes/a", ("If-None-Match", plain)).status == 200


def test_nobody_overwrites_what_they_have_not_seen(client: Client) -> None:
    first = client.send("PUT", "/notes/a", TEXT, ("If-None-Match", "*"), body="x" * 5_000)
    assert first.status == 201
    problem(client.send("PUT", "/notes/a", TEXT, ("If-None-Match", "*"), body="y"), 412)
    problem(client.send("PUT", "/notes/a", TEXT, ("If-Match", '"other"'), body="y"), 412)
    weak = f"W/{first.header('etag')}"
    problem(client.send("PUT", "/notes/a", TEXT, ("If-Match", weak), body="y"), 412)
    zipped = client.send("GET", "/notes/a", ("Accept-Encoding", "gzip")).header("etag")
    assert client.send("PUT", "/notes/a", TEXT, ("If-Match", f'"x", {zipped}'), body="y").status == 204
    problem(client.send("DELETE", "/notes/a", ("If-Match", zipped)), 412)
    now = client.send("GET", "/notes/a").header("etag")
    assert client.send("DELETE", "/notes/a", ("If-Match", now)).status == 204


@pytest.mark.parametrize(
    ("accepted", "is_zipped"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.1", True),
        ("*", True),
        ("gzip;q=0, *", False),
        ("br", False),
        ("gzip;q=x", False),
        ("", False),
    ],
)
def test_contents_are_compressed_for_who_takes_that(client: Client, accepted: str, is_zipped: bool) -> None:
    client.send("PUT", "/notes/a", TEXT, body="line\n" * 2_000)
    answer = client.send("GET", "/notes/a", ("Accept-Encoding", accepted))
    assert answer.header("content-encoding") == ("gzip" if is_zipped else "")
    assert (answer.unzipped() if is_zipped else answer.body) == b"line\n" * 2_000
    assert answer.header("vary") == "Accept-Encoding"


def test_what_does_not_get_smaller_is_kept_and_sent_as_it_is(client: Client) -> None:
    noise = random.Random(1).randbytes(5_000)
    client.send("PUT", "/notes/a", BINARY, body=noise)
    zipped = client.send("GET", "/notes/a", ("Accept-Encoding", "gzip"))
    assert zipped.unzipped() == noise
    assert client.send("GET", "/notes/a").body == noise


# --- Limits


def test_what_does_not_fit_into_an_item_is_a_413(client: Client) -> None:
    noise = random.Random(1).randbytes(400_000)
    detail = problem(client.send("PUT", "/notes/a", BINARY, body=noise), 413)
    assert "400,000 bytes" in detail
    assert client.send("PUT", "/notes/a", BINARY, body=noise[:389_000]).status == 201


def test_a_response_that_the_load_balancer_would_refuse_is_a_500_that_says_so(
    client: Client, log: Log
) -> None:
    text = "長い話。" * 75_000
    assert client.send("PUT", "/notes/a", TEXT, body=text).status == 201
    answer = client.send("GET", "/notes/a")
    detail = problem(answer, 500)
    assert "a load balancer passes on at most 1,048,576" in detail
    (line,) = [line for line in log() if line["level"] == "ERROR"]
    assert (line["message"], line["limit"]) == ("the response is too large", 1_048_576)
    assert line["size"] > 1_200_000
    zipped = client.send("GET", "/notes/a", ("Accept-Encoding", "gzip"))
    assert gzip.decompress(zipped.body).decode() == text


def test_the_largest_body_that_a_load_balancer_takes_can_come_back(client: Client) -> None:
    text = "x" * 1_000_000
    client.send("PUT", "/notes/a", TEXT, body=text)
    assert client.send("GET", "/notes/a").body == text.encode()


# --- Lists


def test_lists_are_filtered_by_every_tag_that_is_asked_for(multi: Client) -> None:
    for name, tags in {"1": "a, %C3%A9t%C3%A9", "2": "a", "3": "%C3%A9t%C3%A9"}.items():
        multi.send("PUT", f"/notes/{name}", TEXT, ("Note-Tag", tags), body="x")

    def found(query: str) -> list[str]:
        return [note["name"] for note in multi.send("GET", f"/notes?{query}").json()["notes"]]

    assert found("") == ["3", "2", "1"]
    assert found("sort=oldest&tag=a") == ["1", "2"]
    assert found("tag=a&tag=%C3%A9t%C3%A9") == ["1"]
    assert found("tag=other") == []


def test_lists_come_in_pages_that_know_the_next_one(client: Client) -> None:
    for number in range(5):
        client.send("PUT", f"/notes/n%26{number}", TEXT, ("Note-Tag", "t"), body="x")
    names, target = [], "/notes?limit=2&sort=oldest&tag=t"
    while target:
        answer = client.send("GET", target)
        page = answer.json()
        names.append([note["name"] for note in page["notes"]])
        target = page.get("next", "")
        assert answer.header("link") == (f'<{target}>; rel="next"' if target else "")
    assert names == [["n&0", "n&1"], ["n&2", "n&3"], ["n&4"]]


def test_cookies_set_how_lists_are_shown_and_the_query_wins(client: Client) -> None:
    for number in range(3):
        client.send("PUT", f"/notes/{number}", TEXT, body="x")
    cookies = ("Cookie", "limit=1; sort=oldest; other")
    (note,) = client.send("GET", "/notes", cookies).json()["notes"]
    assert note["name"] == "0"
    assert len(client.send("GET", "/notes?limit=3", cookies).json()["notes"]) == 3
    assert client.send("GET", "/notes", ("Cookie", "limit=x")).status == 400
    assert client.send("PUT", "/preferences", JSON, body="{}").lines("set-cookie") == []
