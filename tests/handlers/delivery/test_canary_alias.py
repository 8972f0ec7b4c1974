"""The hooks of a release: what they invoke, what they check, and that they always report."""

import io
import json
import logging
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from delivery.canary_alias.smoke import difference
from tests.handlers.importing import import_handler
from tests.handlers.records import hook_event

CASES = [
    {"name": "one", "payload": {"article": 1}, "expected": {"price": 3}, "timeout": 5},
    {"name": "two", "payload": {"article": 2}, "expected": None, "timeout": 0.3},
]
ENVIRONMENT = {
    "SMOKE_CASES": json.dumps(CASES),
    "ERROR_PERCENTAGE": "1",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "POWERTOOLS_SERVICE_NAME": "hook",
}
EVENT = hook_event()
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
    """Lambda, CodeDeploy and CloudWatch, as far as the hooks use them."""

    def __init__(self) -> None:
        content = json.dumps(APP_SPEC)
        self.revision: dict[str, Any] = {"revisionType": "String", "string": {"content": content}}
        self.replies: dict[int, Any] = {1: {"price": 3, "currency": "EUR"}, 2: "anything"}
        self.invoked: list[tuple[str, str]] = []
        self.read_timeout = 0.0
        self.throttled = 0
        self.reports: list[dict[str, str]] = []
        self.alias: dict[str, Any] = {"Name": "live", "FunctionVersion": "8"}
        self.aliases = [self.alias]
        self.versions = ["$LATEST", *map(str, range(1, 9))]
        self.deleted: list[str] = []
        self.numbers = {"invocations": [60.0, 40.0], "errors": [0.0, 1.0]}
        self.queried: dict[str, Any] = {}

    def get_deployment(self, **_: object) -> dict[str, Any]:
        """The deployment."""
        return {"deploymentInfo": {"revision": self.revision, "createTime": BEGAN}}

    def put_lifecycle_event_hook_execution_status(self, **report: str) -> None:
        """What the hook reports."""
        self.reports.append(report)

    def that_waits(self, read_timeout: float) -> "World":
        """A client with this read timeout."""
        self.read_timeout = read_timeout
        return self

    def invoke(self, FunctionName: str, Qualifier: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803
        """The reply for an article: a number is how long it takes, an exception an error of the version."""
        self.invoked.append((FunctionName, Qualifier))
        if len(self.invoked) <= self.throttled:
            metadata: Any = {"HTTPStatusCode": 429}
            raise ClientError({"Error": {}, "ResponseMetadata": metadata}, "Invoke")
        reply = self.replies[json.loads(Payload)["article"]]
        if isinstance(reply, float) and reply > self.read_timeout:
            raise ReadTimeoutError(endpoint_url="https://lambda")
        if isinstance(reply, Exception):
            error = {"errorType": type(reply).__name__, "errorMessage": "secret"}
            return {"Payload": io.BytesIO(json.dumps(error).encode()), "FunctionError": "Unhandled"}
        raw = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        return {"Payload": io.BytesIO(raw)}

    def get_alias(self, **_: object) -> dict[str, Any]:
        """The alias."""
        return self.alias

    def delete_function(self, FunctionName: str, Qualifier: str) -> None:  # noqa: N803
        """A version is deleted."""
        assert FunctionName == "prices"
        self.deleted.append(Qualifier)

    def get_paginator(self, operation: str) -> SimpleNamespace:
        """The lists and the metrics."""

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
def hooks() -> ModuleType:
    """The handler's module."""
    return import_handler("delivery.canary_alias.handler", ENVIRONMENT)


@pytest.fixture
def world(hooks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The clients of the hooks, which must report exactly once."""
    world = World()
    for name in ("_lambda", "_codedeploy", "_cloudwatch"):
        monkeypatch.setattr(hooks, name, world)
    monkeypatch.setattr(hooks, "_lambda_that_waits", world.that_waits)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    yield world
    assert [report["lifecycleEventHookExecutionId"] for report in world.reports] == [
        EVENT["LifecycleEventHookExecutionId"]
    ]
    assert world.reports[0]["deploymentId"] == EVENT["DeploymentId"]


def context(seconds: float = 60) -> SimpleNamespace:
    """The context of an invocation with this much time left."""
    return SimpleNamespace(get_remaining_time_in_millis=lambda: int(seconds * 1000))


@pytest.fixture
def log(hooks: ModuleType) -> Iterator[io.StringIO]:
    """What the hook logs."""
    [handler] = [one for one in hooks.logger.handlers if isinstance(one, logging.StreamHandler)]
    written = io.StringIO()
    before = handler.setStream(written)
    yield written
    handler.setStream(before)


def test_exactly_the_target_version_is_invoked(hooks: ModuleType, world: World) -> None:
    assert hooks.pre_traffic(EVENT, context()) == {"status": "Succeeded"}
    assert world.invoked == [("prices", "8")] * 2
    assert world.reports[0]["status"] == "Succeeded"


def test_both_kinds_of_revision_are_read(hooks: ModuleType, world: World) -> None:
    content = json.dumps(APP_SPEC)
    world.revision = {"revisionType": "AppSpecContent", "appSpecContent": {"content": content}}
    assert hooks.pre_traffic(EVENT, context()) == {"status": "Succeeded"}
    assert world.invoked == [("prices", "8")] * 2


@pytest.mark.parametrize(
    ("article", "reply", "case", "reason"),
    [
        (1, {"price": 4}, "one", "the response.price should be 3"),
        (1, {"currency": "EUR"}, "one", "the response.price is missing"),
        (1, [3], "one", "the response should be an object"),
        (1, b"<html>", "one", "the response: it is not JSON"),
        (1, b"[" * 100_000, "one", "the response: its JSON is nested more than 100 levels"),
        (1, KeyError("x"), "one", "the version raised KeyError"),
        (2, KeyError("x"), "two", "the version raised KeyError"),
        (2, 1.0, "two", "no response within 0.3 s"),
    ],
)
def test_a_case_that_fails_is_named_with_the_reason(
    hooks: ModuleType,
    world: World,
    log: io.StringIO,
    article: int,
    reply: object,
    case: str,
    reason: str,
) -> None:
    world.replies[article] = reply
    assert hooks.pre_traffic(EVENT, context()) == {"status": "Failed"}
    assert world.reports[0]["status"] == "Failed"
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
def test_a_deployment_with_an_unreadable_app_spec_fails(
    hooks: ModuleType,
    world: World,
    revision: dict[str, Any],
) -> None:
    world.revision = revision
    assert hooks.pre_traffic(EVENT, context()) == {"status": "Failed"}
    assert world.invoked == []


@pytest.mark.parametrize("hook", ["pre_traffic", "post_traffic"])
def test_a_crash_is_reported_as_failed(
    hooks: ModuleType,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    hook: str,
) -> None:
    monkeypatch.setenv("SMOKE_CASES", "[]")
    monkeypatch.delenv("ERROR_PERCENTAGE")
    assert getattr(hooks, hook)(EVENT, context()) == {"status": "Failed"}


def test_a_hook_reports_before_its_time_is_over(
    hooks: ModuleType,
    world: World,
    log: io.StringIO,
) -> None:
    world.replies[1] = 2.0
    assert hooks.pre_traffic(EVENT, context(seconds=15.2)) == {"status": "Failed"}
    assert world.read_timeout == pytest.approx(0.2)
    assert len(world.invoked) == 1
    assert "the hook ran out of time" in log.getvalue()


@pytest.mark.parametrize(("hook", "seconds"), [("pre_traffic", 15), ("post_traffic", 29)])
def test_a_hook_with_no_time_left_only_reports(
    hooks: ModuleType, world: World, hook: str, seconds: float
) -> None:
    assert getattr(hooks, hook)(EVENT, context(seconds)) == {"status": "Failed"}
    assert world.invoked == []
    assert world.queried == {}


def test_a_throttled_call_is_repeated_and_a_third_time_is_the_last(
    hooks: ModuleType, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    world.throttled = 2
    assert hooks.pre_traffic(EVENT, context()) == {"status": "Succeeded"}
    assert len(world.invoked) == 4
    world.throttled = 7
    world.reports.clear()
    assert hooks.pre_traffic(EVENT, context()) == {"status": "Failed"}
    assert len(world.invoked) == 7


class SlowLambda(BaseHTTPRequestHandler):
    """Accepts an invocation and does not respond until it is released."""

    calls = 0
    released = threading.Event()

    def do_POST(self) -> None:
        """Count the call and wait."""
        SlowLambda.calls += 1
        self.released.wait()


def test_a_slow_version_is_given_up_by_the_clients_read_timeout_and_not_invoked_again(
    hooks: ModuleType, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the real client
    with ThreadingHTTPServer(("127.0.0.1", 0), SlowLambda) as server, pytest.MonkeyPatch.context() as patch:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        patch.setenv("AWS_ENDPOINT_URL_LAMBDA", f"http://127.0.0.1:{server.server_port}")
        patch.setenv("SMOKE_CASES", json.dumps(CASES[1:]))
        patch.setattr(hooks, "_codedeploy", world)
        began = time.monotonic()
        assert hooks.pre_traffic(EVENT, context()) == {"status": "Failed"}
        assert time.monotonic() - began < 50  # by default a client waits a minute
        SlowLambda.released.set()
        server.shutdown()
    assert SlowLambda.calls == 1


def test_the_counts_are_those_of_the_new_version_since_the_release_began(
    hooks: ModuleType,
    world: World,
) -> None:
    assert hooks.post_traffic(EVENT, context()) == {"status": "Succeeded"}
    for query in world.queried["MetricDataQueries"]:
        named = {one["Name"]: one["Value"] for one in query["MetricStat"]["Metric"]["Dimensions"]}
        assert named == {"FunctionName": "prices", "Resource": "prices:live", "ExecutedVersion": "8"}
    assert timedelta(0) <= BEGAN - world.queried["StartTime"] < timedelta(minutes=1)
    assert world.deleted == []


@pytest.mark.parametrize("numbers", [{"errors": [1.0, 1.0]}, {"invocations": [60.0, 20.0]}])
def test_too_many_failures_fail_the_release(
    hooks: ModuleType,
    world: World,
    numbers: dict[str, list[float]],
) -> None:
    world.numbers |= numbers
    assert hooks.post_traffic(EVENT, context()) == {"status": "Failed"}


def test_a_version_without_calls_is_not_a_failure(hooks: ModuleType, world: World) -> None:
    world.numbers = {"invocations": [], "errors": []}
    assert hooks.post_traffic(EVENT, context()) == {"status": "Succeeded"}


@pytest.mark.parametrize(
    "alias",
    [
        {"FunctionVersion": "7"},
        {"FunctionVersion": "8", "RoutingConfig": {"AdditionalVersionWeights": {"7": 0.1}}},
    ],
)
def test_an_alias_with_another_version_fails_the_release(
    hooks: ModuleType,
    world: World,
    alias: dict[str, Any],
) -> None:
    world.alias = alias
    assert hooks.post_traffic(EVENT, context()) == {"status": "Failed"}


@pytest.mark.parametrize(
    ("kept", "deleted"), [("2", ["2", "3", "5"]), ("9", []), ("0", ["2", "3", "5", "6"])]
)
def test_old_versions_are_deleted_except_those_that_an_alias_points_at(
    hooks: ModuleType,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    kept: str,
    deleted: list[str],
) -> None:
    monkeypatch.setenv("VERSIONS_KEPT", kept)
    world.versions.append("10")  # published during the release
    routing = {"AdditionalVersionWeights": {"4": 0.5}}
    world.aliases = [world.alias, {"FunctionVersion": "1", "RoutingConfig": routing}]
    assert hooks.post_traffic(EVENT, context()) == {"status": "Succeeded"}
    assert world.deleted == deleted


def test_a_version_that_cannot_be_deleted_does_not_fail_the_release(
    hooks: ModuleType,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VERSIONS_KEPT", "1")
    monkeypatch.setattr(world, "delete_function", lambda **_: 1 / 0)
    assert hooks.post_traffic(EVENT, context()) == {"status": "Succeeded"}


def test_versions_that_there_is_no_time_to_delete_do_not_fail_the_release(
    hooks: ModuleType,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VERSIONS_KEPT", "1")
    left = iter([60_000] * 5 + [10_000])
    running_out = SimpleNamespace(get_remaining_time_in_millis=lambda: next(left))
    assert hooks.post_traffic(EVENT, running_out) == {"status": "Succeeded"}
    assert world.deleted == ["1"]


def test_a_release_that_failed_deletes_nothing(
    hooks: ModuleType,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VERSIONS_KEPT", "1")
    world.numbers["errors"] = [50.0]
    assert hooks.post_traffic(EVENT, context()) == {"status": "Failed"}
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
def test_what_a_response_must_contain(
    hooks: ModuleType,
    expected: object,
    actual: object,
    same: bool,
) -> None:
    assert (difference(expected, actual) is None) is same
