"""The hooks of a release: what they try, what they look at, and that they always answer."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

CASES = [
    {"name": "one", "payload": {"article": 1}, "expected": {"price": 3}, "time_limit": 5},
    {"name": "two", "payload": {"article": 2}, "expected": None, "time_limit": 0.3},
]
ENVIRONMENT = {
    "SMOKE_CASES": json.dumps(CASES),
    "ERROR_PERCENTAGE": "1",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "POWERTOOLS_SERVICE_NAME": "hook",
}
EVENT = {"DeploymentId": "d-1", "LifecycleEventHookExecutionId": "e-1"}
BEGAN = datetime.now(UTC) - timedelta(minutes=5)
APP_SPEC = {
    "version": 0.0,
    "Resources": [
        {
            "Prices": {
                "Type": "AWS::Lambda::Function",
                "Properties": {
                    "Name": "prices",
                    "Alias": "live",
                    "CurrentVersion": "7",
                    "TargetVersion": "8",
                },
            }
        }
    ],
}


class World:
    """Lambda, CodeDeploy and CloudWatch, as far as the hooks see them."""

    def __init__(self) -> None:
        content = json.dumps(APP_SPEC)
        self.revision: dict[str, Any] = {"revisionType": "String", "string": {"content": content}}
        self.replies: dict[int, Any] = {1: {"price": 3, "currency": "EUR"}, 2: "anything"}
        self.invoked: list[tuple[str, str]] = []
        self.answers: list[dict[str, str]] = []
        self.alias: dict[str, Any] = {"Name": "live", "FunctionVersion": "8"}
        self.aliases = [self.alias]
        self.versions = ["$LATEST", *map(str, range(1, 9))]
        self.deleted: list[str] = []
        self.numbers = {"invocations": [60.0, 40.0], "errors": [0.0, 1.0]}
        self.queried: dict[str, Any] = {}

    def get_deployment(self, **_: object) -> dict[str, Any]:
        """The deployment that is asked for."""
        return {"deploymentInfo": {"revision": self.revision, "createTime": BEGAN}}

    def put_lifecycle_event_hook_execution_status(self, **answer: str) -> None:
        """What the hook answers."""
        self.answers.append(answer)

    def invoke(self, FunctionName: str, Qualifier: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803
        """The reply for an article: a number is a time to wait, an exception an error of the version."""
        self.invoked.append((FunctionName, Qualifier))
        reply = self.replies[json.loads(Payload)["article"]]
        if isinstance(reply, float):
            time.sleep(reply)
        if isinstance(reply, Exception):
            error = {"errorType": type(reply).__name__, "errorMessage": "secret"}
            return {"Payload": io.BytesIO(json.dumps(error).encode()), "FunctionError": "Unhandled"}
        raw = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        return {"Payload": io.BytesIO(raw)}

    def get_alias(self, **_: object) -> dict[str, Any]:
        """The alias."""
        return self.alias

    def delete_function(self, FunctionName: str, Qualifier: str) -> None:  # noqa: N803
        """A version that goes."""
        assert FunctionName == "prices"
        self.deleted.append(Qualifier)

    def get_paginator(self, operation: str) -> SimpleNamespace:
        """The lists, and the numbers."""

        def paginate(**request: Any) -> list[dict[str, Any]]:
            if operation == "list_versions_by_function":
                half = len(self.versions) // 2
                pages = (self.versions[:half], self.versions[half:])
                return [{"Versions": [{"Version": one} for one in page]} for page in pages]
            if operation == "list_aliases":
                return [{"Aliases": self.aliases}]
            self.queried = request
            values = self.numbers.items()
            return [{"MetricDataResults": [{"Id": name, "Values": found} for name, found in values]}]

        return SimpleNamespace(paginate=paginate)


@pytest.fixture(scope="module")
def loaded(load: Callable[..., Any]) -> Any:
    return load("delivery", "canary-alias", environment=ENVIRONMENT)


@pytest.fixture
def world(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World()
    for name in ("_lambda", "_codedeploy", "_cloudwatch"):
        monkeypatch.setattr(loaded.handler, name, world)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    yield world
    assert [answer["lifecycleEventHookExecutionId"] for answer in world.answers] == ["e-1"]
    assert world.answers[0]["deploymentId"] == "d-1"


def context(seconds: float = 60) -> SimpleNamespace:
    """What Lambda tells a function about its time."""
    return SimpleNamespace(get_remaining_time_in_millis=lambda: int(seconds * 1000))


@pytest.fixture
def log(loaded: Any) -> Iterator[io.StringIO]:
    """What the hook writes into its log."""
    [handler] = [one for one in loaded.handler.logger.handlers if isinstance(one, logging.StreamHandler)]
    written = io.StringIO()
    before = handler.setStream(written)
    yield written
    handler.setStream(before)


def test_exactly_the_target_version_is_tried(loaded: Any, world: World) -> None:
    assert loaded.handler.pre_traffic(EVENT, context()) == {"status": "Succeeded"}
    assert world.invoked == [("prices", "8")] * 2
    assert world.answers[0]["status"] == "Succeeded"


def test_both_kinds_of_revision_are_read(loaded: Any, world: World) -> None:
    content = json.dumps(APP_SPEC)
    world.revision = {"revisionType": "AppSpecContent", "appSpecContent": {"content": content}}
    assert loaded.handler.pre_traffic(EVENT, context()) == {"status": "Succeeded"}
    assert world.invoked == [("prices", "8")] * 2


@pytest.mark.parametrize(
    ("article", "reply", "case", "reason"),
    [
        (1, {"price": 4}, "one", "the answer.price should be 3"),
        (1, {"currency": "EUR"}, "one", "the answer.price is missing"),
        (1, [3], "one", "the answer should be an object"),
        (1, b"<html>", "one", "the answer is no JSON"),
        (1, KeyError("x"), "one", "the version raised KeyError"),
        (2, KeyError("x"), "two", "the version raised KeyError"),
        (2, 1.0, "two", "no answer within 0.3 s"),
    ],
)
def test_a_case_that_fails_is_named_with_the_reason(
    loaded: Any,
    world: World,
    log: io.StringIO,
    article: int,
    reply: object,
    case: str,
    reason: str,
) -> None:
    world.replies[article] = reply
    assert loaded.handler.pre_traffic(EVENT, context()) == {"status": "Failed"}
    assert world.answers[0]["status"] == "Failed"
    [error] = [line for line in map(json.loads, log.getvalue().splitlines()) if line["level"] == "ERROR"]
    assert error["case"] == case
    assert error["reason"].startswith(reason)
    assert (error["alias"], error["target"]) == ("live", "8")
    assert "secret" not in log.getvalue()


@pytest.mark.parametrize(
    "revision",
    [
        {"revisionType": "S3", "s3Location": {"bucket": "b", "key": "k"}},
        {"revisionType": "String", "string": {"content": "version: 0.0"}},
        {"revisionType": "String", "string": {"content": "{}"}},
        {},
    ],
)
def test_a_deployment_that_cannot_be_read_fails(
    loaded: Any,
    world: World,
    revision: dict[str, Any],
) -> None:
    world.revision = revision
    assert loaded.handler.pre_traffic(EVENT, context()) == {"status": "Failed"}
    assert world.invoked == []


@pytest.mark.parametrize("hook", ["pre_traffic", "post_traffic"])
def test_a_crash_is_answered_too(
    loaded: Any,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    hook: str,
) -> None:
    monkeypatch.setenv("SMOKE_CASES", "[]")
    monkeypatch.delenv("ERROR_PERCENTAGE")
    assert getattr(loaded.handler, hook)(EVENT, context()) == {"status": "Failed"}


def test_a_hook_answers_before_its_time_is_over(
    loaded: Any,
    world: World,
    log: io.StringIO,
) -> None:
    world.replies[1] = 2.0
    began = time.monotonic()
    assert loaded.handler.pre_traffic(EVENT, context(seconds=10.2)) == {"status": "Failed"}
    assert time.monotonic() - began < 1
    assert "the hook ran out of time" in log.getvalue()


def test_the_numbers_are_those_of_the_new_version_since_the_release_began(
    loaded: Any,
    world: World,
) -> None:
    assert loaded.handler.post_traffic(EVENT, context()) == {"status": "Succeeded"}
    for query in world.queried["MetricDataQueries"]:
        named = {one["Name"]: one["Value"] for one in query["MetricStat"]["Metric"]["Dimensions"]}
        assert named == {"FunctionName": "prices", "Resource": "prices:live", "ExecutedVersion": "8"}
    assert timedelta(0) <= BEGAN - world.queried["StartTime"] < timedelta(minutes=1)
    assert world.deleted == []


@pytest.mark.parametrize("numbers", [{"errors": [1.0, 1.0]}, {"invocations": [60.0, 20.0]}])
def test_too_many_failures_fail_the_release(
    loaded: Any,
    world: World,
    numbers: dict[str, list[float]],
) -> None:
    world.numbers |= numbers
    assert loaded.handler.post_traffic(EVENT, context()) == {"status": "Failed"}


def test_a_version_that_nobody_called_is_no_failure(loaded: Any, world: World) -> None:
    world.numbers = {"invocations": [], "errors": []}
    assert loaded.handler.post_traffic(EVENT, context()) == {"status": "Succeeded"}


@pytest.mark.parametrize(
    "alias",
    [
        {"FunctionVersion": "7"},
        {"FunctionVersion": "8", "RoutingConfig": {"AdditionalVersionWeights": {"7": 0.1}}},
    ],
)
def test_an_alias_that_leads_elsewhere_fails_the_release(
    loaded: Any,
    world: World,
    alias: dict[str, Any],
) -> None:
    world.alias = alias
    assert loaded.handler.post_traffic(EVENT, context()) == {"status": "Failed"}


@pytest.mark.parametrize(
    ("kept", "deleted"), [("2", ["2", "3", "5"]), ("9", []), ("0", ["2", "3", "5", "6"])]
)
def test_old_versions_go_and_never_one_that_an_alias_points_at(
    loaded: Any,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    kept: str,
    deleted: list[str],
) -> None:
    monkeypatch.setenv("VERSIONS_KEPT", kept)
    world.versions.append("10")  # published meanwhile
    routing = {"AdditionalVersionWeights": {"4": 0.5}}
    world.aliases = [world.alias, {"FunctionVersion": "1", "RoutingConfig": routing}]
    assert loaded.handler.post_traffic(EVENT, context()) == {"status": "Succeeded"}
    assert world.deleted == deleted


def test_a_version_that_cannot_be_deleted_does_not_fail_the_release(
    loaded: Any,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VERSIONS_KEPT", "1")
    monkeypatch.setattr(world, "delete_function", lambda **_: 1 / 0)
    assert loaded.handler.post_traffic(EVENT, context()) == {"status": "Succeeded"}


def test_a_release_that_failed_deletes_nothing(
    loaded: Any,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VERSIONS_KEPT", "1")
    world.numbers["errors"] = [50.0]
    assert loaded.handler.post_traffic(EVENT, context()) == {"status": "Failed"}
    assert world.deleted == []


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        ({}, {"a": 1}, True),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, True),
        ({"a": [1, 2]}, {"a": [1, 2]}, True),
        ({"a": [1]}, {"a": [1, 2]}, False),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 2}]}, False),
        ({"a": True}, {"a": 1}, False),
        ({"a": None}, {}, False),
        ({}, [], False),
        ("x", "x", True),
    ],
)
def test_what_an_answer_must_hold(
    loaded: Any,
    expected: object,
    actual: object,
    same: bool,
) -> None:
    assert (loaded.smoke.difference(expected, actual) is None) is same
