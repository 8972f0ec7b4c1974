"""Resources of templates that AWS refuses, as it refuses the requests that CloudFormation makes for them."""

from __future__ import annotations

from typing import Any

import pytest

from helpers.refusals import document
from helpers.stacks import DeploymentFailedError, deploy, trust
from localaws import LocalAws

pytestmark = pytest.mark.local

ACCOUNT = "123456789012"
TRUST = trust("lambda.amazonaws.com")
MANAGED = [f"arn:aws:iam::aws:policy/Policy{number}" for number in range(11)]
LONG = [f"arn:aws:s3:::{'x' * 100}{number}" for number in range(100)]


def statement(**changes: Any) -> dict[str, Any]:
    found = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", **changes}
    return {"Version": "2012-10-17", "Statement": [{k: v for k, v in found.items() if v is not None}]}


def role(**changes: Any) -> dict[str, Any]:
    return {"AssumeRolePolicyDocument": TRUST, **changes}


def inline(**changes: Any) -> dict[str, Any]:
    return role(Policies=[{"PolicyName": "own", "PolicyDocument": statement(**changes)}])


SCHEDULE = {"ScheduleExpression": "rate(1 day)"}
FUNCTION = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:any"
ALARM = {"MetricName": "m", "Namespace": "n", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1}
ALARM |= {"Threshold": 1, "ComparisonOperator": "GreaterThanThreshold"}
TABLE = {
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
}
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("IAM::Role", role(RoleName="a b"), "Value 'a b' at 'roleName' failed"),
    ("IAM::Role", role(Description="a \u2014 b"), "at 'description' failed"),
    ("IAM::Role", role(MaxSessionDuration=60), "Value '60' at 'maxSessionDuration' failed"),
    ("IAM::Role", role(ManagedPolicyArns=MANAGED), "Cannot exceed quota for PoliciesPerRole: 10"),
    ("IAM::Role", role(ManagedPolicyArns=[f"arn:aws:iam::{ACCOUNT}:policy/none"]), "is not attachable"),
    ("IAM::Role", {"AssumeRolePolicyDocument": trust("lambda")}, "Invalid principal in policy"),
    ("IAM::Role", inline(Resource="bucket"), 'Resource bucket must be in ARN format or "*".'),
    ("IAM::Role", inline(Resource=LONG), "Maximum policy size of 10240 bytes exceeded for role"),
    ("IAM::ManagedPolicy", {"PolicyDocument": statement(Action="GetObject")}, "must be prefaced by a vendor"),
    ("IAM::ManagedPolicy", {"PolicyDocument": statement(Resource=LONG[:60])}, "quota for PolicySize: 6144"),
    ("S3::BucketPolicy", {"Bucket": "b", "PolicyDocument": statement()}, "Missing required field Principal"),
    ("SNS::TopicPolicy", {"Topics": [], "PolicyDocument": statement()}, "Policy Error: null"),
    (
        "SQS::QueuePolicy",
        {"Queues": [], "PolicyDocument": statement()},
        "Invalid value for the parameter Policy.",
    ),
    ("KMS::Key", {"KeyPolicy": statement(Action="kms:*")}, "Missing required field Principal"),
    ("KMS::Key", {"PendingWindowInDays": 6}, "PendingWindowInDays"),
    ("KMS::Alias", {"AliasName": "alias/aws/a", "TargetKeyId": "a"}, "reserved"),
    ("Lambda::EventInvokeConfig", {"MaximumEventAgeInSeconds": 59}, "at 'maximumEventAgeInSeconds' failed"),
    ("Lambda::Permission", {"Action": "s3:Get", "Principal": "*"}, "Value 's3:Get' at 'action' failed"),
    (
        "Lambda::Permission",
        {"Action": "lambda:Invoke", "Principal": "s3"},
        "The provided principal was invalid.",
    ),
    ("Events::Rule", {"ScheduleExpression": "rate(5 minute)"}, "Parameter ScheduleExpression is not valid."),
    (
        "Events::Rule",
        {**SCHEDULE, "Targets": [{"Id": "a b", "Arn": FUNCTION}]},
        "at 'targets.1.member.id' failed",
    ),
    (
        "Events::Rule",
        {**SCHEDULE, "Targets": [{"Id": "x", "Arn": FUNCTION, "Input": "a"}]},
        "JSON syntax error",
    ),
    ("CloudWatch::Alarm", {**ALARM, "AlarmActions": ["topic"]}, "Invalid arn syntax: topic"),
    ("CloudWatch::Alarm", {**ALARM, "AlarmDescription": "x" * 1025}, "less than or equal to 1024"),
    ("SecretsManager::Secret", {"Name": "a b"}, "Invalid name."),
    (
        "SecretsManager::Secret",
        {"GenerateSecretString": {"PasswordLength": 5000}},
        "at 'passwordLength' failed",
    ),
    (
        "DynamoDB::Table",
        {**TABLE, "BillingMode": "PAY_PER_REQUEST", "GlobalSecondaryIndexes": []},
        "is empty",
    ),
    ("Kinesis::Stream", {"ShardCount": 1, "StreamModeDetails": {"StreamMode": "ON_DEMAND"}}, "ShardCount"),
    ("Cognito::UserPool", {"UserPoolName": "a/b"}, "Value 'a/b' at 'poolName' failed"),
    ("Logs::LogGroup", {"LogGroupName": "a b"}, "Value 'a b' at 'logGroupName' failed"),
]


@pytest.mark.parametrize(("type_", "properties", "text"), REFUSED)
def test_a_resource_is_refused(
    local_aws: LocalAws, type_: str, properties: dict[str, Any], text: str
) -> None:
    with pytest.raises(DeploymentFailedError) as raised:
        deploy(local_aws, {"Refused": {"Type": f"AWS::{type_}", "Properties": properties}})
    assert text in str(raised.value)


def test_an_update_is_refused(local_aws: LocalAws) -> None:
    resource = {"Type": "AWS::IAM::Role", "Properties": role(Description="first")}
    stack = deploy(local_aws, {"Role": resource})
    with pytest.raises(DeploymentFailedError, match="at 'description' failed"):
        stack.update({"Role": {**resource, "Properties": role(Description="\u2014")}})


def test_values_of_every_form_that_templates_have_are_accepted(local_aws: LocalAws) -> None:
    tags = [{"Key": f"key {number}", "Value": "ü"} for number in range(50)]
    numbers_as_text = {**ALARM, "Period": "60", "Threshold": "1", "EvaluationPeriods": "1"}
    pattern = {
        "EventPattern": {"source": ["shop"]},
        "Targets": [{"Id": "x", "Arn": FUNCTION, "Input": document()}],
    }
    deploy(
        local_aws,
        {
            "Role": {"Type": "AWS::IAM::Role", "Properties": role(Tags=tags, MaxSessionDuration="3600")},
            "Alarm": {"Type": "AWS::CloudWatch::Alarm", "Properties": numbers_as_text},
            "Rule": {"Type": "AWS::Events::Rule", "Properties": pattern},
            "Key": {"Type": "AWS::KMS::Key", "Properties": {"Tags": tags}},
            "Secret": {"Type": "AWS::SecretsManager::Secret", "Properties": {"Tags": tags}},
        },
    )
