"""The database behind an RDS Proxy: a new one, or an existing one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.limits import Limit, check_choice
from cdk_lambda_patterns.core.network import PrivateNetwork
from cdk_lambda_patterns.core.permissions import acknowledge

Engine = Literal["postgres", "mysql"]
Database: TypeAlias = rds.DatabaseCluster | rds.DatabaseInstance

# RDS Proxy listens on the engine's default port, whatever the port of the database.
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy.howitworks.html
PORTS: Mapping[Engine, int] = {"postgres": 5432, "mysql": 3306}

# The database refuses connections without TLS as well, also those that do not come from the proxy.
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/PostgreSQL.Concepts.General.SSL.html
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/mysql-ssl-connections.html
_TLS_REQUIRED: Mapping[Engine, Mapping[str, str]] = {
    "postgres": {"rds.force_ssl": "1"},
    "mysql": {"require_secure_transport": "ON"},
}

# Aurora could also pause at 0 ACU, but the open connections of a proxy keep it from pausing.
# https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-serverless-v2.setting-capacity.html
_MIN_CAPACITY = Limit("Aurora behind a proxy", 0.5, 256, "ACU", whole=False)
_MAX_CAPACITY = Limit("Aurora", 1, 256, "ACU", whole=False)

# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_WorkingWithAutomatedBackups.BackupRetention.html
# 0 would turn backups off.
_BACKUP_RETENTION = Limit("this construct", 1, 35, "days")

_STORAGE_GIB, _MAX_STORAGE_GIB = 20, 200


@check_types
@dataclass(frozen=True, kw_only=True)
class DatabaseOptions:
    """A new database: an Aurora Serverless v2 cluster, or an RDS instance if ``instance_type`` is given.

    Args:
        engine: ``"postgres"`` or ``"mysql"``.
        instance_type: Type of an RDS instance. Default: none, an Aurora Serverless v2 cluster.
        min_capacity: Minimum capacity of Aurora, 0.5 to 256 ACU (2 GiB of memory each). Aurora does not pause
            behind a proxy, whose open connections keep it awake.
        max_capacity: Maximum capacity of Aurora, 1 to 256 ACU.
        multi_az: Adds a standby instance, or a reader of the cluster, in another Availability Zone, to fail
            over to.
        database_name: Name of the database.
        user: The master user, for the migration only. RDS creates its password, stores it in Secrets Manager
            and rotates it.
        function_user: The user that the function connects as, with IAM and without a password. The migration
            creates it.
        backup_retention: How long backups are retained, 1 to 35 days.
        parameters: Parameters of the database server, in addition to those that require TLS.

    Raises:
        ValueError: A value is outside what RDS allows.

    Example::

        DatabaseOptions(
            instance_type=ec2.InstanceType("t4g.medium"), multi_az=True, parameters={"max_connections": "200"}
        )
    """

    engine: Engine = "postgres"
    instance_type: ec2.InstanceType | None = None
    min_capacity: float = 0.5
    max_capacity: float = 4
    multi_az: bool = False
    database_name: str = "app"
    user: str = "app_owner"
    function_user: str = "app"
    backup_retention: Duration = field(default_factory=lambda: Duration.days(7))
    parameters: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_choice("engine", self.engine, get_args(Engine))
        _MIN_CAPACITY.check("min_capacity", self.min_capacity)
        _MAX_CAPACITY.check("max_capacity", self.max_capacity)
        if self.min_capacity > self.max_capacity:
            raise ValueError(
                f"min_capacity={self.min_capacity:g}, max_capacity={self.max_capacity:g}: min_capacity must "
                "not exceed max_capacity."
            )
        if self.user == self.function_user:
            raise ValueError(
                f"function_user={self.function_user!r}: that is the master user; choose another name for "
                "the function's."
            )
        if not self.backup_retention.is_unresolved():
            _BACKUP_RETENTION.check("backup_retention", self.backup_retention.to_days(integral=False))


@check_types
@dataclass(frozen=True, kw_only=True)
class ExistingDatabase:
    """What is common to ``ExistingCluster``, ``ExistingInstance`` and ``ExistingProxy``.

    Args:
        user: The user that the function connects as, with the rights that it needs and no others. Its tables
            and its user exist: no migration runs.
        engine: ``"postgres"`` or ``"mysql"``.
        database_name: Name of the database.
    """

    user: str
    engine: Engine = "postgres"
    database_name: str = "app"

    def __post_init__(self) -> None:
        check_choice("engine", self.engine, get_args(Engine))


@check_types
@dataclass(frozen=True, kw_only=True)
class ExistingCluster(ExistingDatabase):
    """An existing Aurora cluster, which gets a new proxy; and what ``ExistingDatabase`` takes.

    Args:
        cluster: Owned, from another stack, or imported with its engine, port and security groups.
        secret: Secrets Manager secret with ``username`` (the user) and ``password``, which the proxy logs in
            with.

    Example::

        cluster = rds.DatabaseCluster.from_database_cluster_attributes(
            self, "Orders", cluster_identifier="orders", port=5432,
            engine=rds.DatabaseClusterEngine.aurora_postgres(version=rds.AuroraPostgresEngineVersion.VER_17_9),
            security_groups=[ec2.SecurityGroup.from_security_group_id(self, "Group", "sg-0123456789abcdef0")],
        )
        secret = secretsmanager.Secret.from_secret_complete_arn(self, "Writer", secret_arn)
        ExistingCluster(cluster=cluster, secret=secret, user="orders_writer")
    """

    cluster: rds.IDatabaseCluster
    secret: secretsmanager.ISecret


@check_types
@dataclass(frozen=True, kw_only=True)
class ExistingInstance(ExistingDatabase):
    """An existing RDS instance, which gets a new proxy; and what ``ExistingDatabase`` takes.

    Args:
        instance: Owned, from another stack, or imported with its engine, port and security groups.
        secret: As for ``ExistingCluster``.
    """

    instance: rds.IDatabaseInstance
    secret: secretsmanager.ISecret


@check_types
@dataclass(frozen=True, kw_only=True)
class ExistingProxy(ExistingDatabase):
    """An existing proxy with IAM authentication for the user; and what ``ExistingDatabase`` takes.

    Args:
        proxy: Owned, from another stack, or imported.
        proxy_security_group: Its security group, to which the function's is added.
    """

    proxy: rds.IDatabaseProxy
    proxy_security_group: ec2.ISecurityGroup


def make_database(
    scope: Construct, options: DatabaseOptions, network: PrivateNetwork, removal_policy: RemovalPolicy
) -> Database:
    """Make a database that is encrypted and backed up, with a security group that allows no connections yet.

    Args:
        scope: The construct that gets the children ``Database`` and ``DatabaseSecurityGroup``.
        options: The database.
        network: Its network.
        removal_policy: ``DESTROY`` also turns deletion protection off.
    """
    group = network.make_security_group(scope, "DatabaseSecurityGroup", "Database: inbound from its proxy")
    make = _make_cluster if options.instance_type is None else _make_instance
    database = make(scope, options, network, group, removal_policy)
    findings = {
        "AwsSolutions-RDS11": "Only the proxy's security group can reach the database, so another port adds "
        "no protection; and RDS Proxy listens on the default port anyway."
    }
    if isinstance(database, rds.DatabaseCluster):
        findings["AwsSolutions-RDS6"] = "Users authenticate with IAM at the proxy, the only way to connect."
        if options.engine == "mysql":
            findings["AwsSolutions-RDS14"] = (
                "Backtrack is charged by the change; point-in-time recovery is on."
            )
    elif not options.multi_az:
        findings["AwsSolutions-RDS3"] = "A standby doubles the price; multi_az=True adds one."
    if removal_policy is RemovalPolicy.DESTROY:
        findings["AwsSolutions-RDS10"] = "removal_policy=DESTROY asks for a database that can be deleted."
    acknowledge(database, findings)
    return database


def managed_secret(database: Database) -> secretsmanager.ISecret:
    """Return the secret in which RDS manages the master user's password."""
    if database.secret is None:
        raise TypeError(f"{database.node.path} has no secret: this version of aws-cdk-lib is not supported.")
    return database.secret


def proxy_target(database: Database) -> rds.ProxyTarget:
    """Return a new database as the target of a proxy."""
    if isinstance(database, rds.DatabaseCluster):
        return rds.ProxyTarget.from_cluster(database)
    return rds.ProxyTarget.from_instance(database)


def cluster_target(scope: Construct, cluster: rds.IDatabaseCluster) -> rds.ProxyTarget:
    """Return an existing cluster as the target of a proxy.

    A cluster from another stack is imported by its attributes, with its security groups. So the rule that
    allows the proxy's connections is made in the proxy's stack. In the other stack, it would refer to the
    proxy's security group while the proxy refers to the database: a circular dependency.
    """
    if Stack.of(cluster) is not Stack.of(scope):
        cluster = rds.DatabaseCluster.from_database_cluster_attributes(
            scope,
            "DatabaseByName",
            cluster_identifier=cluster.cluster_identifier,
            engine=cluster.engine,
            port=cluster.cluster_endpoint.port,
            security_groups=_by_id(scope, cluster.connections),
        )
    return rds.ProxyTarget.from_cluster(cluster)


def instance_target(scope: Construct, instance: rds.IDatabaseInstance) -> rds.ProxyTarget:
    """Return an existing instance as the target of a proxy; from another stack like a cluster."""
    if Stack.of(instance) is not Stack.of(scope):
        instance = rds.DatabaseInstance.from_database_instance_attributes(
            scope,
            "DatabaseByName",
            instance_identifier=instance.instance_identifier,
            instance_endpoint_address=instance.instance_endpoint.hostname,
            engine=instance.engine,
            port=instance.instance_endpoint.port,
            security_groups=_by_id(scope, instance.connections),
        )
    return rds.ProxyTarget.from_instance(instance)


def _by_id(scope: Construct, connections: ec2.Connections) -> list[ec2.ISecurityGroup]:
    return [
        ec2.SecurityGroup.from_security_group_id(
            scope, f"DatabaseSecurityGroupById{number}", group.security_group_id
        )
        for number, group in enumerate(connections.security_groups)
    ]


def _make_cluster(
    scope: Construct,
    options: DatabaseOptions,
    network: PrivateNetwork,
    group: ec2.ISecurityGroup,
    removal_policy: RemovalPolicy,
) -> rds.DatabaseCluster:
    if options.engine == "postgres":
        engine = rds.DatabaseClusterEngine.aurora_postgres(version=rds.AuroraPostgresEngineVersion.VER_17_9)
        exported = ["postgresql"]
    else:
        engine = rds.DatabaseClusterEngine.aurora_mysql(version=rds.AuroraMysqlEngineVersion.VER_3_12_0)
        exported = ["audit", "error", "slowquery"]
    # A reader that scales with the writer has the writer's capacity when it has to take over.
    reader = rds.ClusterInstance.serverless_v2("Reader", scale_with_writer=True)
    return rds.DatabaseCluster(
        scope,
        "Database",
        engine=engine,
        writer=rds.ClusterInstance.serverless_v2("Writer"),
        readers=[reader] if options.multi_az else None,
        serverless_v2_min_capacity=options.min_capacity,
        serverless_v2_max_capacity=options.max_capacity,
        default_database_name=options.database_name,
        credentials=rds.Credentials.from_username(options.user),
        manage_master_user_password=True,
        iam_authentication=True,  # of the function's user
        parameters={**_TLS_REQUIRED[options.engine], **options.parameters},
        storage_encrypted=True,
        backup=rds.BackupProps(retention=options.backup_retention),
        copy_tags_to_snapshot=True,
        cloudwatch_logs_exports=exported,
        deletion_protection=removal_policy is not RemovalPolicy.DESTROY,
        removal_policy=removal_policy,
        vpc=network.vpc,
        vpc_subnets=network.subnets,
        security_groups=[group],
    )


def _make_instance(
    scope: Construct,
    options: DatabaseOptions,
    network: PrivateNetwork,
    group: ec2.ISecurityGroup,
    removal_policy: RemovalPolicy,
) -> rds.DatabaseInstance:
    if options.engine == "postgres":
        engine = rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_17_9)
        exported = ["postgresql"]
    else:
        engine = rds.DatabaseInstanceEngine.mysql(version=rds.MysqlEngineVersion.VER_8_4_10)
        exported = ["error", "slowquery"]
    return rds.DatabaseInstance(
        scope,
        "Database",
        engine=engine,
        instance_type=options.instance_type,
        multi_az=options.multi_az,
        database_name=options.database_name,
        credentials=rds.Credentials.from_username(options.user),
        manage_master_user_password=True,
        iam_authentication=True,  # of the function's user
        parameters={**_TLS_REQUIRED[options.engine], **options.parameters},
        allocated_storage=_STORAGE_GIB,
        max_allocated_storage=_MAX_STORAGE_GIB,
        storage_type=rds.StorageType.GP3,
        storage_encrypted=True,
        backup_retention=options.backup_retention,
        copy_tags_to_snapshot=True,
        cloudwatch_logs_exports=exported,
        delete_automated_backups=removal_policy is RemovalPolicy.DESTROY,
        deletion_protection=removal_policy is not RemovalPolicy.DESTROY,
        removal_policy=removal_policy,
        publicly_accessible=False,
        vpc=network.vpc,
        vpc_subnets=network.subnets,
        security_groups=[group],
    )
