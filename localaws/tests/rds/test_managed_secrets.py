"""RDS manages the password of the master user in Secrets Manager."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError

from helpers.stacks import DeploymentFailedError, Resources, Stack, deploy
from localaws import LocalAws

pytestmark = pytest.mark.local

OUTPUTS = {
    "Secret": {"Fn::GetAtt": ["Database", "MasterUserSecret.SecretArn"]},
    "Address": {"Fn::GetAtt": ["Database", "Endpoint.Address"]},
}


def instance(**properties: object) -> Resources:
    """An instance whose password RDS manages."""
    settings: dict[str, object] = {
        "Engine": "postgres",
        "DBInstanceClass": "db.t4g.micro",
        "AllocatedStorage": "20",
        "DBName": "app",
        "MasterUsername": "owner_of_all",
        "ManageMasterUserPassword": True,
    }
    described = {
        "Type": "AWS::RDS::DBInstance",
        "DeletionPolicy": "Delete",
        "Properties": settings | properties,
    }
    return {"Database": described}


CLUSTER: Resources = {
    "Database": {
        "Type": "AWS::RDS::DBCluster",
        "DeletionPolicy": "Delete",
        "Properties": {
            "Engine": "aurora-postgresql",
            "DatabaseName": "app",
            "MasterUsername": "owner_of_all",
            "ManageMasterUserPassword": True,
        },
    },
    "Writer": {
        "Type": "AWS::RDS::DBInstance",
        "DeletionPolicy": "Delete",
        "Properties": {
            "DBClusterIdentifier": {"Ref": "Database"},
            "DBInstanceClass": "db.serverless",
            "Engine": "aurora-postgresql",
        },
    },
}


@dataclass
class Managed:
    """A database and the secret of its master user."""

    aws: LocalAws
    stack: Stack

    @property
    def arn(self) -> str:
        """The secret's ARN."""
        return self.stack.outputs["Secret"]

    def content(self) -> dict[str, str]:
        """The content of the secret."""
        answer = self.aws.client("secretsmanager").get_secret_value(SecretId=self.arn)
        content: dict[str, str] = json.loads(answer["SecretString"])
        return content

    def log_in(self, password: str) -> None:
        """Connect to the database, and disconnect."""
        psycopg.connect(
            host=self.stack.outputs["Address"],
            user="owner_of_all",
            password=password,
            dbname="app",
            sslmode="verify-full",
            sslrootcert=self.aws.environment["AWS_CA_BUNDLE"],
        ).close()


@pytest.fixture(scope="module")
def managed(local_aws: LocalAws) -> Managed:
    return Managed(local_aws, deploy(local_aws, instance(), OUTPUTS))


def test_the_secret_holds_the_user_and_a_password_that_opens_the_database(managed: Managed) -> None:
    content = managed.content()
    assert set(content) == {"username", "password"}
    assert content["username"] == "owner_of_all"
    assert len(content["password"]) >= 20
    managed.log_in(content["password"])
    with pytest.raises(psycopg.OperationalError):
        managed.log_in("password")


def test_its_rotation_is_on_without_a_function(managed: Managed) -> None:
    described = managed.aws.client("secretsmanager").describe_secret(SecretId=managed.arn)
    assert described["Name"].startswith("rds!db-")
    assert described["RotationEnabled"] is True
    assert described["RotationRules"] == {"AutomaticallyAfterDays": 7}
    assert not described.get("RotationLambdaARN")


def test_rotating_changes_the_password_in_the_database_and_in_the_secret(managed: Managed) -> None:
    before = managed.content()["password"]
    managed.aws.client("secretsmanager").rotate_secret(SecretId=managed.arn)
    after = managed.content()["password"]
    assert after != before
    managed.log_in(after)
    with pytest.raises(psycopg.OperationalError):
        managed.log_in(before)


def test_an_update_of_the_database_keeps_the_password(managed: Managed) -> None:
    before = managed.content()["password"]
    managed.stack.update(instance(BackupRetentionPeriod=3), OUTPUTS)
    assert managed.content()["password"] == before
    managed.log_in(before)


def test_a_password_cannot_be_combined_with_it(local_aws: LocalAws) -> None:
    with pytest.raises(DeploymentFailedError, match="cannot be combined"):
        deploy(local_aws, instance(MasterUserPassword="a-secret-1"), OUTPUTS)


@pytest.mark.parametrize("resources", [instance(), CLUSTER], ids=["instance", "cluster"])
def test_the_secret_is_deleted_with_the_database(local_aws: LocalAws, resources: Resources) -> None:
    managed = Managed(local_aws, deploy(local_aws, resources, OUTPUTS))
    managed.log_in(managed.content()["password"])
    managed.stack.delete()
    with pytest.raises(ClientError, match="ResourceNotFound"):
        managed.content()


def test_still_needed_the_emulator_makes_no_secret(stock_aws: LocalAws) -> None:
    outputs: dict[str, Any] = {"Secret": OUTPUTS["Secret"]}
    with pytest.raises(DeploymentFailedError, match="MasterUserSecret"):
        deploy(stock_aws, instance(), outputs)
