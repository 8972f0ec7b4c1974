"""The notes service behind an HTTP API and a REST API, and the authorizer of partners."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.handlers.importing import import_handler
from tests.handlers.notes.memory import NotesInMemory
from tests.handlers.notes.payload_events import http_api_event, http_api_v1_event, rest_event
from web.http_api.partners import token_hash

ENVIRONMENT = {
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "TABLE_NAME": "table",
    "INDEX_NAME": "by-time",
}
CONTEXT = SimpleNamespace(
    aws_request_id="request-1",
    function_name="notes",
    memory_limit_in_mb=512,
    invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:notes",
)
EVENTS = {"HTTP API": http_api_event, "HTTP API, format 1.0": http_api_v1_event, "REST API": rest_event}

Send = Callable[..., dict[str, Any]]


@pytest.fixture(params=EVENTS)
def send(request: pytest.FixtureRequest) -> Send:
    """Send a request to an empty service behind one of the APIs."""
    function = import_handler("web.http_api.handler", ENVIRONMENT)
    function.service = replace(function.service, notes=NotesInMemory())  # type: ignore[attr-defined]

    def send(*arguments: Any, **options: Any) -> dict[str, Any]:
        answer: dict[str, Any] = function.handler(EVENTS[request.param](*arguments, **options), CONTEXT)
        return json.loads(json.dumps(answer)) if answer else {}

    return send


def body_of(answer: dict[str, Any]) -> bytes:
    content: str = answer["body"]
    return base64.b64decode(content) if answer["isBase64Encoded"] else content.encode()


def test_a_note_is_stored_listed_and_deleted(send: Send) -> None:
    headers = [("Content-Type", "text/plain"), ("Note-Tag", "é".encode().hex())]
    assert send("PUT", "/notes/caf%C3%A9", headers, "Grüße")["statusCode"] == 201
    answer = send("GET", "/notes/caf%C3%A9")
    assert (answer["statusCode"], body_of(answer)) == (200, "Grüße".encode())
    assert b'"caf\\u00e9"' in body_of(send("GET", "/notes?tag=c3a9"))
    assert send("DELETE", "/notes/caf%C3%A9")["statusCode"] == 204
    assert send("GET", "/notes/caf%C3%A9")["statusCode"] == 404


def test_an_error_is_a_problem_with_the_id_of_the_request(send: Send) -> None:
    answer = send("GET", "/nowhere")
    problem = json.loads(body_of(answer))
    assert (answer["statusCode"], problem["status"], problem["request_id"]) == (404, 404, "request-1")


def test_two_cookies_are_set(send: Send) -> None:
    answer = send("PUT", "/preferences?limit=2&sort=oldest")
    cookies = answer.get("cookies") or answer["multiValueHeaders"]["Set-Cookie"]
    assert [cookie.partition(";")[0] for cookie in cookies] == ["limit=2", "sort=oldest"]


# --- The authorizer

STAGE = "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/prod"


class Table:
    """A table with one partner for each access, whose token is the access."""

    def get_item(self, **request: Any) -> dict[str, Any]:
        """Return the partner."""
        assert request["TableName"] == "table"
        for access in ("read", "write", "misspelt"):
            if request["Key"] == {"token_hash": {"S": token_hash(access)}}:
                return {"Item": {"partner": {"S": f"{access}er"}, "access": {"S": access}}}
        return {}


@pytest.fixture(scope="module")
def authorizer() -> ModuleType:
    """The authorizer over that table."""
    module = import_handler("web.http_api.authorizer", ENVIRONMENT)
    module.partners._dynamodb = Table()
    return module


def token_event(authorization: str, method: str = "GET") -> dict[str, Any]:
    return {
        "type": "TOKEN",
        "methodArn": f"{STAGE}/{method}/notes/a",
        "authorizationToken": authorization,
    }


@pytest.mark.parametrize(
    ("access", "methods"),
    [("read", ["GET", "HEAD"]), ("write", ["GET", "HEAD", "PUT", "DELETE"])],
)
def test_a_policy_covers_what_the_partner_may_call_because_it_is_cached(
    authorizer: ModuleType, access: str, methods: list[str]
) -> None:
    answer = authorizer.handler(token_event(f"Bearer {access}"), CONTEXT)
    (statement,) = answer["policyDocument"]["Statement"]
    assert answer["principalId"] == f"{access}er"
    assert (statement["Effect"], statement["Action"]) == ("Allow", "execute-api:Invoke")
    assert statement["Resource"] == [f"{STAGE}/{method}/*" for method in methods]


@pytest.mark.parametrize(
    "authorization", ["Bearer unknown", "Bearer misspelt", "Basic write", "write", "", "Bearer"]
)
def test_a_token_of_no_partner_is_unauthorized(authorizer: ModuleType, authorization: str) -> None:
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        authorizer.handler(token_event(authorization), CONTEXT)
    event = simple_event(authorization, "GET")
    assert authorizer.handler(event, CONTEXT)["isAuthorized"] is False


def test_the_scheme_of_a_token_is_case_insensitive(authorizer: ModuleType) -> None:
    assert authorizer.handler(token_event("bearer  read"), CONTEXT)["principalId"] == "reader"


def simple_event(authorization: str, method: str) -> dict[str, Any]:
    event = http_api_event(method, "/health")
    more = {"type": "REQUEST", "routeArn": f"{STAGE}/{method}/health"}
    return {**event, **more, "identitySource": [authorization, f"{method} /health"]}


@pytest.mark.parametrize(
    ("access", "method", "allowed"),
    [("read", "GET", True), ("read", "PUT", False), ("write", "PUT", True)],
)
def test_a_simple_answer_is_for_the_method_of_the_request(
    authorizer: ModuleType, access: str, method: str, allowed: bool
) -> None:
    answer = authorizer.handler(simple_event(f"Bearer {access}", method), CONTEXT)
    assert answer == {"isAuthorized": allowed, "context": {"partner": f"{access}er"}}
