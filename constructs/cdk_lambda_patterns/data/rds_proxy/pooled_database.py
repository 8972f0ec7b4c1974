"""Database → RDS Proxy → whoever is let in: what functions that talk SQL have in common."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from aws_cdk import CfnResource, Duration, Names, RemovalPolicy
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from cdk_lambda_patterns.core.limits import check_duration, check_range
from cdk_lambda_patterns.core.network import PrivateNetwork
from cdk_lambda_patterns.core.permissions import grant_use_of_key
from cdk_lambda_patterns.data.private_function import PrivateFunction
from cdk_lambda_patterns.data.rds_proxy.database import (
    MYSQL,
    PORTS,
    POSTGRES,
    DatabaseOptions,
    ExistingDatabase,
    make_database,
    proxy_target,
)

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


@dataclass(frozen=True, kw_only=True)
class PooledDatabase:
    """A database behind its proxy, which nobody reaches until a function is let in.

    Args:
        options: What was asked for.
        network: Where it is.
        database: The database that was made; None if it was there.
        secret: What the proxy logs in with; None for an existing proxy.
        proxy: The proxy.
        proxy_security_group: Its security group.
    """

    options: DatabaseOptions | ExistingDatabase
    network: PrivateNetwork
    database: rds.DatabaseCluster | rds.DatabaseInstance | None
    secret: secretsmanager.ISecret | None
    proxy: rds.IDatabaseProxy
    proxy_security_group: ec2.ISecurityGroup

    @property
    def environment(self) -> dict[str, str]:
        """Where the database is and who connects, as the handlers of this library read it."""
        return {
            "DB_HOST": self.proxy.endpoint,
            "DB_PORT": str(PORTS[self.options.engine]),
            "DB_NAME": self.options.name,
            "DB_USER": self.options.user,
        }

    def let_in(self, function: PrivateFunction) -> None:
        """Let a function connect: a way to the proxy, and the permission to log in there.

        Args:
            function: In the network of the database.
        """
        function.connections.allow_to(
            self.proxy_security_group, ec2.Port.tcp(PORTS[self.options.engine]), "SQL from the function"
        )
        self.proxy.grant_connect(function.execution_role, self.options.user)


def make_pooled_database(
    scope: Construct,
    *,
    options: DatabaseOptions | ExistingDatabase,
    pool: PoolOptions | None,
    network: PrivateNetwork | None,
    removal_policy: RemovalPolicy,
) -> PooledDatabase:
    """Make network, database and proxy under a construct, or take those that are there.

    Args:
        scope: The construct. The ids below it are part of what its users depend on.
        options: The database that is made, or one that is there already.
        pool: How the proxy shares connections.
        network: Where all of it is. Default: a new one.
        removal_policy: What becomes of a database that is made.
    """
    network = network or PrivateNetwork(scope, "Network")
    database: rds.DatabaseCluster | rds.DatabaseInstance | None = None
    behind: rds.DatabaseCluster | rds.DatabaseInstance | ExistingDatabase
    if isinstance(options, ExistingDatabase):
        behind = options
    else:
        behind = database = make_database(scope, "Database", options, network, removal_policy)
    secret: secretsmanager.ISecret | None = behind.secret
    proxy: rds.IDatabaseProxy
    group: ec2.ISecurityGroup
    if isinstance(options, ExistingDatabase) and options.proxy is not None:
        assert options.proxy_security_group is not None
        proxy, group = options.proxy, options.proxy_security_group
    else:
        assert secret is not None
        group = network.make_security_group(
            scope, "ProxySecurityGroup", "Proxy: functions get in, the database is all it reaches"
        )
        target = proxy_target(scope, behind)
        proxy = _make_proxy(scope, target, secret, options.engine, pool or PoolOptions(), network, group)
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
    engine: str,
    pool: PoolOptions,
    network: PrivateNetwork,
    group: ec2.ISecurityGroup,
) -> rds.DatabaseProxy:
    proxy = rds.DatabaseProxy(
        scope,
        "Proxy",
        # RDS makes no name for a proxy by itself, and the CDK's is unique behind a feature flag only.
        db_proxy_name=Names.unique_resource_name(scope, max_length=_PROXY_NAME_LENGTH, separator="-"),
        proxy_target=target,
        secrets=[secret],
        # The CDK would also let it describe the secret, which is of use to some clients of Java.
        role=_make_proxy_role(scope, secret).without_policy_updates(),
        iam_auth=True,
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
    # The CDK hands it the tags of the stack; its own validation of templates says that it takes none.
    target_group = proxy.node.find_child("ProxyTargetGroup")
    assert isinstance(target_group, CfnResource)
    target_group.add_property_deletion_override("Tags")
    return proxy


def _make_proxy_role(scope: Construct, secret: secretsmanager.ISecret) -> iam.Role:
    """Make the role that the proxy reads the secret with.

    https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-iam-setup.html
    """
    role = iam.Role(scope, "ProxyRole", assumed_by=iam.ServicePrincipal("rds.amazonaws.com"))
    # Secrets Manager ends each ARN with six characters, which an imported one may lack.
    arn = secret.secret_full_arn or f"{secret.secret_arn}-??????"
    role.add_to_policy(iam.PolicyStatement(actions=["secretsmanager:GetSecretValue"], resources=[arn]))
    grant_use_of_key(role, secret.encryption_key, "kms:Decrypt")
    return role


def check_pooled_database(
    database: DatabaseOptions | ExistingDatabase,
    pool: PoolOptions | None,
    network: PrivateNetwork | None,
    timeout: Duration,
) -> None:
    """Refuse what does not fit together.

    Args:
        database: Which database.
        pool: How the proxy shares connections, if that was given.
        network: Where it is, if that was given.
        timeout: Of the function that uses it.

    Raises:
        ValueError: The parts do not fit each other.
    """
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
    if timeout.is_unresolved() or pool.borrow_timeout.is_unresolved():
        return
    if pool.borrow_timeout.to_seconds() >= timeout.to_seconds():
        raise ValueError(
            f"borrow_timeout={pool.borrow_timeout.to_seconds():g}, timeout={timeout.to_seconds():g}: the "
            "function would end before the proxy can tell it that no connection is free; choose a "
            "borrow_timeout below the function's timeout."
        )
