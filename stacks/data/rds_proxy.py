"""Deploys a function behind RDS Proxy for everybody to try: what it makes is deleted with the stack."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_rds as rds
from constructs import Construct

from cdk_lambda_patterns.data.rds_proxy import RdsProxyFunction
from cdk_lambda_patterns.data.rds_proxy.database import DatabaseOptions
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack

# Few, so that a few hundred callers show what the pool is for. Even an instance this small would take 80.
_MAX_CONNECTIONS = 20


class RdsProxyStack(PatternStack):
    """A function that books amounts in a small PostgreSQL which takes 20 connections, through a proxy.

    A demonstration: deleting the stack deletes the database, without a last snapshot
    (``RemovalPolicy.DESTROY``). An instance, because the proxy of an Aurora Serverless v2 cluster is charged
    for 8 capacity units at least.
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        orders = RdsProxyFunction(
            self,
            "Bookings",
            database=DatabaseOptions(
                instance_type=ec2.InstanceType.of(ec2.InstanceClass.T4G, ec2.InstanceSize.MICRO),
                parameters={"max_connections": str(_MAX_CONNECTIONS)},
            ),
            removal_policy=RemovalPolicy.DESTROY,
        )
        database = orders.database
        assert isinstance(database, rds.DatabaseInstance)
        self.output("FunctionName", orders.function.function_name)
        self.output("ProxyName", orders.proxy.db_proxy_name)
        self.output("ProxyEndpoint", orders.proxy.endpoint)
        self.output("DatabaseIdentifier", database.instance_identifier)
        self.output("MaxConnections", str(_MAX_CONNECTIONS))
