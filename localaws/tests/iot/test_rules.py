"""Rules of AWS IoT: permissions of actions, and the asynchronous invocation of functions."""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any

import pytest

from helpers.lambda_functions import Functions, Queue
from localaws import LocalAws

pytestmark = pytest.mark.local

ECHO = "handler = lambda event, context: event"
FAILING = "def handler(event, context): raise RuntimeError('no')"
IOT = "iot.amazonaws.com"


class Rule:
    """A rule for a topic of its own, whose error action sends to a queue."""

    def __init__(self, functions: Functions, action: dict[str, Any]) -> None:
        self.aws = functions.aws
        self.name = f"rule_{uuid.uuid4().hex[:8]}"
        self.arn = functions.arn("iot", f"rule/{self.name}")
        self.errors = functions.queue()
        self.role = functions.role(("sqs:SendMessage", self.errors.arn), service=IOT)
        payload = {
            "sql": "SELECT * FROM 'NAME/#'".replace("NAME", self.name),
            "actions": [action],
            "errorAction": {"sqs": {"queueUrl": self.errors.url, "roleArn": self.role, "useBase64": False}},
        }
        self.aws.client("iot").create_topic_rule(ruleName=self.name, topicRulePayload=payload)

    def publish(self, **message: Any) -> None:
        self.aws.client("iot-data").publish(
            topic=f"{self.name}/a", qos=1, payload=json.dumps(message).encode()
        )

    def failure(self) -> dict[str, Any]:
        report = self.errors.wait_for_body()
        assert json.loads(base64.b64decode(report["base64OriginalPayload"])) == {"n": 1}
        (failure,) = report["failures"]
        return dict(failure)


def function_with_records(functions: Functions, source: str) -> tuple[str, Queue]:
    queue = functions.queue()
    name = functions.make(source, role=functions.role(("sqs:SendMessage", queue.arn)))
    functions.settle(name, MaximumRetryAttempts=1, OnSuccess=queue.arn, OnFailure=queue.arn)
    return name, queue


def permit(functions: Functions, name: str, source: str) -> None:
    functions.aws.client("lambda").add_permission(
        FunctionName=name,
        StatementId=uuid.uuid4().hex,
        Action="lambda:InvokeFunction",
        Principal=IOT,
        SourceArn=source,
        SourceAccount=functions.aws.account,
    )


def test_a_function_is_invoked_asynchronously_for_the_rule_that_its_policy_names(
    functions: Functions,
) -> None:
    name, records = function_with_records(functions, FAILING)
    rule = Rule(functions, {"lambda": {"functionArn": functions.arn("lambda", f"function:{name}")}})
    permit(functions, name, f"{rule.arn}-of-others")
    rule.publish(n=1)
    failure = rule.failure()
    assert failure["failedAction"] == "LambdaAction"
    assert failure["failedResource"].endswith(f":function:{name}")
    permit(functions, name, rule.arn)
    rule.publish(n=2)
    record = records.wait_for_body()  # the first one is that of the second message
    assert record["requestPayload"] == {"n": 2}
    assert record["requestContext"]["approximateInvokeCount"] == 2
    assert record["requestContext"]["condition"] == "RetriesExhausted"


def test_a_function_that_is_gone_is_a_failure(functions: Functions) -> None:
    rule = Rule(functions, {"lambda": {"functionArn": functions.arn("lambda", "function:missing")}})
    rule.publish(n=1)
    assert rule.failure()["failedAction"] == "LambdaAction"


def test_the_error_action_needs_its_role_as_well(functions: Functions) -> None:
    rule = Rule(functions, {"lambda": {"functionArn": functions.arn("lambda", "function:missing")}})
    iam, role = functions.aws.client("iam"), rule.role.rpartition("/")[2]
    (policy,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
    iam.delete_role_policy(RoleName=role, PolicyName=policy)
    rule.publish(n=2)
    iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(document))
    rule.publish(n=1)
    rule.failure()  # the only report is about the second message


@pytest.mark.parametrize("trusts", [True, False])
@pytest.mark.parametrize("kind", ["sqs", "sns", "dynamoDBv2", "republish"])
def test_the_role_of_an_action_trusts_aws_iot_and_allows_the_action(
    functions: Functions, kind: str, trusts: bool
) -> None:
    queue = functions.queue(writable_by="sns.amazonaws.com")
    topic = functions.topic(queue)
    cases: dict[str, tuple[dict[str, Any], str, str]] = {
        "sqs": ({"queueUrl": queue.url}, "sqs:SendMessage", queue.arn),
        "sns": ({"targetArn": topic}, "sns:Publish", topic),
        "dynamoDBv2": (
            {"putItem": {"tableName": "t"}},
            "dynamodb:PutItem",
            functions.arn("dynamodb", "table/t"),
        ),
        "republish": ({"topic": "other"}, "iot:Publish", functions.arn("iot", "topic/other")),
    }
    settings, needed, resource = cases[kind]
    if trusts:
        role, reason = functions.role((needed, f"{resource}-of-others"), service=IOT), needed
    else:
        role, reason = functions.role((needed, resource)), "sts:AssumeRole"
    rule = Rule(functions, {kind: {**settings, "roleArn": role}})
    rule.publish(n=1)
    failure = rule.failure()
    assert failure["failedAction"].lower() == f"{kind}Action".lower()
    assert reason in failure["errorMessage"]


def test_with_its_permissions_an_action_is_performed(functions: Functions) -> None:
    queue = functions.queue()
    role = functions.role(("sqs:SendMessage", queue.arn), service=IOT)
    rule = Rule(functions, {"sqs": {"queueUrl": queue.url, "roleArn": role}})
    rule.publish(n=1)
    assert queue.wait_for_body() == {"n": 1}


def test_still_needed_the_emulator_asks_for_no_permission(stock_aws: LocalAws) -> None:
    functions = Functions(stock_aws)
    queue = functions.queue()
    rule = Rule(functions, {"sqs": {"queueUrl": queue.url, "roleArn": functions.role(service=IOT)}})
    rule.publish(n=1)
    assert queue.wait_for_body() == {"n": 1}


@pytest.mark.parametrize(
    "rest",
    [
        "'a'; rubbish (",
        "'a' WHERE ",
        "'a' SELECT * FROM 'b'",
        "'a/b/c/d/e/f/g/h/i'",
        "'a\0'",
        "'a+'",
        "'#/a'",
        f"'{'x' * 257}'",
    ],
)
def test_a_statement_has_a_filter_and_perhaps_a_condition(local_aws: LocalAws, rest: str) -> None:
    client = local_aws.client("iot")
    payload = {"sql": "SELECT * FROM REST".replace("REST", rest), "actions": []}
    with pytest.raises(client.exceptions.SqlParseException):
        client.create_topic_rule(ruleName="refused", topicRulePayload=payload)


@pytest.mark.parametrize("rest", ["'a/+/c/#' WHERE n > 1", "'$aws/things/+/shadow/name/+/update/accepted'"])
def test_other_statements_are_taken(local_aws: LocalAws, rest: str) -> None:
    client = local_aws.client("iot")
    client.create_topic_rule(
        ruleName="taken", topicRulePayload={"sql": "SELECT * FROM REST".replace("REST", rest), "actions": []}
    )
    client.delete_topic_rule(ruleName="taken")
