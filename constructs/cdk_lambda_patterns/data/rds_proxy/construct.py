"""Function in private subnets → RDS Proxy (IAM, TLS) → PostgreSQL or MySQL.

Use it when functions talk SQL to a relational database: each instance of a function holds a connection of its
own, and a few hundred of them are more than a database takes; the proxy lets them share a few. Do not use it
where a table in DynamoDB would do, or where a handful of calls a second could go through the Data API of
Aurora, which needs no network.
"""

import os
from collections.abc import Sequence

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.network import PrivateNetwork, Service
from cdk_lambda_patterns.core.options import FunctionOptions
from cdk_lambda_patterns.data.private_function import PrivateFunction
from cdk_lambda_patterns.data.rds_proxy.database import DatabaseOptions, ExistingDatabase
from cdk_lambda_patterns.data.rds_proxy.pooled_database import (
    PoolOptions,
    check_pooled_database,
    make_pooled_database,
)

__all__ = ["PoolOptions", "RdsProxyFunction"]


class RdsProxyFunction(Construct):
    """A function that uses a relational database through RDS Proxy, with IAM and TLS and without a password.

    It builds a network, a database, a proxy and the function, or takes those that are there. Security groups
    lead from the function to the proxy and from the proxy to the database, and nowhere else. The function's
    role may connect as one user through this proxy; RDS keeps the user's password in a secret that it
    changes every week, and only the proxy reads it.

    Args:
        database: The database that is made (``DatabaseOptions``), or one that is there already
            (``ExistingDatabase``). Default: PostgreSQL on Aurora Serverless v2.
        pool: How the proxy shares connections; not for an existing proxy.
        network: Where all of it is. Default: a new one, without NAT. For an existing database: its network.
        code: The folder of your handler, which finds the variables ``DB_ENGINE``, ``DB_HOST``, ``DB_PORT``,
            ``DB_NAME`` and ``DB_USER``. Default: this library's, which books amounts to accounts, each
            request once.
        services: AWS services that your handler calls, as for ``PrivateFunction``.
        function_options: Settings of the function: memory, timeout, logs.
        removal_policy: What becomes of the database when the stack is deleted. Default: ``SNAPSHOT``.
            ``DESTROY`` deletes it without one.

    Raises:
        ValueError: A value is not allowed, or does not fit the others.

    Attributes:
        network (PrivateNetwork): Where all of it is.
        database (DatabaseCluster | DatabaseInstance | None): The database that was made.
        secret (ISecret | None): What the proxy logs in with; ``None`` for an existing proxy.
        proxy (IDatabaseProxy): The proxy.
        proxy_security_group (ISecurityGroup): Its security group.
        function (PrivateFunction): The function.

    Example::

        orders = RdsProxyFunction(self, "Orders", database=DatabaseOptions(engine="mysql", multi_az=True))
        orders.function.metric_errors().create_alarm(self, "Errors", threshold=1, evaluation_periods=1)

    https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        database: DatabaseOptions | ExistingDatabase | None = None,
        pool: PoolOptions | None = None,
        network: PrivateNetwork | None = None,
        code: str | os.PathLike[str] | lambda_.Code | None = None,
        services: Sequence[Service] = (),
        function_options: FunctionOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.SNAPSHOT,
    ) -> None:
        database = database or DatabaseOptions()
        function_options = function_options or FunctionOptions()
        timeout = function_options.timeout or Duration.seconds(30)
        function_options = function_options.with_defaults(timeout=timeout)
        check_pooled_database(database, pool, network, timeout)
        super().__init__(scope, id)
        self._pooled = make_pooled_database(
            self, options=database, pool=pool, network=network, removal_policy=removal_policy
        )
        self.network: PrivateNetwork = self._pooled.network
        self.database: rds.DatabaseCluster | rds.DatabaseInstance | None = self._pooled.database
        self.secret: secretsmanager.ISecret | None = self._pooled.secret
        self.proxy: rds.IDatabaseProxy = self._pooled.proxy
        self.proxy_security_group: ec2.ISecurityGroup = self._pooled.proxy_security_group
        self.function = self._make_function(code, services, function_options, removal_policy)
        self._pooled.let_in(self.function)

    def _make_function(
        self,
        code: str | os.PathLike[str] | lambda_.Code | None,
        services: Sequence[Service],
        options: FunctionOptions,
        removal_policy: RemovalPolicy,
    ) -> PrivateFunction:
        destroy = removal_policy is RemovalPolicy.DESTROY
        return PrivateFunction(
            self,
            "Function",
            code=code or pattern_source("data", "rds_proxy"),
            network=self.network,
            services=services,
            description="Uses a database through RDS Proxy",
            environment={"DB_ENGINE": self._pooled.options.engine, **self._pooled.environment},
            options=options.with_defaults(memory_size=512),
            removal_policy=RemovalPolicy.DESTROY if destroy else RemovalPolicy.RETAIN,
        )
