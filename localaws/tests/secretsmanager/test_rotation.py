"""A database's secret is rotated for real: another password in the database and in the secret."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from helpers.databases import MASTER, Database, attribute, cluster, instance, member, parameters
from helpers.deployed_proxies import Proxy, deploy_proxy
from helpers.lambda_functions import eventually
from helpers.stacks import Resources, Stack, deploy, ref
from localaws import LocalAws

pytestmark = pytest.mark.local

# As the CDK writes it.
APPLICATION = "arn:aws:serverlessrepo:us-east-1:297356227824:applications/SecretsManagerRDSPostgreSQLRotation"


def rotated(*, exclude: str = " /@\"'\\", at_once: bool = True, application: str = "SingleUser") -> Resources:
    """An instance, and its master user's secret with a rotation schedule."""
    parameters_ = {"functionName": "rotator", "excludeCharacters": exclude}
    location = {"ApplicationId": APPLICATION + application, "SemanticVersion": "1.1.618"}
    secret = json.dumps({"username": MASTER["MasterUsername"], "password": MASTER["MasterUserPassword"]})
    attachment = {
        "SecretId": ref("Secret"),
        "TargetId": ref("Database"),
        "TargetType": "AWS::RDS::DBInstance",
    }
    schedule = {
        "SecretId": ref("Attachment"),
        "RotationLambdaARN": attribute("Rotation", "Outputs.RotationLambdaARN"),
        "RotationRules": {"ScheduleExpression": "rate(30 days)"},
        "RotateImmediatelyOnUpdate": at_once,
    }
    return {
        "Parameters": parameters(max_connections="20"),
        "Database": instance(),
        "Secret": {"Type": "AWS::SecretsManager::Secret", "Properties": {"SecretString": secret}},
        "Attachment": {"Type": "AWS::SecretsManager::SecretTargetAttachment", "Properties": attachment},
        "Rotation": {
            "Type": "AWS::Serverless::Application",
            "Properties": {"Location": location, "Parameters": parameters_},
        },
        "Schedule": {"Type": "AWS::SecretsManager::RotationSchedule", "Properties": schedule},
    }


OUTPUTS = {
    "Secret": ref("Secret"),
    "Schedule": ref("Schedule"),
    "Id": ref("Database"),
    "Address": attribute("Database", "Endpoint.Address"),
}


def deploy_rotated(aws: LocalAws, **changed: Any) -> Stack:
    """Deploy it, with the transform that the CDK declares for the application."""
    template = {
        "Transform": "AWS::Serverless-2016-10-31",
        "Resources": rotated(**changed),
        "Outputs": {name: {"Value": value} for name, value in OUTPUTS.items()},
    }
    stack = deploy(aws, {"Nothing": {"Type": "AWS::SNS::Topic"}})  # for the name, and the capabilities below
    stack.delete()
    client = aws.client("cloudformation")
    client.create_stack(
        StackName=stack.name,
        TemplateBody=json.dumps(template),
        Capabilities=["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
    )
    described = eventually(lambda: settled(client, stack.name)) or {}
    assert described["StackStatus"] == "CREATE_COMPLETE", reasons(client, described["StackId"])
    stack.outputs = {entry["OutputKey"]: entry["OutputValue"] for entry in described["Outputs"]}
    return stack


def settled(client: Any, name: str) -> dict[str, Any] | None:
    described: dict[str, Any] = client.describe_stacks(StackName=name)["Stacks"][0]
    return None if described["StackStatus"].endswith("_IN_PROGRESS") else described


def reasons(client: Any, stack: str) -> list[str]:
    events = client.describe_stack_events(StackName=stack)["StackEvents"]
    return [event.get("ResourceStatusReason", "") for event in events]


def secret_of(aws: LocalAws, secret: str, stage: str = "AWSCURRENT") -> dict[str, Any]:
    answer = aws.client("secretsmanager").get_secret_value(SecretId=secret, VersionStage=stage)
    content: dict[str, Any] = json.loads(answer["SecretString"])
    return content


def database_of(stack: Stack) -> Database:
    return Database(stack.aws, stack.outputs["Address"], 5432, stack.outputs["Id"])


def test_a_schedule_rotates_at_once(local_aws: LocalAws) -> None:
    stack = deploy_rotated(local_aws)
    new, old = (secret_of(local_aws, stack.outputs["Secret"], each) for each in ("AWSCURRENT", "AWSPREVIOUS"))
    assert old["password"] == MASTER["MasterUserPassword"]
    assert new["password"] != old["password"]
    assert new["host"] == stack.outputs["Address"]
    database_of(stack).connect(password=new["password"]).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        database_of(stack).connect(password=old["password"])


def test_a_secret_is_rotated_on_demand_and_has_its_schedule(local_aws: LocalAws) -> None:
    stack = deploy_rotated(local_aws, at_once=False)
    client, name = local_aws.client("secretsmanager"), stack.outputs["Secret"]
    assert secret_of(local_aws, name)["password"] == MASTER["MasterUserPassword"]
    described = client.describe_secret(SecretId=name)
    assert described["RotationEnabled"] is True
    assert described["RotationRules"] == {"ScheduleExpression": "rate(30 days)"}
    assert described["RotationLambdaARN"].endswith(":function:rotator")
    assert stack.outputs["Schedule"] == described["ARN"]
    client.rotate_secret(SecretId=name)
    database_of(stack).connect(password=secret_of(local_aws, name)["password"]).close()


def test_passwords_leave_out_the_excluded_characters(local_aws: LocalAws) -> None:
    stack = deploy_rotated(local_aws, exclude="abcdefghijklmnopqrstuvwxyz/@\"'\\ ")
    password = secret_of(local_aws, stack.outputs["Secret"])["password"]
    assert password.upper() == password


def test_a_hosted_rotation_of_a_cluster_waits_until_it_runs(local_aws: LocalAws) -> None:
    resources = rotated()
    resources["Parameters"] = parameters("DBCluster", max_connections="20")
    resources["Cluster"] = cluster()
    attachment = resources["Attachment"]["Properties"]
    attachment |= {"TargetId": ref("Cluster"), "TargetType": "AWS::RDS::DBCluster"}
    schedule = resources["Schedule"]["Properties"]
    del resources["Database"], resources["Rotation"], schedule["RotationLambdaARN"]
    schedule["HostedRotationLambda"] = {"RotationType": "PostgreSQLSingleUser"}
    outputs = {
        "Secret": ref("Secret"),
        "Id": ref("Cluster"),
        "Address": attribute("Cluster", "Endpoint.Address"),
    }
    stack = deploy(local_aws, resources, outputs)
    assert secret_of(local_aws, stack.outputs["Secret"])["password"] == MASTER["MasterUserPassword"]
    stack.update({**resources, "Member": member()}, outputs)

    def changed() -> str:
        password: str = secret_of(local_aws, stack.outputs["Secret"])["password"]
        return "" if password == MASTER["MasterUserPassword"] else password

    database_of(stack).connect(password=eventually(changed)).close()


def test_a_proxy_goes_on_with_the_new_password(local_aws: LocalAws) -> None:
    proxy: Proxy = deploy_proxy(local_aws)
    old = proxy.connect()
    secret, rds = proxy.outputs["Secret"], local_aws.client("rds")
    described = rds.describe_db_instances(DBInstanceIdentifier=proxy.outputs["Database"])["DBInstances"][0]
    address = described["Endpoint"]["Address"]
    content = {**secret_of(local_aws, secret), "host": address}
    client = local_aws.client("secretsmanager")
    client.put_secret_value(SecretId=secret, SecretString=json.dumps(content))
    application = rotated()["Rotation"]
    function = deploy(
        local_aws, {"Rotation": application}, {"Arn": attribute("Rotation", "Outputs.RotationLambdaARN")}
    )
    client.rotate_secret(SecretId=secret, RotationLambdaARN=function.outputs["Arn"])
    assert secret_of(local_aws, secret)["password"] != MASTER["MasterUserPassword"]
    rds.reboot_db_instance(DBInstanceIdentifier=proxy.outputs["Database"])
    Database(local_aws, address, 5432, proxy.outputs["Database"]).wait()
    assert old.execute("select 1").fetchone() == (1,)
    proxy.connect().close()


def test_alternating_users_are_refused(local_aws: LocalAws) -> None:
    application = {"Rotation": rotated(application="MultiUser")["Rotation"]}
    with pytest.raises(Exception, match="MultiUser is not emulated"):
        deploy(local_aws, application)


def test_a_resource_policy_comes_and_goes(local_aws: LocalAws) -> None:
    statement = {"Effect": "Deny", "Action": "secretsmanager:DeleteSecret", "Principal": "*", "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    properties = {"SecretId": ref("Secret"), "ResourcePolicy": document}
    secret = {"Type": "AWS::SecretsManager::Secret", "Properties": {"SecretString": "x"}}
    policy = {"Type": "AWS::SecretsManager::ResourcePolicy", "Properties": properties}
    stack = deploy(local_aws, {"Secret": secret, "Policy": policy}, {"Secret": ref("Secret")})
    client = local_aws.client("secretsmanager")
    kept = client.get_resource_policy(SecretId=stack.outputs["Secret"])["ResourcePolicy"]
    assert json.loads(kept) == document
    stack.update({"Secret": secret}, {"Secret": ref("Secret")})
    assert "ResourcePolicy" not in client.get_resource_policy(SecretId=stack.outputs["Secret"])


def test_the_emulator_still_does_not_know_the_types(stock_aws: LocalAws) -> None:
    resources = rotated()
    with pytest.raises(
        Exception, match="AWS::SecretsManager::RotationSchedule, AWS::Serverless::Application"
    ):
        deploy(stock_aws, resources, OUTPUTS)


def test_the_emulator_still_rotates_without_changing_anything(stock_aws: LocalAws) -> None:
    client = stock_aws.client("secretsmanager")
    secret = client.create_secret(Name="rotated", SecretString='{"password": "one"}')["ARN"]
    arn = f"arn:aws:lambda:us-east-1:{stock_aws.account}:function:rotator"
    client.rotate_secret(SecretId=secret, RotationLambdaARN=arn)
    assert secret_of(stock_aws, secret) == {"password": "one"}
