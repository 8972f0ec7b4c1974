"""The `Ref` of a secret is its ARN, and generated values follow the template."""

from __future__ import annotations

import json
import string
from typing import Any

import pytest

from helpers.lambda_functions import Functions
from helpers.stacks import DeploymentFailedError, Stack, deploy, function, ref, role
from localaws import LocalAws

pytestmark = pytest.mark.local

READER = """
import boto3, os

def handler(event, context):
    return boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["SECRET"])["SecretString"]
"""


def secret(**properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::SecretsManager::Secret", "Properties": properties}


def deploy_secret(aws: LocalAws, **properties: Any) -> Stack:
    return deploy(aws, {"Secret": secret(**properties)}, {"Ref": ref("Secret")})


def deploy_generated(aws: LocalAws, **settings: Any) -> str:
    """The value of a secret that is generated with the settings."""
    stack = deploy_secret(aws, GenerateSecretString=settings)
    return value(aws, stack.outputs["Ref"])


def value(aws: LocalAws, secret_id: str) -> str:
    found: str = aws.client("secretsmanager").get_secret_value(SecretId=secret_id)["SecretString"]
    return found


def reader_of(aws: LocalAws) -> str:
    """A function whose role may read only the `Ref` of its secret."""
    reader = function("Role", READER)
    reader["Properties"]["Environment"] = {"Variables": {"SECRET": ref("Secret")}}
    resources = {
        "Secret": secret(SecretString="open sesame"),
        "Role": role(("secretsmanager:GetSecretValue", ref("Secret"))),
        "Reader": reader,
    }
    return deploy(aws, resources, {"Reader": ref("Reader")}).outputs["Reader"]


def test_ref_of_a_secret_is_its_arn(local_aws: LocalAws) -> None:
    stack = deploy_secret(local_aws, Name="database", SecretString="open sesame")
    prefix = f"arn:aws:secretsmanager:us-east-1:{local_aws.account}:secret:database-"
    assert stack.outputs["Ref"].startswith(prefix)
    assert len(stack.outputs["Ref"]) == len(prefix) + 6


def test_a_role_that_is_allowed_the_ref_can_read_the_secret(functions: Functions) -> None:
    assert functions.invoke(reader_of(functions.aws)).payload == "open sesame"


def test_a_secret_is_updated_in_place_and_deleted_with_its_stack(local_aws: LocalAws) -> None:
    stack = deploy_secret(local_aws, SecretString="one", Description="first")
    before = stack.outputs["Ref"]
    stack.update({"Secret": secret(SecretString="two")}, {"Ref": ref("Secret")})
    assert stack.outputs["Ref"] == before
    assert value(local_aws, before) == "two"
    stack.delete()
    client = local_aws.client("secretsmanager")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.describe_secret(SecretId=before)


def test_a_generated_password_has_each_kind_of_character_and_no_other(local_aws: LocalAws) -> None:
    found = deploy_generated(local_aws, PasswordLength=4)
    kinds = (string.ascii_lowercase, string.ascii_uppercase, string.digits, string.punctuation)
    assert len(found) == 4
    assert all(any(character in kind for character in found) for kind in kinds)


def test_a_generated_password_keeps_to_the_exclusions(local_aws: LocalAws) -> None:
    found = deploy_generated(
        local_aws,
        PasswordLength=400,
        ExcludePunctuation=True,
        ExcludeUppercase="true",
        ExcludeLowercase=True,
        ExcludeCharacters="01",
        IncludeSpace=True,
    )
    assert set(found) == set("23456789 ")


def test_a_generated_value_fills_the_template(local_aws: LocalAws) -> None:
    found = deploy_generated(
        local_aws,
        SecretStringTemplate='{"username": "admin"}',
        GenerateStringKey="password",
        ExcludePunctuation=True,
    )
    content = json.loads(found)
    assert content["username"] == "admin"
    assert len(content["password"]) == 32
    assert content["password"].isalnum()


def test_a_template_without_a_key_fails_the_deployment(local_aws: LocalAws) -> None:
    with pytest.raises(DeploymentFailedError, match="GenerateStringKey"):
        deploy_generated(local_aws, SecretStringTemplate="{}")


def test_a_target_attachment_finds_the_secret(local_aws: LocalAws) -> None:
    database = {"DBInstanceClass": "db.t4g.micro", "Engine": "postgres", "AllocatedStorage": "20"}
    database |= {"MasterUsername": "master", "MasterUserPassword": "a-secret-1"}
    attachment = {
        "SecretId": ref("Secret"),
        "TargetId": ref("Database"),
        "TargetType": "AWS::RDS::DBInstance",
    }
    stack = deploy(
        local_aws,
        {
            "Secret": secret(SecretString='{"username": "admin"}'),
            "Database": {"Type": "AWS::RDS::DBInstance", "Properties": database},
            "Attachment": {"Type": "AWS::SecretsManager::SecretTargetAttachment", "Properties": attachment},
        },
        {"Ref": ref("Secret"), "Attached": ref("Attachment")},
    )
    assert stack.outputs["Attached"] == stack.outputs["Ref"]
    assert json.loads(value(local_aws, stack.outputs["Ref"]))["engine"] == "postgres"


def test_the_emulator_still_returns_the_name_for_ref(stock_aws: LocalAws) -> None:
    stack = deploy_secret(stock_aws, Name="database", SecretString="open sesame")
    assert stack.outputs["Ref"] == "database"


def test_still_needed_the_emulator_denies_what_the_ref_allows(stock_functions: Functions) -> None:
    answer = stock_functions.invoke(reader_of(stock_functions.aws))
    assert "AccessDenied" in answer.payload["errorMessage"]


def test_the_emulator_still_ignores_exclusions(stock_aws: LocalAws) -> None:
    assert not deploy_generated(stock_aws, PasswordLength=400, ExcludePunctuation=True).isalnum()
