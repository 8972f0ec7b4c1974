"""Deployed RDS proxies, and their clients."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import boto3
import psycopg
import pytest

from helpers.databases import MASTER, Client, attribute, instance, new_name, parameters
from helpers.stacks import Resources, Stack, deploy, ref, role, session_of
from localaws import LocalAws


def network() -> Resources:
    """A VPC with two subnets, and the group of them."""
    vpc = {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}}
    subnets = {
        f"Subnet{number}": {
            "Type": "AWS::EC2::Subnet",
            "Properties": {
                "VpcId": ref("Vpc"),
                "CidrBlock": f"10.0.{number}.0/24",
                "AvailabilityZone": {"Fn::Select": [number, {"Fn::GetAZs": ""}]},
            },
        }
        for number in (0, 1)
    }
    group = {"DBSubnetGroupDescription": "test", "SubnetIds": SUBNETS}
    return {"Vpc": vpc, **subnets, "Subnets": {"Type": "AWS::RDS::DBSubnetGroup", "Properties": group}}


SUBNETS = [ref("Subnet0"), ref("Subnet1")]


def proxy_resources(
    *,
    name: str,
    pool: dict[str, Any] | None = None,
    reader: str = "rds.amazonaws.com",
    **changed: Any,
) -> Resources:
    """A proxy in front of the resource `Database`."""
    auth = {"AuthScheme": "SECRETS", "IAMAuth": "REQUIRED", "SecretArn": ref("Secret")}
    properties = {
        "DBProxyName": name,
        "EngineFamily": "POSTGRESQL",
        "Auth": [auth],
        "RequireTLS": True,
        "RoleArn": attribute("Role", "Arn"),
        "VpcSubnetIds": SUBNETS,
    }
    group = {
        "DBProxyName": ref("Proxy"),
        "TargetGroupName": "default",
        "DBInstanceIdentifiers": [ref("Database")],
        "ConnectionPoolConfigurationInfo": pool
        or {"MaxConnectionsPercent": 50, "ConnectionBorrowTimeout": 10},
    }
    secret = {"username": MASTER["MasterUsername"], "password": MASTER["MasterUserPassword"]}
    return {
        **network(),
        "Parameters": parameters(max_connections="20"),
        "Database": instance(DBSubnetGroupName=ref("Subnets")),
        "Secret": {"Type": "AWS::SecretsManager::Secret", "Properties": {"SecretString": json.dumps(secret)}},
        "Role": role(("secretsmanager:GetSecretValue", ref("Secret")), service=reader),
        "Proxy": {"Type": "AWS::RDS::DBProxy", "Properties": properties | changed},
        "Targets": {"Type": "AWS::RDS::DBProxyTargetGroup", "Properties": group},
    }


OUTPUTS = {
    "Name": ref("Proxy"),
    "Arn": attribute("Proxy", "DBProxyArn"),
    "Endpoint": attribute("Proxy", "Endpoint"),
    "Secret": ref("Secret"),
    "Database": ref("Database"),
    "Role": ref("Role"),
    "Targets": ref("Targets"),
}


@dataclass
class Proxy:
    """A deployed proxy."""

    aws: LocalAws
    stack: Stack
    name: str

    @property
    def outputs(self) -> dict[str, str]:
        """The outputs of its stack."""
        return self.stack.outputs

    @property
    def user(self) -> str:
        """The ARN of the master user at this proxy, for policies."""
        resource = self.outputs["Arn"].rpartition(":")[2]
        account = f"{self.aws.region}:{self.aws.account}"
        return f"arn:aws:rds-db:{account}:dbuser:{resource}/{MASTER['MasterUsername']}"

    def session(self, *, allowed: bool = True) -> boto3.Session:
        """A session that may, or may not, connect."""
        return session_of(self.aws, *([("rds-db:connect", self.user)] if allowed else []))

    def token(self, session: boto3.Session, **changed: Any) -> str:
        """A token for the master user at this proxy."""
        how = {
            "DBHostname": self.outputs["Endpoint"],
            "Port": 5432,
            "DBUsername": MASTER["MasterUsername"],
            "Region": self.aws.region,
        }
        token: str = session.client("rds").generate_db_auth_token(**how | changed)
        return token

    def connect(self, token: str = "", **changed: Any) -> Client:
        """A client with a token of a principal that may connect."""
        how = {
            "host": self.outputs["Endpoint"],
            "user": MASTER["MasterUsername"],
            "password": token or self.token(self.session()),
            "dbname": "app",
            "sslmode": "verify-full",
            "sslrootcert": str(self.aws.ca_file),
            "autocommit": True,
            "prepare_threshold": None,
        }
        return psycopg.connect(**how | changed)  # type: ignore[arg-type]

    def refusal(self, token: str = "", **changed: Any) -> str:
        """The error of a client that is refused."""
        with pytest.raises(psycopg.OperationalError) as refused:
            self.connect(token, **changed)
        return str(refused.value)

    def health(self) -> dict[str, Any]:
        """The description of its target."""
        targets = self.aws.client("rds").describe_db_proxy_targets(DBProxyName=self.name)["Targets"]
        health: dict[str, Any] = targets[0]["TargetHealth"]
        return health


def deploy_proxy(aws: LocalAws, **changed: Any) -> Proxy:
    """Deploy a proxy in front of an instance."""
    name = new_name("proxy")
    stack = deploy(aws, proxy_resources(name=name, **changed), OUTPUTS)
    return Proxy(aws, stack, name)
