"""HTTP ⇄ the JSON of a load balancer, in both modes."""

from __future__ import annotations

import base64
from types import ModuleType

import pytest

from notes.bodies import write_body
from tests.handlers.records import alb_event
from tests.handlers.web.alb_function.client import BINARY, CONTEXT, JSON, TEXT, Client, read
from tests.handlers.web.alb_function.events import (
    DOCUMENTED,
    DOCUMENTED_FOR_ELB,
    DOCUMENTED_HEALTH_CHECK,
    DOCUMENTED_MULTI_VALUE,
)
from web.alb_function.alb import one_line_each, read_request

EVERY_BYTE = bytes(range(256)) * 5


@pytest.mark.parametrize("documented", DOCUMENTED)
def test_the_events_in_the_aws_documentation_are_answered(multi: Client, documented: str) -> None:
    answer = multi.invoke(DOCUMENTED[documented])
    # The service has nothing at / and /lambda; health checks are answered at any path.
    assert answer.status == (200 if DOCUMENTED[documented] is DOCUMENTED_HEALTH_CHECK else 404)


def test_a_health_check_is_answered_at_any_path(multi: Client) -> None:
    answer = multi.invoke({**DOCUMENTED_HEALTH_CHECK, "path": "/any/path"})
    assert (answer.status, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/any/path", 404),
        ("GET", "/notes/a", 404),
        ("DELETE", "/notes/a", 404),
        ("PUT", "/health", 405),
    ],
)
def test_a_client_that_calls_itself_a_health_check_is_answered_as_any_other(
    client: Client, method: str, path: str, status: int
) -> None:
    assert client.send(method, path, ("User-Agent", "ELB-HealthChecker/2.0")).status == status


@pytest.mark.parametrize("method", ["HEAD", "POST", "DELETE"])
def test_a_health_check_is_a_get(multi: Client, method: str) -> None:
    given = {**DOCUMENTED_HEALTH_CHECK, "path": "/notes/a", "httpMethod": method}
    assert multi.invoke(given).status in (404, 405)


def test_the_documented_query_and_cookies_are_read_in_both_modes() -> None:
    single = read_request(DOCUMENTED_FOR_ELB)
    assert (single.parameters("myKey"), single.cookies) == (["val2"], [("name2", "value2")])
    multi = read_request(DOCUMENTED_MULTI_VALUE)
    assert multi.parameters("myKey") == ["val1", "val2"]
    assert multi.parameters("other") == []
    assert multi.cookies == [("name1", "value1"), ("name2", "value2")]


@pytest.mark.parametrize("multi_value", [True, False])
def test_query_strings_are_decoded_once(multi_value: bool) -> None:
    given = alb_event("GET", "/?n%C3%A4me+x=a%2Bb+c%2520%26&flag&empty=", multi_value=multi_value)
    assert read_request(given).query == [("näme x", "a+b c%20&"), ("flag", ""), ("empty", "")]


def test_commas_do_not_separate_query_parameters() -> None:
    given = alb_event("GET", "/?a=1,2&a=3", multi_value=True)
    assert read_request(given).parameters("a") == ["1,2", "3"]


def test_of_repeated_parameters_the_last_one_counts(client: Client) -> None:
    for name in ("1", "2"):
        client.send("PUT", f"/notes/{name}", TEXT, body="x")
    assert len(client.send("GET", "/notes?limit=2&limit=1").json()["notes"]) == 1


def test_a_path_is_split_before_it_is_decoded(client: Client) -> None:
    name = "a/b%2Fc d+é☕"
    path = "/notes/a%2Fb%252Fc%20d+%C3%A9%E2%98%95"
    made = client.send("PUT", path, TEXT, body="x")
    assert made.status == 201
    assert made.header("location") == "/notes/a%2Fb%252Fc%20d%2B%C3%A9%E2%98%95"
    assert client.send("GET", path).body == b"x"
    (listed,) = client.send("GET", "/notes").json()["notes"]
    assert (listed["name"], listed["path"]) == (name, made.header("location"))


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


def test_a_body_without_a_media_type_is_stored_as_bytes(client: Client) -> None:
    client.send("PUT", "/notes/a", body="x")
    assert client.send("GET", "/notes/a").header("content-type") == "application/octet-stream"


def test_a_base64_body_is_decoded_whatever_its_media_type(multi: Client) -> None:
    given = alb_event("PUT", "/notes/a", [TEXT], b"", multi_value=True)
    given |= {"body": base64.b64encode(EVERY_BYTE).decode(), "isBase64Encoded": True}
    assert multi.invoke(given).status == 201
    assert multi.send("GET", "/notes/a").body == EVERY_BYTE


def test_ascii_is_sent_as_text_unless_base64_is_shorter() -> None:
    assert write_body(b"plain text") == ("plain text", False)
    assert write_body("é".encode()) == ("w6k=", True)
    assert write_body(b"\0" * 100)[1]
    assert write_body(b"") == ("", False)


def test_with_multi_value_headers_all_lines_of_a_header_count(multi: Client) -> None:
    multi.send("PUT", "/notes/a", TEXT, ("Note-Tag", "b, a"), ("Note-Tag", "c"))
    assert multi.send("GET", "/notes/a").lines("note-tag") == ["a", "b", "c"]


def test_without_multi_value_headers_the_last_line_counts_and_lists_return_in_one_line(
    single: Client,
) -> None:
    single.send("PUT", "/notes/a", TEXT, ("Note-Tag", "lost"), ("Note-Tag", "b, a"))
    assert single.send("GET", "/notes/a").lines("note-tag") == ["a, b"]


def test_header_names_are_case_insensitive() -> None:
    given = alb_event("GET", "/", multi_value=True) | {"multiValueHeaders": {"X-A": ["1"], "x-a": ["2", "3"]}}
    assert read_request(given).header("x-a") == "1, 2, 3"


def test_tags_in_headers_are_percent_encoded_both_ways(client: Client) -> None:
    client.send("PUT", "/notes/a", TEXT, ("Note-Tag", "%C3%A9t%C3%A9"), body="x")
    assert client.send("GET", "/notes/a").header("note-tag") == "%C3%A9t%C3%A9"
    assert client.send("GET", "/notes").json()["notes"][0]["tags"] == ["été"]


def test_two_cookies_are_two_lines_in_both_modes(client: Client) -> None:
    answer = client.send("PUT", "/preferences?limit=5&sort=oldest", ("X-Forwarded-Proto", "https"))
    assert [line.split("; ")[0] for line in answer.lines("set-cookie")] == ["limit=5", "sort=oldest"]
    assert all("HttpOnly" in line and "Secure" in line for line in answer.lines("set-cookie"))


def test_a_cookie_sent_over_http_is_not_marked_secure(client: Client) -> None:
    answer = client.send("PUT", "/preferences?limit=5")
    assert "Secure" not in answer.header("set-cookie")


def test_without_multi_value_headers_many_cookies_get_names_of_different_case() -> None:
    cookies = [f"c{number}={number}" for number in range(300)]
    single = one_line_each({"Set-Cookie": cookies, "Vary": ["a", "b"]})
    assert single.pop("Vary") == "a, b"
    assert len(single) == 300
    assert {name.lower() for name in single} == {"set-cookie"}
    assert sorted(single.values()) == sorted(cookies)


def test_a_response_has_a_status_description(function: ModuleType) -> None:
    response = function.handler(DOCUMENTED_HEALTH_CHECK, CONTEXT)
    assert response["statusDescription"] == "200 OK"


@pytest.mark.parametrize("nothing", [{}, None])
def test_an_event_without_headers_is_answered_in_its_mode(function: ModuleType, nothing: object) -> None:
    given = alb_event("GET", "/health", multi_value=True) | {"multiValueHeaders": nothing}
    assert read(function.handler(given, CONTEXT), multi_value=True).status == 200


@pytest.mark.parametrize("nonsense", [{}, {"httpMethod": "GET"}, {"Records": []}, None, "text"])
def test_an_event_from_another_service_is_an_internal_error(function: ModuleType, nonsense: object) -> None:
    answer = read(function.handler(nonsense, CONTEXT), multi_value=False)
    assert answer.status == 500
    assert answer.json()["request_id"] == "request-1"
