"""Rules, targets and events that EventBridge refuses."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.refusals import Row, check, client, ids
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
        ({"Detail": f'{{"a": {2**63}}}'}, "MalformedDetail"),
        ({"Detail": f'{{"a": [{-(2**63) - 1}]}}'}, "MalformedDetail"),
        ({"Detail": '{"a":' * 1_101 + "1" + "}" * 1_101}, "MalformedDetail"),
        ({"Detail": '{"a":' + "[" * 1_200 + "]" * 1_200 + "}"}, "MalformedDetail"),
        ({"Detail": ""}, "InvalidArgument"),
        ({"Source": ""}, "InvalidArgument"),
        ({"DetailType": ""}, "InvalidArgument"),
    ],
)
def test_only_the_wrong_event_is_refused(local_aws: LocalAws, changed: dict[str, str], code: str) -> None:
    good = {"Source": "shop", "DetailType": "order", "Detail": "{}"}
    nested = {**good, "Detail": f'{{"a": [{2**63 - 1}, {-(2**63)}, "[[{{", "\\"[" ]}}'}
    answer = local_aws.client("events").put_events(Entries=[nested, {**good, **changed}, good])
    assert answer["FailedEntryCount"] == 1
    assert [entry.get("ErrorCode") for entry in answer["Entries"]] == [None, code, None]


FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:any"
FIFO = f"{QUEUE}.fifo"
INVALID, SCHEDULE_INVALID = "ValidationException", "Parameter ScheduleExpression is not valid."
PATTERN = "InvalidEventPatternException"
RATES = (
    "rate(0 minutes)",
    "rate(1 minutes)",
    "rate(5 minute)",
    "rate(2 day)",
    "rate(1.5 hours)",
    "rate(5 seconds)",
)
CRONS = (
    "cron(* * * * *)",
    "cron(0 12 * * * *)",
    "cron(60 12 * * ? *)",
    "cron(0 12 ? * 8 *)",
    "at(2030-01-01T00:00:00)",
)
PATTERNS = {
    "{": "",
    "[]": "",
    "{}": "",
    '{"source": "a"}': '"source" must be an object or an array',
    '{"source": []}': "",
    '{"source": [{"foo": "a"}]}': "Unrecognized match type foo",
    '{"a": [{"numeric": [">", 5, "<", 1]}]}': "",
    '{"a": [{"anything-but": []}]}': "",
    '{"a": [{"cidr": "x"}]}': "",
    '{"a": [{"wildcard": "a**b"}]}': "",
}


def rule(**changes: Any) -> dict[str, Any]:
    return {"Name": "refused", **changes}


def target(**changes: Any) -> dict[str, Any]:
    return {"Rule": "held", "Targets": [{"Id": "x", "Arn": FUNCTION, **changes}]}


def transformer(template: str, **paths: str) -> dict[str, Any]:
    return target(InputTransformer={"InputPathsMap": paths, "InputTemplate": template})


REFUSED: list[Row] = [
    *(("put_rule", rule(ScheduleExpression=one), INVALID, SCHEDULE_INVALID) for one in (*RATES, *CRONS)),
    *(
        ("put_rule", rule(EventPattern=one), PATTERN, f"Event pattern is not valid. Reason: {text}")
        for one, text in PATTERNS.items()
    ),
    ("put_rule", rule(**SCHEDULE, Name="a b"), INVALID, "Value 'a b' at 'name' failed"),
    ("put_rule", rule(**SCHEDULE, Name="a" * 65), INVALID, "less than or equal to 64"),
    ("put_rule", rule(**SCHEDULE, State="ON"), INVALID, "Value 'ON' at 'state' failed"),
    ("put_rule", rule(**SCHEDULE, Description="x" * 513), INVALID, "less than or equal to 512"),
    ("put_targets", target(Id="a b"), INVALID, "Value 'a b' at 'targets.1.member.id' failed"),
    ("put_targets", {"Rule": "held", "Targets": []}, INVALID, "greater than or equal to 1"),
    ("put_targets", target(Arn="function"), INVALID, "Provided Arn is not in correct format."),
    (
        "put_targets",
        target(Arn=FUNCTION.replace("us-east-1", "eu-west-1")),
        INVALID,
        "in the Region of the rule",
    ),
    (
        "put_targets",
        target(Input="{}", InputPath="$"),
        INVALID,
        "Only one of Input, InputPath, or InputTransformer",
    ),
    ("put_targets", target(Arn=FUNCTION.replace("123456789012", "1" * 12)), INVALID, "RoleArn is required"),
    (
        "put_targets",
        target(DeadLetterConfig={"Arn": QUEUE.replace("us-east-1", "eu-west-1")}),
        INVALID,
        "in the Region of the rule",
    ),
    ("put_targets", target(Input="text"), INVALID, "JSON syntax error in input for target x"),
    ("put_targets", target(Input='"' + "x" * 8192 + '"'), INVALID, "less than or equal to 8192"),
    ("put_targets", target(InputPath="detail"), INVALID, "It must begin with $"),
    (
        "put_targets",
        target(InputTransformer={"InputPathsMap": {"a": "$.a"}}),
        INVALID,
        "InputTemplate must be",
    ),
    ("put_targets", transformer('{"a": <b>}', a="$.a"), INVALID, "contains invalid placeholder b"),
    ("put_targets", transformer('"<a>"', a="a"), INVALID, "contains invalid path a"),
    ("put_targets", transformer('{"a": ', a="$.a"), INVALID, "Invalid InputTemplate for target x"),
    (
        "put_targets",
        transformer('"<AWS.a>"', **{"AWS.a": "$.a"}),
        INVALID,
        "Map keys must satisfy constraint",
    ),
    ("put_targets", target(Arn=FIFO), INVALID, "Parameter(s) SqsParameters must be specified for target: x."),
    ("put_targets", target(Arn=QUEUE, SqsParameters={"MessageGroupId": "a"}), INVALID, "is not supported"),
    (
        "put_targets",
        target(Arn="arn:aws:kinesis:us-east-1:123456789012:stream/a"),
        INVALID,
        "RoleArn is required",
    ),
    ("delete_rule", {"Name": "held"}, INVALID, "Rule can't be deleted since it has targets."),
    ("create_event_bus", {"Name": "a/b"}, INVALID, "Event bus name must not contain '/'."),
    ("create_event_bus", {"Name": "aws.a"}, INVALID, "starting with 'aws.'"),
    ("put_events", {"Entries": []}, INVALID, "greater than or equal to 1"),
    ("put_events", {"Entries": [{"Detail": "x" * 1024**2, "Source": "a"}]}, INVALID, "over the limit"),
    (
        "put_events",
        {"Entries": [{"Detail": "x" * (1024**2 - 2), "Source": "a", "DetailType": "b"}]},
        INVALID,
        "over the limit",
    ),
    ("put_events", {"Entries": [{"TraceHeader": "x" * 501}]}, INVALID, "less than or equal to 500"),
]
ALLOWED = [
    target(Input='{"a": 1}'),
    target(InputPath="$.detail"),
    transformer('"Order <id> of <aws.events.rule-name>"', id="$.detail.id"),
    transformer(
        '{"id": <id>, "text": "of <time>", "all": <aws.events.event>}', id="$.detail.id", time="$.time"
    ),
    target(Arn=FIFO, SqsParameters={"MessageGroupId": "a"}),
    target(
        Arn="arn:aws:events:eu-west-1:123456789012:event-bus/other",
        RoleArn="arn:aws:iam::123456789012:role/any",
    ),
]


@pytest.fixture(scope="module")
def held(local_aws: LocalAws) -> LocalAws:
    """An account with a rule that has a target."""
    local_aws.client("events").put_rule(Name="held", **SCHEDULE)
    local_aws.client("events").put_targets(Rule="held", Targets=[{"Id": "x", "Arn": FUNCTION}])
    return local_aws


@pytest.mark.parametrize("row", REFUSED, ids=ids(REFUSED))
def test_a_request_is_refused(held: LocalAws, row: Row) -> None:
    check(held, "events", row)


def test_targets_and_schedules_of_every_kind_are_accepted(held: LocalAws) -> None:
    events = client(held, "events")
    for request in ALLOWED:
        assert events.put_targets(**request)["FailedEntryCount"] == 0
    for expression in ("rate(1 minute)", "rate(5 minutes)", "cron(0/15 8-17 ? * MON-FRI *)"):
        events.put_rule(Name="schedule", ScheduleExpression=expression)
