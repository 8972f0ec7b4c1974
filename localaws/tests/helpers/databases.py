"""Databases of RDS, and their clients."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import psycopg

from helpers.lambda_functions import eventually
from helpers.stacks import Resources, Stack, deploy, ref
from localaws import LocalAws

MASTER = {"MasterUsername": "master", "MasterUserPassword": "a-secret-1"}
Client = psycopg.Connection[tuple[Any, ...]]


def attribute(logical_id: str, name: str) -> dict[str, list[str]]:
    """An attribute of a resource."""
    return {"Fn::GetAtt": [logical_id, name]}


def parameters(kind: str = "DB", **values: str) -> dict[str, Any]:
    """A parameter group."""
    family = "postgres17" if kind == "DB" else "aurora-postgresql17"
    properties = {"Family": family, "Description": "test", "Parameters": values}
    return {"Type": f"AWS::RDS::{kind}ParameterGroup", "Properties": properties}


def instance(**properties: Any) -> dict[str, Any]:
    """An instance with PostgreSQL, a database `app` and 20 connections."""
    settings = {
        "Engine": "postgres",
        "DBInstanceClass": "db.t4g.micro",
        "AllocatedStorage": "20",
        "DBName": "app",
        "DBParameterGroupName": ref("Parameters"),
        **MASTER,
    }
    return {"Type": "AWS::RDS::DBInstance", "DeletionPolicy": "Delete", "Properties": settings | properties}


def cluster(**properties: Any) -> dict[str, Any]:
    """An Aurora Serverless cluster."""
    settings = {
        "Engine": "aurora-postgresql",
        "DatabaseName": "app",
        "DBClusterParameterGroupName": ref("Parameters"),
        "ServerlessV2ScalingConfiguration": {"MinCapacity": 0.5, "MaxCapacity": 1},
        **MASTER,
    }
    return {"Type": "AWS::RDS::DBCluster", "DeletionPolicy": "Delete", "Properties": settings | properties}


def member(after: str = "") -> dict[str, Any]:
    """An instance of the cluster."""
    properties = {
        "DBClusterIdentifier": ref("Cluster"),
        "DBInstanceClass": "db.serverless",
        "Engine": "aurora-postgresql",
    }
    made = {"Type": "AWS::RDS::DBInstance", "DeletionPolicy": "Delete", "Properties": properties}
    return made | ({"DependsOn": after} if after else {})


def deploy_instance(aws: LocalAws, **properties: Any) -> tuple[Stack, Database]:
    """Deploy an instance."""
    stack = deploy(aws, instance_resources(**properties), INSTANCE_OUTPUTS)
    return stack, Database(aws, stack.outputs["Address"], int(stack.outputs["Port"]), stack.outputs["Id"])


def instance_resources(**properties: Any) -> Resources:
    """The resources of `deploy_instance`."""
    return {"Parameters": parameters(max_connections="20"), "Database": instance(**properties)}


INSTANCE_OUTPUTS = {
    "Id": ref("Database"),
    "Address": attribute("Database", "Endpoint.Address"),
    "Port": attribute("Database", "Endpoint.Port"),
}


@dataclass(frozen=True)
class Database:
    """The endpoint of a database.

    Attributes:
        aws: The embedded AWS.
        address: Its address.
        port: Its port.
        id: The identifier of the instance or the cluster.
    """

    aws: LocalAws
    address: str
    port: int
    id: str

    def connect(self, **changed: Any) -> Client:
        """A client, which verifies the certificate."""
        how = {
            "host": self.address,
            "port": self.port,
            "user": MASTER["MasterUsername"],
            "password": MASTER["MasterUserPassword"],
            "dbname": "app",
            "sslmode": "verify-full",
            "sslrootcert": str(self.aws.ca_file),
            "autocommit": True,
        }
        return psycopg.connect(**how | changed)  # type: ignore[arg-type]

    def run(self, sql: str) -> None:
        """Run statements."""
        with self.connect() as client:
            client.execute(sql)

    def value(self, sql: str) -> Any:
        """The first value of the result of a statement."""
        with self.connect() as client:
            row = client.execute(sql).fetchone()
            return row and row[0]

    def wait(self, status: str = "available") -> None:
        """Wait for a status of the instance."""

        def is_there() -> bool:
            answer = self.aws.client("rds").describe_db_instances(DBInstanceIdentifier=self.id)
            return bool(answer["DBInstances"][0]["DBInstanceStatus"] == status)

        eventually(is_there)


def new_name(kind: str) -> str:
    """A new identifier."""
    return f"{kind}-{uuid.uuid4().hex[:8]}"
