"""Each event of a rule becomes evaluations with its time and its token, at most 100 a call."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import ModuleType
from typing import Any
from unittest import mock

import pytest

from tests.handlers.importing import import_handler

ENVIRONMENT = {"AWS_DEFAULT_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "no", "AWS_SECRET_ACCESS_KEY": "no"}
NOON = "2026-11-27T12:00:00.000Z"


class Rule:
    """The handler, with an AWS Config that is not real.

    Args:
        module: Its module.
    """

    def __init__(self, module: ModuleType) -> None:
        self.handler = module.handler
        self.not_recorded = module.NotRecorded
        self.config, self.functions = mock.Mock(), mock.Mock()
        self.config.put_evaluations.return_value = {"FailedEvaluations": []}
        module._config, module._lambda = self.config, self.functions  # type: ignore[attr-defined]

    def evaluate(self, event: dict[str, Any]) -> dict[str, Any]:
        """The one evaluation of an event."""
        self.config.put_evaluations.reset_mock()
        assert self.handler(event, None) == {"evaluations": 1}
        (found,) = self.config.put_evaluations.call_args.kwargs["Evaluations"]
        return dict(found)


@pytest.fixture
def rule() -> Rule:
    return Rule(import_handler("observability.service_hooks.config_rule", ENVIRONMENT))


def event(kind: str = "ConfigurationItemChangeNotification", **invoking: Any) -> dict[str, Any]:
    return {
        "invokingEvent": json.dumps({"messageType": kind, "notificationCreationTime": NOON, **invoking}),
        "ruleParameters": json.dumps({"runtimes": "python3.14, python3.13"}),
        "resultToken": "token",
        "eventLeftScope": False,
    }


def item(runtime: str | None = "python3.14", **changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "AWS::Lambda::Function",
        "resourceId": "shop",
        "configurationItemStatus": "OK",
        "configurationItemCaptureTime": NOON,
        "configuration": {"runtime": runtime} if runtime else {"packageType": "Image"},
        **changes,
    }


@pytest.mark.parametrize(
    ("changed", "compliance"),
    [
        (item(), "COMPLIANT"),
        (item("python3.13", configurationItemStatus="ResourceDiscovered"), "COMPLIANT"),
        (item("python3.8"), "NON_COMPLIANT"),
        (item(None), "NOT_APPLICABLE"),
        (item("python3.8", configurationItemStatus="ResourceDeleted"), "NOT_APPLICABLE"),
        (item("python3.8", configurationItemStatus="ResourceDeletedNotRecorded"), "NOT_APPLICABLE"),
        (item("python3.8", configurationItemStatus="ResourceNotRecorded"), "NOT_APPLICABLE"),
        (item("python3.8", configuration=None, configurationItemStatus="ResourceDeleted"), "NOT_APPLICABLE"),
        (item("python3.8", resourceType="AWS::S3::Bucket"), "NOT_APPLICABLE"),
        (
            item(resourceType="AWS::S3::Bucket", configurationItemStatus="ResourceDeleted"),
            "NOT_APPLICABLE",
        ),
    ],
)
def test_a_changed_resource_is_evaluated(rule: Rule, changed: dict[str, Any], compliance: str) -> None:
    found = rule.evaluate(event(configurationItem=changed))
    assert (found["ComplianceType"], found["ComplianceResourceId"]) == (compliance, "shop")
    assert found["ComplianceResourceType"] == changed["resourceType"]
    assert found["OrderingTimestamp"] == datetime(2026, 11, 27, 12, tzinfo=UTC)
    assert rule.config.put_evaluations.call_args.kwargs["ResultToken"] == "token"
    assert rule.config.put_evaluations.call_args.kwargs["TestMode"] is False


def test_what_has_left_the_scope_is_not_applicable(rule: Rule) -> None:
    left = {**event(configurationItem=item("python3.8")), "eventLeftScope": True}
    assert rule.evaluate(left)["ComplianceType"] == "NOT_APPLICABLE"


def test_an_annotation_has_256_characters_at_most(rule: Rule) -> None:
    many = {**event(configurationItem=item("old")), "ruleParameters": json.dumps({"runtimes": "x" * 300})}
    assert len(rule.evaluate(many)["Annotation"]) == 256


def test_an_item_that_was_too_large_is_fetched_unless_its_resource_is_gone(rule: Rule) -> None:
    history = rule.config.get_resource_config_history
    time = datetime(2026, 11, 27, 12, tzinfo=UTC)
    found = {"configuration": '{"runtime": "python3.8"}', "configurationItemCaptureTime": time}
    history.return_value = {"configurationItems": [found]}
    kind = "OversizedConfigurationItemChangeNotification"
    summary = {name: value for name, value in item().items() if name != "configuration"}
    assert rule.evaluate(event(kind, configurationItemSummary=summary))["ComplianceType"] == "NON_COMPLIANT"
    assert history.call_args.kwargs["laterTime"] == time
    for other in ([], [{**found, "configurationItemCaptureTime": time.replace(year=2020)}]):
        history.return_value = {"configurationItems": other}
        with pytest.raises(rule.not_recorded, match="has no item of 2026-11-27T12:00"):
            rule.handler(event(kind, configurationItemSummary=summary), None)
    history.reset_mock()
    gone = {**summary, "configurationItemStatus": "ResourceDeleted"}
    assert rule.evaluate(event(kind, configurationItemSummary=gone))["ComplianceType"] == "NOT_APPLICABLE"
    history.assert_not_called()


def test_at_a_regular_time_all_functions_are_evaluated_a_hundred_a_call(rule: Rule) -> None:
    functions = [{"FunctionName": f"f{number}", "Runtime": "python3.14"} for number in range(201)]
    pages = [{"Functions": functions[:50]}, {"Functions": functions[50:]}]
    rule.functions.get_paginator.return_value.paginate.return_value = pages
    tested = {**event("ScheduledNotification"), "resultToken": "TESTMODE"}
    assert rule.handler(tested, None) == {"evaluations": 201}
    calls = [one.kwargs for one in rule.config.put_evaluations.call_args_list]
    assert [len(one["Evaluations"]) for one in calls] == [100, 100, 1]
    assert all(one["TestMode"] for one in calls)


def test_evaluations_that_were_not_recorded_are_an_error(rule: Rule) -> None:
    rule.config.put_evaluations.return_value = {"FailedEvaluations": [{"ComplianceResourceId": "shop"}]}
    with pytest.raises(rule.not_recorded, match="shop"):
        rule.handler(event(configurationItem=item()), None)


@pytest.mark.parametrize("configuration", [None, [], "text"])
def test_an_item_of_a_function_has_a_configuration(rule: Rule, configuration: Any) -> None:
    with pytest.raises(ValueError, match="configuration of shop is"):
        rule.handler(event(configurationItem=item(configuration=configuration)), None)


@pytest.mark.parametrize("parameters", [None, "{}", '{"runtimes": " , "}', "[]", "7", '{"runtimes": null}'])
def test_a_rule_without_parameters_is_an_error(rule: Rule, parameters: str | None) -> None:
    with pytest.raises(ValueError, match="give the rule the parameter runtimes"):
        rule.handler({**event(configurationItem=item()), "ruleParameters": parameters}, None)


def test_an_event_of_another_kind_is_an_error(rule: Rule) -> None:
    with pytest.raises(ValueError, match="ConfigurationSnapshotDeliveryCompleted"):
        rule.handler(event("ConfigurationSnapshotDeliveryCompleted"), None)
