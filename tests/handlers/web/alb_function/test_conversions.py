"""What HTTP and the JSON of a load balancer mean to each other, in both modes."""

from __future__ import annotations

import base64
import gzip
import json

import pytest

from tests.handlers.loading import LoadedHandler
from tests.handlers.web.alb_function.client import BINARY, CONTEXT, JSON, TEXT, Client, read
from tests.handlers.web.alb_function.events import (
    DOCUMENTED,
    DOCUMENTED_FOR_ELB,
    DOCUMENTED_HEALTH_CHECK,
    DOCUMENTED_MULTI_VALUE,
    event,
)

EVERY_BYTE = bytes(range(256)) * 5


@pytest.mark.parametrize("documented", DOCUMENTED)
def test_the_events_that_aws_documents_are_answered(notes: LoadedHandler, documented: str) -> None:
    answer = Client(notes).invoke(DOCUMENTED[documented])
    assert answer.status == (404 if DOCUMENTED[documented]["path"] == "/lambda" else 200)


def test_a_health_check_is_answered_whatever_its_path(notes: LoadedHandler) -> None:
    answer = Client(notes).invoke({**DOCUMENTED_HEALTH_CHECK, "path": "/any/path"})
    assert (answer.status, answer.json()) == (200, {"status": "ok"})


def test_the_documented_query_and_cookies_are_read_in_both_modes(notes: LoadedHandler) -> None:
    single = notes.alb.Request.from_event(DOCUMENTED_FOR_ELB)
    assert (single.parameters("myKey"), single.cookies) == (["val2"], {"name2": "value2"})
    multi = notes.alb.Request.from_event(DOCUMENTED_MULTI_VALUE)
    assert multi.parameters("myKey") == ["val1", "val2"]
    assert multi.parameter("myKey") == "val2"
    assert multi.parameter("other") is None
    assert multi.cookies == {"name1": "value1", "name2": "value2"}


def test_query_strings_are_decoded_once(notes: LoadedHandler) -> None:
    for multi_value in (True, False):
        given = event("GET", "/?n%C3%A4me+x=a%2Bb+c%2520%26&flag&empty=", multi_value=multi_value)
        request = notes.alb.Request.from_event(given)
        assert request.query == (("näme x", "a+b c%20&"), ("flag", ""), ("empty", ""))


def test_commas_in_a_query_are_no_separators(notes: LoadedHandler) -> None:
    given = event("GET", "/?a=1,2&a=3", multi_value=True)
    assert notes.alb.Request.from_event(given).parameters("a") == ["1,2", "3"]


def test_a_path_is_decoded_after_it_is_split(client: Client) -> None:
    name = "a/b%2Fc d+é☕"
    path = "/notes/a%2Fb%252Fc%20d+%C3%A9%E2%98%95"
    made = client.send("PUT", path, TEXT, body="x")
    assert made.status == 201
    assert made.header("location") == "/notes/a%2Fb%252Fc%20d%2B%C3%A9%E2%98%95"
    assert client.send("GET", path).body == b"x"
    (listed,) = client.send("GET", "/notes").json()["notes"]
    assert listed["name"] == name


def test_one_name_in_two_compositions_is_one_note(client: Client) -> None:
    assert client.send("PUT", "/notes/caf%C3%A9", TEXT, body="x").status == 201
    assert client.send("PUT", "/notes/cafe%CC%81", TEXT, body="y").status == 204


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (TEXT, b"plain"),
        (TEXT, "Grüße ☕ 𝄞".encode()),
        (TEXT, b""),
        (TEXT, b'"\\\n\t\0'),
        (JSON, b'{"a": "\\u00e9"}'),
        (BINARY, EVERY_BYTE),
        (("Content-Type", "image/png"), EVERY_BYTE),
    ],
)
def test_bodies_come_back_byte_for_byte(client: Client, content_type: tuple[str, str], body: bytes) -> None:
    assert client.send("PUT", "/notes/a", content_type, body=body).status == 201
    answer = client.send("GET", "/notes/a")
    assert answer.body == body
    assert answer.header("content-type") == content_type[1]


def test_a_body_without_a_type_is_kept_as_bytes(client: Client) -> None:
    client.send("PUT", "/notes/a", body="x")
    assert client.send("GET", "/notes/a").header("content-type") == "application/octet-stream"


def test_a_body_in_base64_is_decoded_whatever_its_type(notes: LoadedHandler) -> None:
    given = event("PUT", "/notes/a", [TEXT], b"", multi_value=True)
    given |= {"body": base64.b64encode(EVERY_BYTE).decode(), "isBase64Encoded": True}
    assert Client(notes).invoke(given).status == 201
    assert Client(notes).send("GET", "/notes/a").body == EVERY_BYTE


def test_text_goes_as_text_and_what_is_shorter_in_base64_as_that(notes: LoadedHandler) -> None:
    assert notes.alb.write_body(b"plain text") == ("plain text", False)
    assert notes.alb.write_body("é".encode()) == ("w6k=", True)
    assert notes.alb.write_body(b"\0" * 100)[1]
    assert notes.alb.write_body(b"") == ("", False)


def test_repeated_request_headers_count_all_with_multi_value_headers(multi: Client) -> None:
    multi.send("PUT", "/notes/a", TEXT, ("Note-Tag", "b, a"), ("Note-Tag", "c"))
    assert multi.send("GET", "/notes/a").lines("note-tag") == ["a", "b", "c"]


def test_a_header_is_one_whatever_the_case_of_its_name(notes: LoadedHandler) -> None:
    given = event("GET", "/", multi_value=True) | {"multiValueHeaders": {"X-A": ["1"], "x-a": ["2", "3"]}}
    assert notes.alb.Request.from_event(given).header("x-a") == "1, 2, 3"


def test_tags_in_headers_are_percent_encoded_both_ways(client: Client) -> None:
    client.send("PUT", "/notes/a", TEXT, ("Note-Tag", "%C3%A9t%C3%A9"), body="x")
    assert client.send("GET", "/notes/a").header("note-tag") == "%C3%A9t%C3%A9"
    assert client.send("GET", "/notes").json()["notes"][0]["tags"] == ["été"]


def test_without_them_the_last_line_counts_and_lists_come_back_in_one_line(notes: LoadedHandler) -> None:
    single = Client(notes, multi_value=False)
    single.send("PUT", "/notes/a", TEXT, ("Note-Tag", "lost"), ("Note-Tag", "b, a"))
    assert single.send("GET", "/notes/a").lines("note-tag") == ["a, b"]


def test_two_cookies_are_two_lines_in_both_modes(client: Client) -> None:
    body = '{"limit": 5, "sort": "oldest"}'
    answer = client.send("PUT", "/preferences", JSON, ("X-Forwarded-Proto", "https"), body=body)
    assert [line.split("; ")[0] for line in answer.lines("set-cookie")] == ["limit=5", "sort=oldest"]
    assert all("HttpOnly" in line and "Secure" in line for line in answer.lines("set-cookie"))


def test_a_cookie_over_http_is_not_called_secure(client: Client) -> None:
    answer = client.send("PUT", "/preferences", JSON, body='{"limit": 5}')
    assert "Secure" not in answer.header("set-cookie")


def test_many_cookies_have_names_of_different_case_without_multi_value_headers(notes: LoadedHandler) -> None:
    cookies = [f"c{number}={number}" for number in range(300)]
    single = notes.alb.one_line_each({"Set-Cookie": cookies, "Vary": ["a", "b"]})
    assert single.pop("Vary") == "a, b"
    assert len(single) == 300
    assert {name.lower() for name in single} == {"set-cookie"}
    assert sorted(single.values()) == sorted(cookies)


def test_the_status_line_is_there(notes: LoadedHandler) -> None:
    response = notes.handler.handler(DOCUMENTED_FOR_ELB, CONTEXT)
    assert response["statusDescription"] == "200 OK"


def test_no_headers_at_all_are_answered_in_the_mode_of_the_event(notes: LoadedHandler) -> None:
    given = event("GET", "/", multi_value=True)
    nothings: list[object] = [{}, None]
    for nothing in nothings:
        response = notes.handler.handler({**given, "multiValueHeaders": nothing}, CONTEXT)
        assert read(response, multi_value=True).status == 200


def test_what_is_no_event_of_a_load_balancer_is_a_500(notes: LoadedHandler) -> None:
    nonsenses: list[object] = [{}, {"httpMethod": "GET"}, {"Records": []}, None, "text"]
    for nonsense in nonsenses:
        answer = read(notes.handler.handler(nonsense, CONTEXT), multi_value=False)
        assert answer.status == 500
        assert answer.json()["request_id"] == "request-1"


def test_compressed_json_is_valid_in_both_modes(client: Client) -> None:
    for number in range(30):
        client.send("PUT", f"/notes/{number}", TEXT, body="x")
    answer = client.send("GET", "/notes?limit=30", ("Accept-Encoding", "gzip, br"))
    assert len(json.loads(gzip.decompress(answer.body))["notes"]) == 30
    assert answer.header("vary") == "Accept-Encoding"
