"""Function in private subnets → RDS Proxy (IAM, TLS) → PostgreSQL or MySQL.

Use it for functions that use a relational database: each execution environment of a function holds a
connection, and a few hundred of them are more than a database accepts; the proxy lets them share a few. Do
not use it where a DynamoDB table would do, or for a handful of calls a second to Aurora: its Data API needs
neither a network nor a proxy.
"""

import os
from collections.abc import Sequence

import jsii
from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.function import DEFAULT_HANDLER
from cdk_lambda_patterns.core.network import PrivateNetwork, Service
from cdk_lambda_patterns.core.options import FunctionOptions
from cdk_lambda_patterns.data.private_function import PrivateFunction
from cdk_lambda_patterns.data.rds_proxy.database import DatabaseOptions
from cdk_lambda_patterns.data.rds_proxy.existing import ExistingDatabase
from cdk_lambda_patterns.data.rds_proxy.pooled_database import (
    PoolOptions,
    check_pooled_database,
    make_pooled_database,
)


@check_types
@jsii.implements(ec2.IConnectable)
class RdsProxyFunction(Construct):
    """A function that uses a relational database through RDS Proxy, with IAM and TLS and without a password.

    It builds a network, a database, a proxy and the function, or takes existing ones. The security groups
    allow the function to reach the proxy and the proxy to reach the database, and nothing else. The
    function's role may connect as one user through this proxy, without a password and with no more rights
    than the migration gives it. RDS stores the owner's password in a secret and rotates it every seven days;
    only the proxy reads it, for the migration.

    Args:
        code: The folder of your handler, or any ``lambda_.Code``; as for ``HardenedFunction``. The handler
            connects with an IAM token, to what its environment variables ``DB_ENGINE``, ``DB_HOST``,
            ``DB_PORT``, ``DB_NAME`` and ``DB_USER`` name.
        handler: ``module.function`` in that folder.
        migration: ``module.function`` in that folder. It runs when the stack is deployed and when its code
            changes, as the owner of a new database (``DB_USER``), to create the tables and the user
            ``FUNCTION_USER`` with its rights. An existing database has both.
        database: ``DatabaseOptions`` for a new database, or an ``ExistingCluster``, ``ExistingInstance`` or
            ``ExistingProxy``. Default: a new Aurora Serverless v2 cluster with PostgreSQL.
        pool: How the proxy shares connections; not for an existing proxy.
        network: The network of all of it. Default: a new one without NAT. Required for an existing database.
        services: AWS services that the handler calls; as for ``PrivateFunction``.
        function_options: Settings of the function. Default: 512 MB, 30 seconds.
        removal_policy: What happens to the database when the stack is deleted. Default: ``SNAPSHOT``.
            ``DESTROY`` deletes it without a final snapshot.

    Raises:
        ValueError: A value is not allowed, or does not fit the others.

    Attributes:
        network (PrivateNetwork): The network.
        database (DatabaseCluster | DatabaseInstance | None): The new database; ``None`` if it existed.
        secret (ISecret | None): The proxy's login to the database; ``None`` for an existing proxy.
        proxy (IDatabaseProxy): The proxy.
        proxy_security_group (ISecurityGroup): The proxy's security group.
        function (PrivateFunction): The function.
        migration (PrivateFunction | None): Prepares a new database; ``None`` for an existing one.
        connections (Connections): Those of the function.

    Example::

        orders = RdsProxyFunction(
            self, "Orders", code="worker", database=DatabaseOptions(engine="mysql", multi_az=True)
        )
        orders.function.metric_errors().create_alarm(self, "Errors", threshold=1, evaluation_periods=1)

    https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        code: str | os.PathLike[str] | lambda_.Code,
        handler: str = DEFAULT_HANDLER,
        migration: str = "migration.handler",
        database: DatabaseOptions | ExistingDatabase | None = None,
        pool: PoolOptions | None = None,
        network: PrivateNetwork | None = None,
        services: Sequence[Service] = (),
        function_options: FunctionOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.SNAPSHOT,
    ) -> None:
        database = database or DatabaseOptions()
        function_options = function_options or FunctionOptions()
        timeout = function_options.timeout or Duration.seconds(30)
        check_pooled_database(database, pool, network, timeout)
        super().__init__(scope, id)

        pooled = make_pooled_database(
            self, options=database, pool=pool, network=network, removal_policy=removal_policy
        )
        self.network: PrivateNetwork = pooled.network
        self.database: rds.DatabaseCluster | rds.DatabaseInstance | None = pooled.database
        self.secret: secretsmanager.ISecret | None = pooled.secret
        self.proxy: rds.IDatabaseProxy = pooled.proxy
        self.proxy_security_group: ec2.ISecurityGroup = pooled.proxy_security_group

        destroy = removal_policy is RemovalPolicy.DESTROY
        logs_policy = RemovalPolicy.DESTROY if destroy else RemovalPolicy.RETAIN
        self.function = PrivateFunction(
            self,
            "Function",
            code=code,
            handler=handler,
            network=pooled.network,
            services=services,
            description="Uses a database through RDS Proxy",
            environment={"DB_ENGINE": database.engine, **pooled.environment},
            options=function_options.with_defaults(memory_size=512, timeout=timeout),
            removal_policy=logs_policy,
        )
        pooled.grant_connect(self.function)
        self.migration = pooled.migrate(
            self, code=code, handler=migration, before=[self.function], removal_policy=logs_policy
        )

    @property
    def connections(self) -> ec2.Connections:
        """The network connections of the function."""
        return self.function.connections
