"""The notes service behind function URLs: whole events as Lambda sends them, and who may write."""

from __future__ import annotations

import base64
import json
from types import ModuleType
from typing import Any

import pytest

from tests.handlers.importing import import_handler
from tests.handlers.notes.memory import NotesInMemory
from tests.handlers.web.alb_function.client import CONTEXT
from tests.handlers.web.alb_function.conftest import ENVIRONMENT, emptied

Event = dict[str, Any]
HOST = "abcdefghijklmnopqrstuvwxyz012345.lambda-url.eu-west-1.on.aws"
EDITOR = "arn:aws:sts::111122223333:assumed-role/Editor/session"
# Of a request that a role has signed, as the user guide and the libraries of AWS show it.
IAM = {
    "accessKey": "ASIAEXAMPLE",
    "accountId": "111122223333",
    "callerId": "AROAEXAMPLE:session",
    "cognitoIdentity": None,
    "principalOrgId": "o-a1b2c3d4e5",
    "userArn": EDITOR,
    "userId": "AROAEXAMPLE:session",
}


def browser_event() -> Event:
    """A GET request of a browser to a URL with the type NONE."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/notes",
        "rawQueryString": "tag=%C3%A9t%C3%A9&tag=c&limit=2",
        "cookies": ["limit=5", "sort=oldest"],
        "headers": {
            "accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "accept-encoding": "gzip, deflate, br",
            "accept-language": "de-DE,de;q=0.9",
            "host": HOST,
            "sec-ch-ua": '"Chromium";v="140"',
            "sec-ch-ua-mobile": "?0",
            "sec-fetch-dest": "document",
            "sec-fetch-mode": "navigate",
            "sec-fetch-site": "none",
            "sec-fetch-user": "?1",
            "upgrade-insecure-requests": "1",
            "user-agent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0.0.0 Safari/537.36",
            "x-amzn-tls-cipher-suite": "TLS_AES_128_GCM_SHA256",
            "x-amzn-tls-version": "TLSv1.3",
            "x-amzn-trace-id": "Root=1-65a0c0de-0123456789abcdef01234567",
            "x-forwarded-for": "203.0.113.9",
            "x-forwarded-port": "443",
            "x-forwarded-proto": "https",
        },
        "queryStringParameters": {"tag": "été,c", "limit": "2"},
        "requestContext": {
            "accountId": "anonymous",
            "apiId": HOST.partition(".")[0],
            "domainName": HOST,
            "domainPrefix": HOST.partition(".")[0],
            "http": {
                "method": "GET",
                "path": "/notes",
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.9",
                "userAgent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0.0.0 Safari/537.36",
            },
            "requestId": "5a2c9d5e-7f1b-4c47-9b0e-2f6a54b7a1b1",
            "routeKey": "$default",
            "stage": "$default",
            "time": "12/Jan/2026:04:29:34 +0000",
            "timeEpoch": 1768192174123,
        },
        "isBase64Encoded": False,
    }


def documented_event() -> Event:
    """A signed POST request with all members that the user guide names, also those that are null."""
    event = browser_event()
    context = event["requestContext"]
    context |= {"accountId": "123456789012", "authentication": None, "authorizer": {"iam": IAM}}
    context["http"] |= {"method": "POST", "path": "/notes"}
    return event | {"body": "Hello", "pathParameters": None, "stageVariables": None}


def write_event(*, iam: Any = IAM, text: bytes = b"x") -> Event:
    """A PUT request with a body of bytes."""
    event = documented_event()
    event["requestContext"]["http"] |= {"method": "PUT", "path": "/notes/caf%C3%A9%2F1"}
    event["requestContext"]["authorizer"] = iam and {"iam": iam}
    headers = event["headers"] | {"content-type": "image/png", "note-tag": "%C3%A9t%C3%A9,c"}
    encoded = {"body": base64.b64encode(text).decode(), "isBase64Encoded": True}
    return event | {"rawPath": "/notes/caf%C3%A9%2F1", "rawQueryString": "", "headers": headers} | encoded


@pytest.fixture(scope="module")
def imported() -> ModuleType:
    return import_handler("web.function_url.handler", ENVIRONMENT)


@pytest.fixture
def function(imported: ModuleType) -> ModuleType:
    """The handler over an empty store."""
    return emptied(imported)


def invoke(function: ModuleType, event: Event) -> tuple[int, Any, Event]:
    """Status, body and whole response."""
    answer: Event = json.loads(json.dumps(function.handler(json.loads(json.dumps(event)), CONTEXT)))
    assert answer.keys() == {"statusCode", "headers", "cookies", "body", "isBase64Encoded"}
    assert answer["headers"]["X-Content-Type-Options"] == "nosniff"
    assert all(isinstance(value, str) for value in answer["headers"].values())
    body = base64.b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"].encode()
    return answer["statusCode"], body, answer


def test_a_browser_reads_without_a_signature(function: ModuleType) -> None:
    status, body, _ = invoke(function, browser_event())
    assert (status, json.loads(body)) == (200, {"notes": []})


def test_the_event_of_the_user_guide_is_read(function: ModuleType) -> None:
    status, body, answer = invoke(function, documented_event())
    assert (status, answer["headers"]["Allow"]) == (405, "GET, HEAD, OPTIONS")
    assert json.loads(body)["request_id"] == CONTEXT.aws_request_id


def test_a_signed_write_is_stored_and_read_by_everybody(function: ModuleType) -> None:
    status, _, answer = invoke(function, write_event(text=b"\x00\xff"))
    assert (status, answer["headers"]["Location"]) == (201, "/notes/caf%C3%A9%2F1")
    reading = write_event(iam=None) | {"body": ""}
    reading["requestContext"]["http"]["method"] = "GET"
    del reading["headers"]["accept-encoding"]
    status, body, answer = invoke(function, reading)
    assert (status, body, answer["headers"]["Note-Tag"]) == (200, b"\x00\xff", "c, %C3%A9t%C3%A9")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST", "PATCH"])
@pytest.mark.parametrize("iam", [None, {}, {"userArn": None}])
def test_an_unsigned_write_is_refused(function: ModuleType, method: str, iam: Any) -> None:
    event = write_event(iam=iam)
    event["requestContext"]["http"]["method"] = method
    event["headers"] |= {"authorization": f"AWS4-HMAC-SHA256 Credential={EDITOR}", "authorizer": EDITOR}
    status, body, _ = invoke(function, event)
    assert status == 403
    assert "needs a signature" in json.loads(body)["detail"]
    notes = function.service.notes
    assert isinstance(notes, NotesInMemory)
    assert notes.get("café/1") is None


def test_cookies_are_set_with_a_list(function: ModuleType) -> None:
    event = write_event() | {"rawPath": "/preferences", "rawQueryString": "limit=2&sort=oldest"}
    status, _, answer = invoke(function, event)
    assert status == 204
    assert [cookie.partition(";")[0] for cookie in answer["cookies"]] == ["limit=2", "sort=oldest"]
    assert all("Secure" in cookie for cookie in answer["cookies"])
    assert "Set-Cookie" not in answer["headers"]


def test_an_event_of_something_else_is_an_error_without_details(function: ModuleType) -> None:
    status, body, _ = invoke(function, {"requestContext": {}})
    assert (status, json.loads(body)["detail"]) == (500, "internal error")
