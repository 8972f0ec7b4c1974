"""An ASGI or WSGI application behind a load balancer, with the examples of the page."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response
from flask import Flask
from flask import Response as FlaskResponse
from flask import request as flask_request

from tests.handlers.records import alb_event
from tests.handlers.web.alb_function.client import BINARY, CONTEXT
from tests.handlers.web.alb_function.events import DOCUMENTED, DOCUMENTED_HEALTH_CHECK

PAGE = Path(__file__).resolve().parents[3] / "docs" / "web" / "alb-function.md"
EXAMPLES = re.findall(r"^```py\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)

Handler = Callable[[dict[str, Any], object], dict[str, Any]]
COOKIES = ("a=1; Path=/", "b=2; Path=/")


def serve_fastapi(app: FastAPI) -> None:
    """Add a route that answers with the request."""

    @app.api_route("/echo/{rest:path}", methods=["GET", "PUT"])
    async def echo(rest: str, request: Request) -> Response:
        seen = [rest, *request.query_params.getlist("q"), *request.headers.getlist("x-twice")]
        answer = Response(await request.body() or "|".join(seen).encode(), media_type=BINARY[1])
        for cookie in COOKIES:
            answer.headers.append("Set-Cookie", cookie)
        return answer


def serve_flask(app: Flask) -> None:
    """Add a route that answers with the request."""

    @app.route("/echo/<path:rest>", methods=["GET", "PUT"])
    def echo(rest: str) -> FlaskResponse:
        twice = flask_request.headers.get("x-twice", "").replace(",", "|")
        seen = "|".join([rest, *flask_request.args.getlist("q"), *([twice] if twice else [])])
        answer = FlaskResponse(flask_request.get_data() or seen.encode(), mimetype=BINARY[1])
        for cookie in COOKIES:
            answer.headers.add("Set-Cookie", cookie)
        return answer


@pytest.fixture(scope="module", params=["FastAPI", "Flask"])
def handler(request: pytest.FixtureRequest) -> Handler:
    """The handler of the page's example, with a route that answers with the request."""
    (example,) = [one for one in EXAMPLES if f"import {request.param}" in one]
    names: dict[str, Any] = {"__name__": __name__}  # by which Flask finds its folder
    exec(compile(example, str(PAGE), "exec"), names)  # noqa: S102 - our own page
    app = names["app"]
    serve_fastapi(app) if isinstance(app, FastAPI) else serve_flask(app)
    made: Handler = names["handler"]
    return made


def answer(handler: Handler, given: dict[str, Any]) -> tuple[int, list[tuple[str, str]], bytes]:
    """The HTTP response for the handler's response, which must be in the mode of the event."""
    response = handler(given, CONTEXT)
    field, other = ("multiValueHeaders", "headers")
    if field not in given:
        field, other = other, field
    assert other not in response
    lines = [(name, line) for name, value in response[field].items() for line in _as_lines(value, field)]
    body = response["body"]
    content = base64.b64decode(body) if response["isBase64Encoded"] else body.encode()
    return response["statusCode"], lines, content


def _as_lines(value: object, field: str) -> Iterable[str]:
    if field == "multiValueHeaders":
        assert isinstance(value, list)
        return value
    assert isinstance(value, str)
    return [value]


@pytest.mark.parametrize("multi_value", [True, False])
def test_bytes_pass_both_ways_and_cookies_stay_separate(
    handler: Handler, multi_value: bool, request: pytest.FixtureRequest
) -> None:
    body = bytes(range(256))  # without a Content-Length, as from a client that sends chunks
    status, headers, content = answer(
        handler, alb_event("PUT", "/echo/x", [BINARY], body, multi_value=multi_value)
    )
    assert (status, content) == (200, body)
    cookies = [value for name, value in headers if name.lower() == "set-cookie"]
    loses_cookies = "Flask" in request.node.name and not multi_value  # the page says so
    assert cookies == list(COOKIES[-1:] if loses_cookies else COOKIES)


def test_values_sent_twice_arrive_twice_and_decoded_once(handler: Handler) -> None:
    given = alb_event(
        "GET",
        "/echo/caf%C3%A9%20x?q=a%2Bb&q=c+d%2520",
        [("x-twice", "1"), ("x-twice", "2")],
        multi_value=True,
    )
    assert answer(handler, given)[2].decode() == "café x|a+b|c d%20|1|2"


def test_without_multi_value_headers_the_last_value_arrives(handler: Handler) -> None:
    given = alb_event("GET", "/echo/x?q=1&q=2", [("x-twice", "1"), ("x-twice", "2")], multi_value=False)
    assert answer(handler, given)[2].decode() == "x|2|2"


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_events_in_the_aws_documentation_are_answered(handler: Handler, name: str) -> None:
    given = DOCUMENTED[name]
    assert answer(handler, given)[0] == 404  # the application has no such path
    assert given["path"] in ("/", "/lambda")


def test_a_health_check_with_hardly_any_headers_is_answered(handler: Handler) -> None:
    status, _, _ = answer(handler, {**DOCUMENTED_HEALTH_CHECK, "path": "/echo/health"})
    assert status == 200
