"""Deploys a bookings service with PostgreSQL behind RDS Proxy; all of it is deleted with the stack."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_rds as rds
from constructs import Construct

from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.data.rds_proxy import DatabaseOptions, RdsProxyFunction
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack

# So few that a hundred callers show what the pool is for. The default for an instance of this size is 80.
_MAX_CONNECTIONS = 20


class RdsProxyStack(PatternStack):
    """A function that books amounts to accounts, through a proxy, in a PostgreSQL with 20 connections.

    A demonstration: deleting the stack deletes the database without a final snapshot
    (``RemovalPolicy.DESTROY``). The database is an instance, because the proxy of an Aurora Serverless v2
    cluster is charged for at least 8 ACU.
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        bookings = RdsProxyFunction(
            self,
            "Bookings",
            code=pattern_source("data", "rds_proxy"),
            handler="rds_proxy.handler.handler",
            migration="rds_proxy.migration.handler",
            database=DatabaseOptions(
                instance_type=ec2.InstanceType.of(ec2.InstanceClass.T4G, ec2.InstanceSize.MICRO),
                parameters={"max_connections": str(_MAX_CONNECTIONS)},
            ),
            removal_policy=RemovalPolicy.DESTROY,
        )
        database = bookings.database
        assert isinstance(database, rds.DatabaseInstance)
        assert bookings.migration
        self.output("FunctionName", bookings.function.function_name)
        self.output("MigrationName", bookings.migration.function_name)
        self.output("ProxyName", bookings.proxy.db_proxy_name)
        self.output("ProxyEndpoint", bookings.proxy.endpoint)
        self.output("DatabaseIdentifier", database.instance_identifier)
        self.output("MaxConnections", str(_MAX_CONNECTIONS))
