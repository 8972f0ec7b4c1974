"""Which request gets which response."""

from __future__ import annotations

import random
from dataclasses import replace
from urllib.parse import quote

import pytest

from notes.note import Note
from tests.handlers.importing import import_handler
from tests.handlers.notes.memory import NotesInMemory
from tests.handlers.records import alb_event
from tests.handlers.web.alb_function.client import BINARY, TEXT, Answer, Client
from tests.handlers.web.alb_function.conftest import ENVIRONMENT, HANDLER, Log


def problem(answer: Answer, status: int) -> str:
    """The detail of an error response."""
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
    ("status", "method", "target", "headers", "detail"),
    [
        (400, "GET", "/notes/%ff", [], "is not percent-encoded UTF-8"),
        (400, "GET", "/notes?tag=%ff", [], "is not percent-encoded UTF-8"),
        (400, "GET", "/notes/%zz", [], "is not percent-encoded UTF-8"),
        (400, "PUT", "/notes/%zz", [TEXT], "is not percent-encoded UTF-8"),
        (400, "GET", "/notes/100%", [], "is not percent-encoded UTF-8"),
        (400, "PUT", "/notes/a", [TEXT, ("Note-Tag", "%zz")], "is not percent-encoded UTF-8"),
        (400, "GET", "/notes?limit=0", [], "limit='0': give 1 to 100"),
        (400, "GET", "/notes?limit=101", [], "limit='101'"),
        (400, "GET", "/notes?limit=x", [], "limit='x'"),
        (400, "GET", "/notes?limit=%C2%B2", [], "limit='²'"),
        (400, "GET", "/notes?sort=name", [], "sort='name': give 'newest' or 'oldest'"),
        (400, "PUT", "/notes/a", [TEXT, ("Note-Tag", "%ff")], "'%ff' is not percent-encoded UTF-8"),
        (400, "PUT", "/preferences?limit=1000", [], "limit='1000'"),
        (400, "PUT", "/preferences?sort=%0D%0Nx:%20y", [], "sort="),
        (404, "GET", "/notes/missing", [], "there is no note 'missing'"),
        (404, "DELETE", "/notes/missing", [], "there is no note 'missing'"),
        (404, "GET", "/", [], "there is nothing at '/'"),
        (404, "GET", "/notes/", [], "there is nothing at '/notes/'"),
        (404, "GET", "/notes/a/b", [], "there is nothing at"),
        (404, "GET", "//", [], "there is nothing at"),
        (405, "PATCH", "/notes", [], "takes GET, HEAD, OPTIONS"),
        (405, "POST", "/notes/a", [TEXT], "takes DELETE, GET, HEAD, OPTIONS, PUT"),
        (405, "PROPFIND", "/health", [], "takes GET, HEAD, OPTIONS"),
        (405, "GET", "/preferences", [], "takes OPTIONS, PUT"),
        (412, "PUT", "/notes/a", [TEXT, ("If-Match", '"1"')], "If-Match: notes have no versions"),
        (412, "PUT", "/notes/a", [TEXT, ("If-None-Match", "*")], "If-None-Match: notes have no versions"),
        (412, "DELETE", "/notes/a", [("If-Match", "*")], "If-Match: notes have no versions"),
        (412, "DELETE", "/notes/a", [("If-Unmodified-Since", "x")], "If-Unmodified-Since: notes have no"),
        (415, "PUT", "/notes/a", [TEXT, ("Content-Encoding", "gzip")], "encoded with gzip"),
        (415, "PUT", "/notes/a", [("Content-Type", "nonsense")], "'nonsense' is not a media type"),
        (415, "PUT", "/notes/a", [("Content-Type", "text/plain\r\nx: y")], "is not a media type"),
        (422, "PUT", "/notes/a%00b", [TEXT], "without control characters"),
        (422, "PUT", "/notes/a%C2%85b", [TEXT], "without control characters"),
        (422, "PUT", "/notes/..", [TEXT], "the name '..': clients remove this segment from a path"),
        (422, "PUT", "/notes/%2E%2e", [TEXT], "the name '..': clients remove"),
        (422, "PUT", "/notes/%2e", [TEXT], "the name '.': clients remove"),
        (422, "GET", f"/notes/{'a' * 201}", [], "this one has 201"),
        (422, "GET", "/notes?tag=a%20b", [], "the tag 'a b': give 1 to 50"),
        (422, "PUT", "/notes/a", [TEXT, ("Note-Tag", ",".join("abcdefghijk"))], "11 tags: a note has"),
    ],
)
def test_an_error_response_says_what_is_wrong_with_the_request(
    client: Client, status: int, method: str, target: str, headers: list[tuple[str, str]], detail: str
) -> None:
    body = "x" if method == "PUT" else ""
    assert detail in problem(client.send(method, target, *headers, body=body), status)


@pytest.mark.parametrize(("body", "is_base64"), [("no base64!", True), ("\ud800", False)])
def test_a_body_that_cannot_be_decoded_is_a_400(client: Client, body: str, is_base64: bool) -> None:
    given = alb_event("PUT", "/notes/a", [TEXT], b"", multi_value=client.multi_value)
    answer = client.invoke({**given, "body": body, "isBase64Encoded": is_base64})
    assert problem(answer, 400) == "the body could not be decoded"


class Failing(NotesInMemory):
    """A table that fails."""

    def get(self, name: str) -> Note | None:
        """Fail."""
        raise RuntimeError("the secret reason")


def test_an_internal_error_is_logged_and_not_disclosed(client: Client, log: Log) -> None:
    function = client.function
    function.service = replace(function.service, notes=Failing())  # type: ignore[attr-defined]
    answer = client.send("GET", "/notes/a")
    assert problem(answer, 500) == "internal error"
    assert b"secret" not in answer.body
    assert "the secret reason" in log()[0]["exception"]


def test_logs_contain_method_and_status_but_no_names_and_no_contents(client: Client, log: Log) -> None:
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


def test_head_is_get_without_the_body(client: Client) -> None:
    client.send("PUT", "/notes/a", TEXT, body="content")
    get, head = client.send("GET", "/notes/a"), client.send("HEAD", "/notes/a")
    assert (head.status, head.body) == (200, b"")
    assert head.headers == get.headers
    assert client.send("HEAD", "/notes/missing").status == 404
    assert client.send("HEAD", "/notes/missing").body == b""


def test_options_lists_the_allowed_methods(client: Client) -> None:
    answer = client.send("OPTIONS", "/notes/any")
    assert (answer.status, answer.header("allow")) == (204, "DELETE, GET, HEAD, OPTIONS, PUT")
    assert client.send("OPTIONS", "/nowhere").status == 404


def test_health_is_answered_to_any_client(client: Client) -> None:
    assert client.send("GET", "/health").json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"TABLE_NAME": ""}, "TABLE_NAME=''"),
        ({"INDEX_NAME": ""}, "INDEX_NAME=''"),
    ],
)
def test_the_function_does_not_start_with_a_wrong_setting(changed: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        import_handler(HANDLER, {**ENVIRONMENT, **changed})


@pytest.mark.parametrize("missing", ["TABLE_NAME", "INDEX_NAME"])
def test_the_function_does_not_start_without_a_setting(missing: str) -> None:
    environment = {name: value for name, value in ENVIRONMENT.items() if name != missing}
    with pytest.raises(ValueError, match=f"{missing} is missing"):
        import_handler(HANDLER, environment)


# --- Notes


def test_a_note_is_written_read_replaced_and_deleted(client: Client) -> None:
    made = client.send("PUT", "/notes/a%20b", TEXT, ("Note-Tag", "t"), body="x")
    assert (made.status, made.header("location")) == (201, "/notes/a%20b")
    read = client.send("GET", "/notes/a%20b")
    assert (read.status, read.body, read.header("content-type")) == (200, b"x", TEXT[1])
    assert client.send("PUT", "/notes/a%20b", TEXT, body="y").status == 204
    assert client.send("GET", "/notes/a%20b").body == b"y"
    assert client.send("DELETE", "/notes/a%20b").status == 204
    assert client.send("GET", "/notes/a%20b").status == 404


def test_a_script_in_a_note_cannot_do_harm(client: Client) -> None:
    client.send("PUT", "/notes/a", ("Content-Type", "text/html"), body="<script>alert(1)</script>")
    answer = client.send("GET", "/notes/a")
    assert answer.header("content-security-policy") == "sandbox"
    assert answer.header("x-content-type-options") == "nosniff"


@pytest.mark.parametrize(
    ("accepted", "is_gzip"),
    [("gzip", True), ("br, GZIP;q=0.1", True), ("gzip;q=0, br", False), ("br", False), ("", False)],
)
def test_contents_are_compressed_for_clients_that_accept_it(
    client: Client, accepted: str, is_gzip: bool
) -> None:
    client.send("PUT", "/notes/a", TEXT, body="line\n" * 2_000)
    answer = client.send("GET", "/notes/a", ("Accept-Encoding", accepted))
    assert answer.header("content-encoding") == ("gzip" if is_gzip else "")
    assert (answer.unzipped() if is_gzip else answer.body) == b"line\n" * 2_000
    assert "Accept-Encoding" in answer.header("vary")


def test_content_that_compression_enlarges_comes_back(client: Client) -> None:
    noise = random.Random(1).randbytes(5_000)
    client.send("PUT", "/notes/a", BINARY, body=noise)
    assert client.send("GET", "/notes/a").body == noise


NAMES = [
    *map(chr, range(0x20, 0x7F)),
    "\xa0",
    "é",
    "\u3000",
    "\u2028",
    "\ufeff",
    "☕",
    "👩\u200d👧",
    "...",
    "%2e%2e",
]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "."])
def test_a_note_of_any_name_is_reached_by_the_location_of_its_response(client: Client, name: str) -> None:
    made = client.send("PUT", f"/notes/{quote(name, safe='')}", TEXT, body="x")
    assert made.status == 201
    assert client.send("GET", made.header("location")).body == b"x"
    (listed,) = client.send("GET", "/notes").json()["notes"]
    assert (listed["name"], listed["path"]) == (name, made.header("location"))


@pytest.mark.parametrize("character", [one for one in NAMES[:95] if one not in "#%./?"])
def test_characters_that_a_path_may_hold_need_no_encoding(client: Client, character: str) -> None:
    assert client.send("PUT", f"/notes/a{character}b", TEXT, body="x").status == 201
    assert client.send("GET", f"/notes/a{character}b").body == b"x"


# --- Limits


def test_content_that_does_not_fit_into_an_item_is_a_413(client: Client) -> None:
    noise = random.Random(1).randbytes(400_000)
    detail = problem(client.send("PUT", "/notes/a", BINARY, body=noise), 413)
    assert "400,000 bytes" in detail
    assert client.send("PUT", "/notes/a", BINARY, body=noise[:389_000]).status == 201


def test_a_response_over_1_mb_of_json_is_a_500_that_says_so(client: Client, log: Log) -> None:
    text = "長い話。" * 75_000
    assert client.send("PUT", "/notes/a", TEXT, body=text).status == 201
    answer = client.send("GET", "/notes/a")
    detail = problem(answer, 500)
    assert "a load balancer accepts at most 1,048,576" in detail
    (line,) = [line for line in log() if line["level"] == "ERROR"]
    assert (line["message"], line["limit"]) == ("response too large", 1_048_576)
    assert line["size"] > 1_200_000
    zipped = client.send("GET", "/notes/a", ("Accept-Encoding", "gzip"))
    assert zipped.unzipped().decode() == text


def test_the_largest_body_that_a_load_balancer_accepts_comes_back(client: Client) -> None:
    text = "x" * 1_000_000
    client.send("PUT", "/notes/a", TEXT, body=text)
    assert client.send("GET", "/notes/a").body == text.encode()


# --- Lists


def names(answer: Answer) -> list[str]:
    """The names of the notes in a list."""
    return [note["name"] for note in answer.json()["notes"]]


def test_a_list_asks_for_each_tag_once_and_for_no_more_than_a_note_has(multi: Client) -> None:
    multi.send("PUT", "/notes/a", TEXT, ("Note-Tag", "b"), body="x")
    assert names(multi.send("GET", "/notes?" + "&".join(["tag=b"] * 300))) == ["a"]
    too_many = multi.send("GET", "/notes?" + "&".join(f"tag={number}" for number in range(200)))
    assert "200 tags: a note has at most 10" in problem(too_many, 400)


def test_lists_are_filtered_by_all_tags(multi: Client) -> None:
    for name, tags in {"1": "a, %C3%A9t%C3%A9", "2": "a", "3": "%C3%A9t%C3%A9"}.items():
        multi.send("PUT", f"/notes/{name}", TEXT, ("Note-Tag", tags), body="x")
    assert names(multi.send("GET", "/notes")) == ["3", "2", "1"]
    assert names(multi.send("GET", "/notes?sort=oldest&tag=a")) == ["1", "2"]
    assert names(multi.send("GET", "/notes?tag=a&tag=%C3%A9t%C3%A9")) == ["1"]
    assert names(multi.send("GET", "/notes?tag=other")) == []


def test_cookies_set_the_defaults_of_lists_and_the_query_overrides_them(client: Client) -> None:
    for number in range(3):
        client.send("PUT", f"/notes/{number}", TEXT, body="x")
    cookies = ("Cookie", "limit=1; sort=oldest; other")
    assert names(client.send("GET", "/notes", cookies)) == ["0"]
    assert names(client.send("GET", "/notes?limit=3", cookies)) == ["0", "1", "2"]
    assert client.send("PUT", "/preferences").lines("set-cookie") == []


@pytest.mark.parametrize(
    ("cookies", "expected"),
    [
        ("sort=price", ["1", "0"]),
        ("limit=x; sort=", ["1", "0"]),
        ("limit=1; sort=oldest; limit=price; sort=price", ["0"]),
        ('limit=0; limit="1"; limit=1; sort=\xe9', ["1"]),
    ],
)
def test_cookies_of_other_applications_of_the_domain_do_not_count(
    client: Client, cookies: str, expected: list[str]
) -> None:
    for number in range(2):
        client.send("PUT", f"/notes/{number}", TEXT, body="x")
    assert names(client.send("GET", "/notes", ("Cookie", cookies))) == expected
