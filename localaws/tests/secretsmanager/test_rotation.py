"""Secrets are rotated by their function."""

from __future__ import annotations

import uuid

import pytest

from helpers.lambda_functions import Functions, eventually
from helpers.stacks import DeploymentFailedError, arn, deploy, function, policy, ref, role
from localaws import LocalAws

pytestmark = pytest.mark.local

ROTATOR = """
import boto3

def handler(event, context):
    secrets, arn, token = boto3.client("secretsmanager"), event["SecretId"], event["ClientRequestToken"]
    if event["Step"] == "createSecret":
        assert secrets.describe_secret(SecretId=arn)["VersionIdsToStages"][token] == ["AWSPENDING"]
        try:
            secrets.get_secret_value(SecretId=arn, VersionId=token, VersionStage="AWSPENDING")
        except secrets.exceptions.ResourceNotFoundException:
            pass
        value = dict(SecretString="new", VersionStages=["AWSPENDING"])
        secrets.put_secret_value(SecretId=arn, ClientRequestToken=token, **value)
    if event["Step"] == "finishSecret":
        stages = secrets.describe_secret(SecretId=arn)["VersionIdsToStages"]
        old = next(version for version, names in stages.items() if "AWSCURRENT" in names)
        secrets.update_secret_version_stage(
            SecretId=arn, VersionStage="AWSCURRENT", MoveToVersionId=token, RemoveFromVersionId=old
        )
"""
ACTIONS = ("DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage")


def rotated(functions: Functions, *, allowed: bool = True, source: str = ROTATOR) -> tuple[str, str]:
    """A secret, and a function that may rotate it."""
    aws = functions.aws
    secret = aws.client("secretsmanager").create_secret(Name=f"s-{uuid.uuid4().hex[:8]}", SecretString="old")
    name = functions.make(source, role=functions.role(*((f"secretsmanager:{each}", "*") for each in ACTIONS)))
    if allowed:
        aws.client("lambda").add_permission(
            FunctionName=name,
            StatementId="rotation",
            Action="lambda:InvokeFunction",
            Principal="secretsmanager.amazonaws.com",
        )
    return secret["ARN"], functions.arn("lambda", f"function:{name}")


def test_the_function_makes_the_new_value_the_current_one(functions: Functions) -> None:
    secrets = functions.aws.client("secretsmanager")
    secret, function = rotated(functions)
    secrets.rotate_secret(
        SecretId=secret, RotationLambdaARN=function, RotationRules={"AutomaticallyAfterDays": 7}
    )
    eventually(lambda: secrets.get_secret_value(SecretId=secret)["SecretString"] == "new")
    eventually(lambda: "LastRotatedDate" in secrets.describe_secret(SecretId=secret))
    assert secrets.get_secret_value(SecretId=secret, VersionStage="AWSPREVIOUS")["SecretString"] == "old"
    assert secrets.describe_secret(SecretId=secret)["RotationEnabled"]
    secrets.cancel_rotate_secret(SecretId=secret)
    assert not secrets.describe_secret(SecretId=secret)["RotationEnabled"]


def test_a_function_that_does_not_allow_it_is_refused(functions: Functions) -> None:
    secrets = functions.aws.client("secretsmanager")
    secret, function = rotated(functions, allowed=False)
    with pytest.raises(secrets.exceptions.ClientError, match="cannot invoke the specified Lambda function"):
        secrets.rotate_secret(SecretId=secret, RotationLambdaARN=function)


def test_a_schedule_in_a_template_rotates_at_once(local_aws: LocalAws) -> None:
    permission = {"Action": "lambda:InvokeFunction", "Principal": "secretsmanager.amazonaws.com"}
    schedule = {"SecretId": ref("Secret"), "RotationLambdaARN": arn("Rotator")}
    document = policy(("secretsmanager:DeleteSecret", "*"))
    document["Statement"][0] |= {"Effect": "Deny", "Principal": {"AWS": local_aws.account}}
    resources = {
        "Secret": {"Type": "AWS::SecretsManager::Secret", "Properties": {"SecretString": "old"}},
        "Role": role(*((f"secretsmanager:{each}", ref("Secret")) for each in ACTIONS)),
        "Rotator": function("Role", ROTATOR),
        "Permission": {
            "Type": "AWS::Lambda::Permission",
            "Properties": {"FunctionName": ref("Rotator"), **permission},
        },
        "Schedule": {
            "Type": "AWS::SecretsManager::RotationSchedule",
            "DependsOn": "Permission",
            "Properties": {**schedule, "RotationRules": {"ScheduleExpression": "rate(7 days)"}},
        },
        "Policy": {
            "Type": "AWS::SecretsManager::ResourcePolicy",
            "Properties": {"SecretId": ref("Secret"), "ResourcePolicy": document},
        },
    }
    stack = deploy(local_aws, resources, {"Secret": ref("Secret"), "Schedule": ref("Schedule")})
    secrets, secret = local_aws.client("secretsmanager"), stack.outputs["Secret"]
    assert stack.outputs["Schedule"] == secret
    eventually(lambda: secrets.get_secret_value(SecretId=secret)["SecretString"] == "new")
    assert "DeleteSecret" in secrets.get_resource_policy(SecretId=secret)["ResourcePolicy"]
    del resources["Schedule"], resources["Policy"]
    stack.update(resources)
    assert not secrets.describe_secret(SecretId=secret)["RotationEnabled"]
    assert "ResourcePolicy" not in secrets.get_resource_policy(SecretId=secret)


def test_hosted_rotation_is_refused(local_aws: LocalAws) -> None:
    resources = {
        "Secret": {"Type": "AWS::SecretsManager::Secret", "Properties": {"SecretString": "old"}},
        "Schedule": {
            "Type": "AWS::SecretsManager::RotationSchedule",
            "Properties": {
                "SecretId": ref("Secret"),
                "HostedRotationLambda": {"RotationType": "PostgreSQLSingleUser"},
            },
        },
    }
    with pytest.raises(DeploymentFailedError, match="HostedRotationLambda is not emulated"):
        deploy(local_aws, resources)


def test_the_emulator_still_invokes_no_function(stock_aws: LocalAws) -> None:
    functions = Functions(stock_aws)
    secrets = stock_aws.client("secretsmanager")
    secret, function = rotated(functions)
    secrets.rotate_secret(
        SecretId=secret, RotationLambdaARN=function, RotationRules={"AutomaticallyAfterDays": 7}
    )
    assert secrets.get_secret_value(SecretId=secret)["SecretString"] == "old"
    assert len(secrets.describe_secret(SecretId=secret)["VersionIdsToStages"]) == 2
