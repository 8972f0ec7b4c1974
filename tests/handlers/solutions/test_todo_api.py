"""The notes service behind a REST API with a Cognito authorizer: the notes of a user are their own."""

from __future__ import annotations

import base64
import json
import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.handlers.importing import import_handler
from tests.handlers.notes.payload_events import rest_event

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
ANN, BEN = "5b0f8c1e-0000-4000-8000-00000000000a", "5b0f8c1e-0000-4000-8000-00000000000b"


class Items:
    """The two calls of DynamoDB that reading and writing a note make."""

    def __init__(self) -> None:
        self.by_key: dict[str, Any] = {}

    def put_item(self, *, Item: Any, **_: object) -> Any:  # noqa: N803 - as in boto3
        replaced = self.by_key.get(Item["name"]["S"])
        self.by_key[Item["name"]["S"]] = Item
        return {"Attributes": replaced} if replaced else {}

    def get_item(self, *, Key: Any, **_: object) -> Any:  # noqa: N803 - as in boto3
        found = self.by_key.get(Key["name"]["S"])
        return {"Item": found} if found else {}


class Service:
    """The handler over a table in memory."""

    def __init__(self) -> None:
        self.module: Any = import_handler("solutions.todo_api.handler", ENVIRONMENT)
        self.items = Items()
        self.module.notes = replace(self.module.notes, client=self.items)  # type: ignore[attr-defined]

    def send(self, user: str, method: str, target: str, body: str | None = None) -> Any:
        event = rest_event(method, target, [("Content-Type", "text/plain")] if body else [], body)
        event["requestContext"]["authorizer"] = {"claims": {"sub": user, "token_use": "id"}}
        return self.module.handler(json.loads(json.dumps(event)), CONTEXT)


@pytest.fixture
def service() -> Service:
    return Service()


def body_of(answer: dict[str, Any]) -> bytes:
    content: str = answer["body"]
    return base64.b64decode(content) if answer["isBase64Encoded"] else content.encode()


def test_users_with_notes_of_one_name_have_a_note_each(service: Service) -> None:
    for user in (ANN, BEN):
        assert service.send(user, "PUT", "/notes/milk", user)["statusCode"] == 201
    for user in (ANN, BEN):
        assert body_of(service.send(user, "GET", "/notes/milk")) == user.encode()
    assert sorted(service.items.by_key) == [f"{ANN}/milk", f"{BEN}/milk"]
    assert {item["kind"]["S"] for item in service.items.by_key.values()} == {ANN, BEN}


@pytest.mark.parametrize(
    "name", ["milk", f"{ANN}%2Fmilk", f"..%2F{ANN}%2Fmilk", f"%2F{ANN}%2Fmilk", f"{ANN}%252Fmilk"]
)
def test_no_name_reaches_the_note_of_another_user(service: Service, name: str) -> None:
    service.send(ANN, "PUT", "/notes/milk", "of Ann")
    assert service.send(BEN, "GET", f"/notes/{name}")["statusCode"] == 404
    service.send(BEN, "PUT", f"/notes/{name}", "of Ben")
    assert body_of(service.send(ANN, "GET", "/notes/milk")) == b"of Ann"


def test_with_dax_notes_are_read_from_its_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    made = SimpleNamespace(AmazonDaxClient=lambda endpoint_url: ("client of", endpoint_url))
    monkeypatch.setitem(sys.modules, "amazondax", made)
    endpoint = "daxs://dax.a1b2c3.dax-clusters.eu-west-1.amazonaws.com"
    with_dax: Any = import_handler("solutions.todo_api.handler", {**ENVIRONMENT, "DAX_ENDPOINT": endpoint})
    assert (with_dax.notes.client, with_dax.notes.consistent) == (("client of", endpoint), False)
    without: Any = import_handler("solutions.todo_api.handler", ENVIRONMENT)
    assert without.notes.consistent


@pytest.mark.parametrize("given", ["", None, 0, ["ann"]])
def test_a_token_that_names_no_user_opens_no_notes(service: Service, given: Any) -> None:
    with pytest.raises(ValueError, match="not the id of a user"):
        service.send(given, "PUT", "/notes/milk", "of none")
    assert not service.items.by_key


def test_a_method_without_the_authorizer_fails(service: Service) -> None:
    with pytest.raises(KeyError):
        service.module.handler(rest_event("GET", "/notes"), CONTEXT)
