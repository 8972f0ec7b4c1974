"""Function in private subnets → RDS Proxy (IAM, TLS) → PostgreSQL or MySQL.

Use it when functions talk SQL to a relational database: each instance of a function holds a connection of its
own, and a few hundred of them are more than a database takes; the proxy lets them share a few. Do not use it
where a table in DynamoDB would do, or where a handful of calls a second could go through the Data API of
Aurora, which needs no network.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from aws_cdk import CfnResource, Duration, Names, RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from cdk_lambda_patterns.data.database import (
    MYSQL,
    PORTS,
    POSTGRES,
    DatabaseOptions,
    ExistingDatabase,
    make_database,
    proxy_target,
)
from cdk_lambda_patterns.data.private_function import PrivateFunction
from cdk_lambda_patterns.handler_code import pattern_source
from cdk_lambda_patterns.limits import check_duration, check_range
from cdk_lambda_patterns.options import FunctionOptions
from cdk_lambda_patterns.permissions import grant_use_of_key
from cdk_lambda_patterns.private_network import PrivateNetwork, Service

_PROXY_NAME_LENGTH = 60  # https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBProxy.html


@dataclass(frozen=True, kw_only=True)
class PoolOptions:
    """How the proxy shares the connections of the database.

    Args:
        max_connections_percent: How much of the database's ``max_connections`` the proxy may use, 1 to 100.
            What is left is for you, for migrations, and for the database's own work.
        max_idle_connections_percent: How much of it the proxy keeps open while idle, 0 to the above.
        borrow_timeout: How long a statement waits for a free connection, 0 to 300 seconds. Shorter than the
            function's timeout, so that the function learns why.
        idle_client_timeout: After how long without a statement the proxy closes a function's connection,
            1 minute to 8 hours. The function opens another one.
        statement_timeout: After how long the database ends a statement, at least 1 ms.
        lock_timeout: How long a statement waits for a lock; whole seconds, at least one, for MySQL.
        session_pinning_filters: What does not pin a session of MySQL although it changes it:
            ``EXCLUDE_VARIABLE_SETS``, for drivers that set the same variables in every session.

    Raises:
        ValueError: A value is outside of what RDS Proxy allows.

    Example::

        PoolOptions(max_connections_percent=50, borrow_timeout=Duration.seconds(5))
    """

    max_connections_percent: int = 75
    max_idle_connections_percent: int | None = None
    borrow_timeout: Duration = field(default_factory=lambda: Duration.seconds(20))
    idle_client_timeout: Duration = field(default_factory=lambda: Duration.minutes(30))
    statement_timeout: Duration = field(default_factory=lambda: Duration.seconds(10))
    lock_timeout: Duration = field(default_factory=lambda: Duration.seconds(5))
    session_pinning_filters: Sequence[rds.SessionPinningFilter] = ()

    def __post_init__(self) -> None:
        # https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_ConnectionPoolConfiguration.html
        allows = "RDS Proxy allows"
        most = self.max_connections_percent
        check_range("max_connections_percent", most, 1, 100, unit="%", allows=allows)
        idle = self.max_idle_connections_percent
        check_range("max_idle_connections_percent", idle, 0, most, unit="%", allows=allows)
        check_duration("borrow_timeout", self.borrow_timeout, 0, 300, allows=allows)
        check_duration("idle_client_timeout", self.idle_client_timeout, 60, 8 * 3600, allows=allows)

    def init_query(self, engine: str) -> str:
        """The statements that every connection of the pool begins with.

        Set here and not by the function: a SET of a client would pin its session to one connection.
        https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-pinning.html

        Args:
            engine: ``"postgres"`` or ``"mysql"``.
        """
        statement = int(self.statement_timeout.to_milliseconds())
        if engine == POSTGRES:
            lock = int(self.lock_timeout.to_milliseconds())
            return f"SET statement_timeout = {statement}; SET lock_timeout = {lock}"
        seconds = max(1, round(self.lock_timeout.to_milliseconds() / 1000))
        return f"SET max_execution_time = {statement}, innodb_lock_wait_timeout = {seconds}"


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
        function_options = (function_options or FunctionOptions()).with_defaults(timeout=Duration.seconds(30))
        _check(database, pool, network, function_options)
        super().__init__(scope, id)
        self.network = network or PrivateNetwork(self, "Network")
        self.database: rds.DatabaseCluster | rds.DatabaseInstance | None = None

        self.proxy_security_group: ec2.ISecurityGroup
        self.proxy: rds.IDatabaseProxy
        behind: rds.DatabaseCluster | rds.DatabaseInstance | ExistingDatabase
        if isinstance(database, ExistingDatabase):
            behind = database
        else:
            behind = make_database(self, "Database", database, self.network, removal_policy)
            self.database = behind
        self.secret: secretsmanager.ISecret | None = behind.secret
        if isinstance(database, ExistingDatabase) and database.proxy is not None:
            assert database.proxy_security_group is not None
            self.proxy, self.proxy_security_group = database.proxy, database.proxy_security_group
        else:
            self.proxy_security_group = self.network.make_security_group(
                self, "ProxySecurityGroup", "Proxy: functions get in, the database is all it reaches"
            )
            assert self.secret is not None
            self.proxy = self._make_proxy(
                proxy_target(self, behind), self.secret, database.engine, pool or PoolOptions()
            )
        self.function = self._make_function(database, code, services, function_options, removal_policy)
        self.function.connections.allow_to(
            self.proxy_security_group, ec2.Port.tcp(PORTS[database.engine]), "SQL from the function"
        )
        self.proxy.grant_connect(self.function.execution_role, database.user)

    def _make_proxy(
        self, target: rds.ProxyTarget, secret: secretsmanager.ISecret, engine: str, pool: PoolOptions
    ) -> rds.DatabaseProxy:
        proxy = rds.DatabaseProxy(
            self,
            "Proxy",
            # RDS makes no name for a proxy by itself, and the CDK's is unique behind a feature flag only.
            db_proxy_name=Names.unique_resource_name(self, max_length=_PROXY_NAME_LENGTH, separator="-"),
            proxy_target=target,
            secrets=[secret],
            # The CDK would also let it describe the secret, which is of use to some clients of Java.
            role=self._make_proxy_role(secret).without_policy_updates(),
            iam_auth=True,
            require_tls=True,
            max_connections_percent=pool.max_connections_percent,
            max_idle_connections_percent=pool.max_idle_connections_percent,
            borrow_timeout=pool.borrow_timeout,
            idle_client_timeout=pool.idle_client_timeout,
            init_query=pool.init_query(engine),
            session_pinning_filters=list(pool.session_pinning_filters),
            vpc=self.network.vpc,
            vpc_subnets=self.network.subnets,
            security_groups=[self.proxy_security_group],
        )
        # The CDK hands it the tags of the stack; its own validation of templates says that it takes none.
        target_group = proxy.node.find_child("ProxyTargetGroup")
        assert isinstance(target_group, CfnResource)
        target_group.add_property_deletion_override("Tags")
        return proxy

    def _make_proxy_role(self, secret: secretsmanager.ISecret) -> iam.Role:
        """Make the role that the proxy reads the secret with.

        https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-iam-setup.html
        """
        role = iam.Role(self, "ProxyRole", assumed_by=iam.ServicePrincipal("rds.amazonaws.com"))
        # Secrets Manager ends each ARN with six characters, which an imported one may lack.
        arn = secret.secret_full_arn or f"{secret.secret_arn}-??????"
        role.add_to_policy(iam.PolicyStatement(actions=["secretsmanager:GetSecretValue"], resources=[arn]))
        grant_use_of_key(role, secret.encryption_key, "kms:Decrypt")
        return role

    def _make_function(
        self,
        database: DatabaseOptions | ExistingDatabase,
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
            environment={
                "DB_ENGINE": database.engine,
                "DB_HOST": self.proxy.endpoint,
                "DB_PORT": str(PORTS[database.engine]),
                "DB_NAME": database.name,
                "DB_USER": database.user,
            },
            options=options.with_defaults(
                memory_size=512,
                log_removal_policy=RemovalPolicy.DESTROY if destroy else RemovalPolicy.RETAIN,
            ),
        )


def _check(
    database: DatabaseOptions | ExistingDatabase,
    pool: PoolOptions | None,
    network: PrivateNetwork | None,
    options: FunctionOptions,
) -> None:
    """Refuse what does not fit together."""
    if isinstance(database, ExistingDatabase):
        if network is None:
            raise ValueError(
                "an existing database without network: the function has to run where it is; give "
                "network=PrivateNetwork(self, 'Network', vpc=...)."
            )
        if database.proxy is not None and pool is not None:
            raise ValueError("pool: the existing proxy has its own settings; leave it out.")
    pool = pool or PoolOptions()
    if pool.session_pinning_filters and database.engine != MYSQL:
        raise ValueError(
            "session_pinning_filters: RDS Proxy has them for MySQL alone; leave them out, and set variables "
            "of PostgreSQL in the user (ALTER ROLE ... SET) instead of in the session."
        )
    timeout = options.timeout
    assert timeout is not None
    if timeout.is_unresolved() or pool.borrow_timeout.is_unresolved():
        return
    if pool.borrow_timeout.to_seconds() >= timeout.to_seconds():
        raise ValueError(
            f"borrow_timeout={pool.borrow_timeout.to_seconds():g}, timeout={timeout.to_seconds():g}: the "
            "function would end before the proxy can tell it that no connection is free; choose a "
            "borrow_timeout below the function's timeout."
        )
