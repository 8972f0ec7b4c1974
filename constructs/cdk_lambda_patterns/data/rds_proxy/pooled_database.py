"""Database → RDS Proxy → functions that may connect: for all architectures with a relational database."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from aws_cdk import CfnResource, Duration, Names, RemovalPolicy, Stack, Token, triggers
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.function import HardenedFunction
from cdk_lambda_patterns.core.limits import Limit, number_in, text_of
from cdk_lambda_patterns.core.network import PrivateNetwork
from cdk_lambda_patterns.core.options import FunctionOptions
from cdk_lambda_patterns.core.permissions import grant_use_of_key
from cdk_lambda_patterns.core.provider_roles import TRIGGER, write_out_provider_role
from cdk_lambda_patterns.core.regions import check_region
from cdk_lambda_patterns.data.private_function import PrivateFunction
from cdk_lambda_patterns.data.rds_proxy.database import (
    PORTS,
    DatabaseOptions,
    Engine,
    make_database,
    managed_secret,
    proxy_target,
)
from cdk_lambda_patterns.data.rds_proxy.existing import (
    ExistingCluster,
    ExistingDatabase,
    ExistingInstance,
    ExistingProxy,
    check_vpc,
    cluster_target,
    instance_target,
)

_MIGRATION_SECONDS = 120
_PROXY_NAME_LENGTH = 60  # https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBProxy.html

# https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_ConnectionPoolConfiguration.html
# A borrow timeout of 0 would wait without a limit, for longer than the function has time.
_CONNECTIONS = Limit("RDS Proxy", 1, 100, "%", whole=True)
_BORROW_TIMEOUT = Limit("this construct", 1, 300, "seconds", whole=True)
# https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBProxy.html
_IDLE_CLIENT_TIMEOUT = Limit("RDS Proxy", 1, 8 * 60 * 60, "seconds", whole=True)
# 0 would turn a timeout off. The largest integer of PostgreSQL, in milliseconds, is less than MySQL allows.
# https://www.postgresql.org/docs/current/runtime-config-client.html
# https://dev.mysql.com/doc/refman/8.4/en/server-system-variables.html#sysvar_max_execution_time
_STATEMENT = Limit("this construct", 1, 2_147_483_647, "ms (0 would turn the timeout off)", whole=True)


@check_types
@dataclass(frozen=True, kw_only=True)
class PoolOptions:
    """How the proxy shares the connections of the database.

    Args:
        max_connections_percent: Share of the database's ``max_connections`` that the proxy may use, 1 to 100.
            The rest is for migrations, people, and the database's own work.
        max_idle_connections_percent: Share that the proxy keeps open while idle, 0 to
            ``max_connections_percent``. Default: that of RDS, half of ``max_connections_percent``.
        borrow_timeout: How long a client waits for a free connection, 1 to 300 seconds. Must be shorter than
            the function's timeout, so that the function receives the error.
        idle_client_timeout: After how long without a statement the proxy closes a client's connection, 1
            second to 8 hours. The function opens a new one.
        statement_timeout: After how long the database cancels a statement, at least 1 ms: 0 would mean never.
            For MySQL it applies to SELECT only.
        lock_timeout: How long a statement waits for a lock, at least 1 ms. For MySQL, rounded to seconds.
        session_pinning_filters: Changes to a MySQL session that do not pin it: ``EXCLUDE_VARIABLE_SETS``, for
            drivers that set the same variables in every session.

    Raises:
        ValueError: A value is outside what RDS Proxy allows.

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
        _CONNECTIONS.check("max_connections_percent", self.max_connections_percent)
        known = not Token.is_unresolved(self.max_connections_percent)
        Limit("RDS Proxy", 0, self.max_connections_percent if known else 100, "%", whole=True).check(
            "max_idle_connections_percent", self.max_idle_connections_percent
        )
        _BORROW_TIMEOUT.check("borrow_timeout", self.borrow_timeout)
        _IDLE_CLIENT_TIMEOUT.check("idle_client_timeout", self.idle_client_timeout)
        for name in ("statement_timeout", "lock_timeout"):
            timeout: Duration = getattr(self, name)
            if not timeout.is_unresolved():
                _STATEMENT.check(name, timeout.to_milliseconds(integral=False))

    def init_query(self, engine: Engine) -> str:
        """Return the SQL that the proxy runs on each new connection of the pool.

        If a client ran these SET statements, they would pin its session to one connection.
        https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-pinning.html

        Args:
            engine: ``"postgres"`` or ``"mysql"``.
        """
        statement = text_of(number_in("milliseconds", "statement_timeout", self.statement_timeout))
        if engine == "postgres":
            lock = text_of(number_in("milliseconds", "lock_timeout", self.lock_timeout))
            return f"SET statement_timeout = {statement}; SET lock_timeout = {lock}"
        seconds = number_in("seconds", "lock_timeout", self.lock_timeout)
        if not self.lock_timeout.is_unresolved():
            seconds = max(1, round(seconds))
        return f"SET max_execution_time = {statement}, innodb_lock_wait_timeout = {text_of(seconds)}"


@check_types
@dataclass(frozen=True, kw_only=True)
class PooledDatabase:
    """A database behind its proxy. Only functions with ``grant_connect`` can connect.

    Args:
        options: The options that it was made from.
        network: The network of database and proxy.
        database: The new database; ``None`` if it existed.
        secret: The proxy's login to the database; ``None`` for an existing proxy.
        proxy: The proxy.
        proxy_security_group: The proxy's security group.
    """

    options: DatabaseOptions | ExistingDatabase
    network: PrivateNetwork
    database: rds.DatabaseCluster | rds.DatabaseInstance | None
    secret: secretsmanager.ISecret | None
    proxy: rds.IDatabaseProxy
    proxy_security_group: ec2.ISecurityGroup

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables from which the handlers of this library read what to connect to."""
        return {
            "DB_HOST": self.proxy.endpoint,
            "DB_PORT": str(PORTS[self.options.engine]),
            "DB_NAME": self.options.database_name,
            "DB_USER": self.user,
        }

    @property
    def user(self) -> str:
        """The user that functions connect as: the master user only for a migration."""
        return self.options.function_user if isinstance(self.options, DatabaseOptions) else self.options.user

    def grant_connect(self, function: HardenedFunction) -> iam.Grant:
        """Grant a function to connect: by its security group and by its role.

        Args:
            function: A function in the network of the proxy.
        """
        return self._grant_connect(function, self.user)

    def migrate(
        self,
        scope: Construct,
        *,
        code: str | os.PathLike[str] | lambda_.Code,
        handler: str,
        before: Sequence[lambda_.Function],
        removal_policy: RemovalPolicy,
    ) -> PrivateFunction | None:
        """Run a function as the owner of a new database, at deployments where its code is new.

        It creates the tables and ``function_user`` with its rights. The deployment fails if it fails.

        Args:
            scope: The construct that gets ``Migration`` and ``Migrate`` as children.
            code: As for ``HardenedFunction``.
            handler: ``module.function`` in the folder.
            before: The functions that use the tables, which are deployed after it.
            removal_policy: What happens to its logs when the stack is deleted.
        """
        if not isinstance(self.options, DatabaseOptions):
            return None
        timeout = Duration.seconds(_MIGRATION_SECONDS)
        function = PrivateFunction(
            scope,
            "Migration",
            code=code,
            handler=handler,
            network=self.network,
            description="Creates the tables and the function's user, as the owner of the database",
            environment={
                **self.environment,
                "DB_ENGINE": self.options.engine,
                "DB_USER": self.options.user,
                "FUNCTION_USER": self.options.function_user,
            },
            options=FunctionOptions(timeout=timeout).with_defaults(memory_size=512),
            removal_policy=removal_policy,
        )
        self._grant_connect(function, self.options.user)
        # It needs the proxy's target and permission, and the rules of the security groups.
        ready = [
            child
            for child in map(scope.node.find_child, ("Proxy", "ProxyRole", "ProxySecurityGroup"))
            if isinstance(child, Construct)
        ]
        triggers.Trigger(
            scope,
            "Migrate",
            handler=function,
            timeout=timeout,
            execute_after=[*ready, function, function.security_group],
            execute_before=list(before),
        )
        write_out_provider_role(Stack.of(scope), TRIGGER)
        return function

    def _grant_connect(self, function: HardenedFunction, user: str) -> iam.Grant:
        function.connections.allow_to(
            self.proxy_security_group, ec2.Port.tcp(PORTS[self.options.engine]), "SQL from the function"
        )
        return self.proxy.grant_connect(function.execution_role, user)


def check_pooled_database(
    database: DatabaseOptions | ExistingDatabase,
    pool: PoolOptions | None,
    network: PrivateNetwork | None,
    timeout: Duration,
) -> None:
    """Check that the arguments of a construct with a pooled database fit together.

    Args:
        database: The database.
        pool: The options of the pool, if given.
        network: The network, if given.
        timeout: The timeout of the function that connects.

    Raises:
        ValueError: They do not.
    """
    if network is None and not isinstance(database, DatabaseOptions):
        raise ValueError(
            "an existing database without network: the function has to run in the database's network; give "
            "network=PrivateNetwork(self, 'Network', vpc=...)."
        )
    if network is not None and not isinstance(database, ExistingProxy):
        _check_zones(database, network)
    if network is not None and isinstance(database, ExistingDatabase):
        check_vpc(database, network)
        parts = {name: getattr(database, name, None) for name in ("cluster", "instance", "proxy", "secret")}
        check_region(network, "Proxy, database and secret must be in one Region", parts)
    if pool is not None and isinstance(database, ExistingProxy):
        raise ValueError("pool cannot be combined with an existing proxy; configure it on the proxy.")
    pool = pool or PoolOptions()
    if pool.session_pinning_filters and database.engine != "mysql":
        raise ValueError(
            "session_pinning_filters: RDS Proxy supports them for MySQL only; leave them out, and set "
            "variables of PostgreSQL for the user (ALTER ROLE ... SET) instead of in the session."
        )
    if timeout.is_unresolved() or pool.borrow_timeout.is_unresolved():
        return
    if pool.borrow_timeout.to_seconds() >= timeout.to_seconds():
        raise ValueError(
            f"borrow_timeout={pool.borrow_timeout.to_seconds():g}, timeout={timeout.to_seconds():g}: the "
            "function would time out before the proxy returns an error; choose a borrow_timeout below the "
            "function's timeout."
        )


def _check_zones(database: DatabaseOptions | ExistingDatabase, network: PrivateNetwork) -> None:
    zones = list(network.availability_zones)
    if len(zones) >= 2:
        return
    if not Token.is_unresolved(zones):
        raise ValueError(
            f"network={network.node.path}: all its subnets are in the Availability Zone {zones[0]}; a "
            "database and RDS Proxy need subnets in two. Choose them by vpc_subnets."
        )
    if isinstance(database, DatabaseOptions) and database.instance_type is None:
        raise ValueError(
            f"network={network.node.path}: how many subnets it has is known only when the stack is deployed, "
            "and the CDK makes no cluster without two; import the VPC with Availability Zones and subnets "
            "such as [Fn.select(0, subnets), Fn.select(1, subnets)]."
        )


def make_pooled_database(
    scope: Construct,
    *,
    options: DatabaseOptions | ExistingDatabase,
    pool: PoolOptions | None,
    network: PrivateNetwork | None,
    removal_policy: RemovalPolicy,
) -> PooledDatabase:
    """Make network, database and proxy, or use existing ones.

    Args:
        scope: The construct that gets them as children. Their ids are part of its public contract.
        options: The database.
        pool: How the proxy shares connections.
        network: The network of all of it. Default: a new one.
        removal_policy: What happens to a new database when the stack is deleted.
    """
    network = network or PrivateNetwork(scope, "Network")
    database: rds.DatabaseCluster | rds.DatabaseInstance | None = None
    match options:
        case ExistingProxy():
            return PooledDatabase(
                options=options,
                network=network,
                database=None,
                secret=None,
                proxy=options.proxy,
                proxy_security_group=options.proxy_security_group,
            )
        case ExistingCluster():
            target, secret = cluster_target(scope, options.cluster), options.secret
        case ExistingInstance():
            target, secret = instance_target(scope, options.instance), options.secret
        case DatabaseOptions():
            database = make_database(scope, options, network, removal_policy)
            target, secret = proxy_target(database), managed_secret(database)
        case _:
            raise TypeError(f"{type(options).__name__} is no database; give DatabaseOptions or an Existing….")
    group = network.make_security_group(
        scope, "ProxySecurityGroup", "Proxy: inbound from functions, outbound to the database"
    )
    role = _make_proxy_role(scope, secret)
    scheme = None
    if isinstance(options, DatabaseOptions) and database is not None:
        # The proxy logs in as the function's user with IAM, and as the master user with the secret.
        # https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-iam-migration.html
        database.grant_connect(role, options.function_user)
        scheme = rds.DefaultAuthScheme.IAM_AUTH
    proxy = _make_proxy(
        scope,
        target,
        secret,
        # The CDK would add secretsmanager:DescribeSecret, which the proxy does not need.
        role.without_policy_updates(),
        options.engine,
        pool or PoolOptions(),
        network,
        group,
        scheme,
    )
    return PooledDatabase(
        options=options,
        network=network,
        database=database,
        secret=secret,
        proxy=proxy,
        proxy_security_group=group,
    )


def _make_proxy(
    scope: Construct,
    target: rds.ProxyTarget,
    secret: secretsmanager.ISecret,
    role: iam.IRole,
    engine: Engine,
    pool: PoolOptions,
    network: PrivateNetwork,
    group: ec2.ISecurityGroup,
    default_auth_scheme: rds.DefaultAuthScheme | None,
) -> rds.DatabaseProxy:
    proxy = rds.DatabaseProxy(
        scope,
        "Proxy",
        # RDS does not generate names for proxies, and the CDK's are unique with a feature flag only.
        db_proxy_name=Names.unique_resource_name(scope, max_length=_PROXY_NAME_LENGTH, separator="-"),
        proxy_target=target,
        secrets=[secret],
        role=role,
        iam_auth=True,
        default_auth_scheme=default_auth_scheme,
        require_tls=True,
        max_connections_percent=pool.max_connections_percent,
        max_idle_connections_percent=pool.max_idle_connections_percent,
        borrow_timeout=pool.borrow_timeout,
        idle_client_timeout=pool.idle_client_timeout,
        init_query=pool.init_query(engine),
        session_pinning_filters=list(pool.session_pinning_filters),
        vpc=network.vpc,
        vpc_subnets=network.subnets,
        security_groups=[group],
    )
    # The CDK adds the stack's tags to the target group; its own validation of templates rejects them.
    target_group = proxy.node.find_child("ProxyTargetGroup")
    assert isinstance(target_group, CfnResource)
    target_group.add_property_deletion_override("Tags")
    return proxy


def _make_proxy_role(scope: Construct, secret: secretsmanager.ISecret) -> iam.Role:
    """Make the role with which the proxy reads the secret.

    Its trust policy has no condition, as on the page below: with a key that RDS does not send, the proxy
    could not assume the role.

    https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-iam-setup.html
    """
    role = iam.Role(scope, "ProxyRole", assumed_by=iam.ServicePrincipal("rds.amazonaws.com"))
    role.add_to_policy(
        iam.PolicyStatement(actions=["secretsmanager:GetSecretValue"], resources=[secret.secret_arn])
    )
    grant_use_of_key(role, secret.encryption_key, "kms:Decrypt")
    return role
