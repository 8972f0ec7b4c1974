"""IotRule: the rule, the permission for it only, and the way of what it cannot deliver."""

from __future__ import annotations

from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs

from cdk_lambda_patterns.observability.service_hooks import IotRule
from tests.templates import Resources, stack_with

CODE = lambda_.Code.from_inline("def handler(event, context): return event")
SQL = "SELECT temperature FROM 'sensors/+/readings' WHERE temperature > 30"
LONG = "SELECT * FROM 'x'"


def make(stack: Stack, id: str = "Alarms", **more: Any) -> IotRule:
    return IotRule(stack, id, **{"code": CODE, "handler": "index.handler", "sql": SQL, **more})


@stack_with
def alarms(stack: Stack) -> None:
    make(stack)


def test_only_this_rule_of_this_account_may_invoke_the_function(alarms: Resources) -> None:
    (rule,) = alarms.all("AWS::IoT::TopicRule")
    permission = alarms.only("AWS::Lambda::Permission", Principal="iot.amazonaws.com")
    assert permission["SourceArn"] == {"Fn::GetAtt": [rule, "Arn"]}
    assert permission["SourceAccount"] == {"Ref": "AWS::AccountId"}


def test_the_error_action_sends_to_the_queue_with_a_role_for_rules_of_this_account(alarms: Resources) -> None:
    payload = alarms.only("AWS::IoT::TopicRule")["TopicRulePayload"]
    (queue,) = (name for name in alarms.all("AWS::SQS::Queue") if "ErrorQueue" in name)
    action = payload["ErrorAction"]["Sqs"]
    role = action["RoleArn"]["Fn::GetAtt"][0]
    assert action["QueueUrl"] == {"Ref": queue}
    assert alarms.actions(role) == {"sqs:SendMessage"}
    trust = alarms.all("AWS::IAM::Role")[role]["AssumeRolePolicyDocument"]["Statement"][0]
    assert trust["Principal"] == {"Service": "iot.amazonaws.com"}
    assert trust["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    assert payload["AwsIotSqlVersion"] == "2016-03-23"


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("", "give SELECT"),
        ("SELECT *", "give SELECT"),
        ("FROM 'a'", "give SELECT"),
        ("SELECT * FROM sensors", "give SELECT"),
        ("SELECT * FROM ''", "give SELECT"),
        ("SELECT * FROM 'a/#/b'", "is invalid"),
        ("SELECT * FROM 'a/b+/c'", "is invalid"),
        ("SELECT * FROM 'a/b#'", "is invalid"),
        ("SELECT * FROM 'a/b\0'", "is invalid"),
        ("SELECT * FROM 'a/b/c/d/e/f/g/h/i'", "256 bytes and 7 slashes"),
        ("SELECT * FROM 'a'; rubbish (", "nothing else"),
        ("SELECT * FROM 'a' WHERE ", "WHERE and a condition"),
        ("SELECT * FROM 'a' SELECT * FROM 'b'", "nothing else"),
        ("SET @a = 1", "SET may come first"),
        (LONG.replace("x", "x" * 257), "is invalid"),
    ],
)
def test_a_statement_that_aws_iot_refuses_is_an_error(sql: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(Stack(App(), "S"), sql=sql)


@pytest.mark.parametrize(
    "sql",
    [
        SQL,
        "select * from '#'",
        "SELECT a,\n  b\nFROM '+/+'",
        "SET @a = 1, @b = topic(2) SELECT @a FROM 'a/b' WHERE @b = 'c'",
        "SELECT (SELECT v FROM n) AS v FROM '$aws/things/+/shadow/name/+/update/accepted'",
        LONG.replace("x", "x" * 256),
    ],
)
def test_other_statements_are_taken(sql: str) -> None:
    make(Stack(App(), "S"), sql=sql)


def test_the_error_queue_is_no_fifo_queue() -> None:
    stack = Stack(App(), "S")
    queue = sqs.Queue(stack, "Queue", fifo=True)
    with pytest.raises(ValueError, match="error_queue=S/Queue: it is a FIFO queue"):
        make(stack, error_queue=queue)
