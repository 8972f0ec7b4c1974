"""Rules, targets and events that EventBridge refuses."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.stacks import DeploymentFailedError, deploy
from localaws import LocalAws

pytestmark = pytest.mark.local

QUEUE = "arn:aws:sqs:us-east-1:123456789012:any"
TARGETS = [{"Id": str(number), "Arn": QUEUE} for number in range(6)]
SCHEDULE = {"ScheduleExpression": "rate(1 day)"}


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ({}, "EventPattern or ScheduleExpression must be specified"),
        (
            {**SCHEDULE, "EventBusName": "own"},
            "ScheduleExpression is supported only on the default event bus",
        ),
    ],
)
def test_a_rule_is_refused(local_aws: LocalAws, rule: dict[str, Any], text: str) -> None:
    with pytest.raises(ClientError, match=text) as raised:
        local_aws.client("events").put_rule(Name="any", **rule)
    assert raised.value.response["Error"]["Code"] == "ValidationException"
    with pytest.raises(DeploymentFailedError, match=text):
        deploy(local_aws, {"Rule": {"Type": "AWS::Events::Rule", "Properties": rule}})


def test_a_rule_has_at_most_five_targets(local_aws: LocalAws) -> None:
    events, name = local_aws.client("events"), f"rule-{uuid.uuid4().hex[:8]}"
    events.put_rule(Name=name, **SCHEDULE)
    events.put_targets(Rule=name, Targets=TARGETS[:5])
    events.put_targets(Rule=name, Targets=TARGETS[:5])  # the same ones
    with pytest.raises(events.exceptions.LimitExceededException, match="exceeds the maximum number allowed"):
        events.put_targets(Rule=name, Targets=TARGETS[5:])
    rule = {"Type": "AWS::Events::Rule", "Properties": {**SCHEDULE, "Targets": TARGETS}}
    with pytest.raises(DeploymentFailedError, match="exceeds the maximum number allowed"):
        deploy(local_aws, {"Rule": rule})


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"Detail": "no json"}, "MalformedDetail"),
        ({"Detail": '{"a": NaN}'}, "MalformedDetail"),
        ({"Detail": "[1]"}, "MalformedDetail"),
        ({"Detail": ""}, "InvalidArgument"),
        ({"Source": ""}, "InvalidArgument"),
        ({"DetailType": ""}, "InvalidArgument"),
    ],
)
def test_only_the_wrong_event_is_refused(local_aws: LocalAws, changed: dict[str, str], code: str) -> None:
    good = {"Source": "shop", "DetailType": "order", "Detail": "{}"}
    answer = local_aws.client("events").put_events(Entries=[good, {**good, **changed}, good])
    assert answer["FailedEntryCount"] == 1
    assert [entry.get("ErrorCode") for entry in answer["Entries"]] == [None, code, None]
