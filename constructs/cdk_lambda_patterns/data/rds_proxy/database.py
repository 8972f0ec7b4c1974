"""The database behind an RDS Proxy: which one is made, or which one is there already."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aws_cdk import Duration, RemovalPolicy, Size, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from cdk_lambda_patterns.core.limits import check_choice, check_duration, check_range
from cdk_lambda_patterns.core.network import PrivateNetwork
from cdk_lambda_patterns.core.permissions import acknowledge

POSTGRES, MYSQL = "postgres", "mysql"
PORTS = {POSTGRES: 5432, MYSQL: 3306}

# Plain connections to the database itself are refused too, whoever makes them.
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/PostgreSQL.Concepts.General.SSL.html
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/mysql-ssl-connections.html
_TLS_REQUIRED = {POSTGRES: {"rds.force_ssl": "1"}, MYSQL: {"require_secure_transport": "ON"}}
_LOGS = {POSTGRES: ["postgresql"], MYSQL: ["error", "slowquery"]}
_AURORA_MYSQL_LOGS = ["audit", "error", "slowquery"]

Database = rds.DatabaseCluster | rds.DatabaseInstance


@dataclass(frozen=True, kw_only=True)
class DatabaseOptions:
    """The database that is made: Aurora Serverless v2, or one instance if its type is given.

    Args:
        engine: ``"postgres"`` or ``"mysql"``.
        instance_type: Type of an RDS instance. Default: none, an Aurora Serverless v2 cluster.
        min_capacity: Least capacity of Aurora, 0.5 to 256 ACU (2 GiB of memory each). It never pauses: the
            proxy keeps connections open.
        max_capacity: Most capacity of Aurora, 1 to 256 ACU.
        multi_az: A second one in another zone, which takes over: a standby of the instance, or a reader.
        name: Name of the database in the server.
        user: The user that owns it. RDS makes the password, keeps it in Secrets Manager, and changes it.
        backup_retention: How long backups are kept, 1 to 35 days.
        parameters: Parameters of the server, beside TLS, which is required in any case.

    Raises:
        ValueError: A value is outside of what RDS allows, or does not apply.

    Example::

        DatabaseOptions(
            instance_type=ec2.InstanceType("t4g.medium"), multi_az=True, parameters={"max_connections": "200"}
        )
    """

    engine: str = POSTGRES
    instance_type: ec2.InstanceType | None = None
    min_capacity: float = 0.5
    max_capacity: float = 4
    multi_az: bool = False
    name: str = "app"
    user: str = "app_owner"
    backup_retention: Duration = field(default_factory=lambda: Duration.days(7))
    parameters: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_choice("engine", self.engine, tuple(PORTS))
        # https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-serverless-v2.setting-capacity.html
        allows = "Aurora behind a proxy, which never pauses, has"
        check_range("min_capacity", self.min_capacity, 0.5, 256, unit="ACU", allows=allows)
        check_range("max_capacity", self.max_capacity, 1, 256, unit="ACU", allows=allows)
        if self.min_capacity > self.max_capacity:
            raise ValueError(
                f"min_capacity={self.min_capacity:g}, max_capacity={self.max_capacity:g}: the least is more "
                "than the most; exchange them."
            )
        # https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_WorkingWithAutomatedBackups.BackupRetention.html
        days = Duration.days(1).to_seconds()
        check_duration(
            "backup_retention", self.backup_retention, int(days), int(35 * days), allows="RDS keeps"
        )


@dataclass(frozen=True, kw_only=True)
class ExistingDatabase:
    """A database that is there already: a cluster or an instance, or one with its proxy.

    Args:
        engine: ``"postgres"`` or ``"mysql"``.
        cluster: A cluster, owned, of another stack, or imported with its engine, port and security groups; a
            proxy is made for it.
        instance: An instance, in the same way.
        secret: Secrets Manager secret with ``username`` and ``password`` of that user, for the proxy.
        proxy: A proxy with IAM authentication, instead of ``cluster`` or ``instance`` and ``secret``.
        proxy_security_group: The proxy's security group, which must let the function in.
        name: Name of the database in the server.
        user: The user that the function connects as: the ``username`` in the secret.

    Raises:
        ValueError: Not exactly one of cluster, instance and proxy is given, or what belongs to it is missing.

    Example::

        cluster = rds.DatabaseCluster.from_database_cluster_attributes(
            self, "Orders", cluster_identifier="orders", port=5432,
            engine=rds.DatabaseClusterEngine.aurora_postgres(version=rds.AuroraPostgresEngineVersion.VER_17_9),
            security_groups=[ec2.SecurityGroup.from_security_group_id(self, "Group", "sg-0123456789abcdef0")],
        )
        secret = secretsmanager.Secret.from_secret_complete_arn(self, "Writer", secret_arn)
        ExistingDatabase(cluster=cluster, secret=secret, user="orders_writer")
    """

    engine: str = POSTGRES
    cluster: rds.IDatabaseCluster | None = None
    instance: rds.IDatabaseInstance | None = None
    secret: secretsmanager.ISecret | None = None
    proxy: rds.IDatabaseProxy | None = None
    proxy_security_group: ec2.ISecurityGroup | None = None
    name: str = "app"
    user: str

    def __post_init__(self) -> None:
        check_choice("engine", self.engine, tuple(PORTS))
        if sum(given is not None for given in (self.cluster, self.instance, self.proxy)) != 1:
            raise ValueError("give one of cluster, instance (a proxy is made for it) and proxy.")
        if self.proxy is None and self.secret is None:
            raise ValueError(
                "secret: the proxy logs in to the database with it; give the secret with 'username' "
                f"({self.user}) and 'password'."
            )
        if self.proxy is not None and self.proxy_security_group is None:
            raise ValueError(
                "proxy without proxy_security_group: it has to let the function in; give its security group."
            )


def make_database(
    scope: Construct,
    id: str,
    options: DatabaseOptions,
    network: PrivateNetwork,
    removal_policy: RemovalPolicy,
) -> Database:
    """Make the database: encrypted, backed up, reached from nowhere until somebody is let in.

    Args:
        scope: The parent.
        id: The id under the parent.
        options: Which database.
        network: Where.
        removal_policy: ``DESTROY`` also lifts the protection against deletion.
    """
    group = network.make_security_group(scope, f"{id}SecurityGroup", "Database: only its proxy gets in")
    make = _make_cluster if options.instance_type is None else _make_instance
    database = make(scope, id, options, network, group, removal_policy)
    findings = {
        "AwsSolutions-RDS11": "It is reached from the security group of its proxy alone; another port adds "
        "nothing to that, and RDS Proxy listens on the default one in any case."
    }
    if isinstance(database, rds.DatabaseCluster):
        findings["AwsSolutions-RDS6"] = "Users authenticate with IAM at the proxy, the only way in."
        if options.engine == MYSQL:
            findings["AwsSolutions-RDS14"] = "Backtrack costs by the change: point-in-time recovery is on."
    elif not options.multi_az:
        findings["AwsSolutions-RDS3"] = "A standby doubles the price: multi_az=True makes one."
    if removal_policy is RemovalPolicy.DESTROY:
        findings["AwsSolutions-RDS10"] = "It was asked for a database that is deleted with its stack."
    acknowledge(database, findings)
    return database


def proxy_target(scope: Construct, database: Database | ExistingDatabase) -> rds.ProxyTarget:
    """Return what a proxy leads to.

    A database of another stack is reached by its attributes, and so are its security groups: the rule that
    lets the proxy in then stands beside the proxy. In the other stack it would need the proxy's group while
    the proxy needs the database, and two stacks cannot wait for each other.
    """
    match database:
        case rds.DatabaseCluster():
            return rds.ProxyTarget.from_cluster(database)
        case rds.DatabaseInstance():
            return rds.ProxyTarget.from_instance(database)
    if cluster := database.cluster:
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
    instance = database.instance
    assert instance is not None
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
    id: str,
    options: DatabaseOptions,
    network: PrivateNetwork,
    group: ec2.ISecurityGroup,
    removal_policy: RemovalPolicy,
) -> rds.DatabaseCluster:
    if options.engine == POSTGRES:
        engine = rds.DatabaseClusterEngine.aurora_postgres(version=rds.AuroraPostgresEngineVersion.VER_17_9)
        exported = _LOGS[POSTGRES]
    else:
        engine = rds.DatabaseClusterEngine.aurora_mysql(version=rds.AuroraMysqlEngineVersion.VER_3_12_0)
        exported = _AURORA_MYSQL_LOGS
    # A reader that scales with the writer is as large as the writer when it has to take over.
    reader = rds.ClusterInstance.serverless_v2("Reader", scale_with_writer=True)
    return rds.DatabaseCluster(
        scope,
        id,
        engine=engine,
        writer=rds.ClusterInstance.serverless_v2("Writer"),
        readers=[reader] if options.multi_az else None,
        serverless_v2_min_capacity=options.min_capacity,
        serverless_v2_max_capacity=options.max_capacity,
        default_database_name=options.name,
        credentials=rds.Credentials.from_username(options.user),
        manage_master_user_password=True,
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
    id: str,
    options: DatabaseOptions,
    network: PrivateNetwork,
    group: ec2.ISecurityGroup,
    removal_policy: RemovalPolicy,
) -> rds.DatabaseInstance:
    if options.engine == POSTGRES:
        engine = rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_17_9)
    else:
        engine = rds.DatabaseInstanceEngine.mysql(version=rds.MysqlEngineVersion.VER_8_4_10)
    gibibytes = Size.gibibytes(20).to_gibibytes()
    return rds.DatabaseInstance(
        scope,
        id,
        engine=engine,
        instance_type=options.instance_type,
        multi_az=options.multi_az,
        database_name=options.name,
        credentials=rds.Credentials.from_username(options.user),
        manage_master_user_password=True,
        parameters={**_TLS_REQUIRED[options.engine], **options.parameters},
        allocated_storage=gibibytes,
        max_allocated_storage=10 * gibibytes,
        storage_type=rds.StorageType.GP3,
        storage_encrypted=True,
        backup_retention=options.backup_retention,
        copy_tags_to_snapshot=True,
        cloudwatch_logs_exports=_LOGS[options.engine],
        delete_automated_backups=removal_policy is RemovalPolicy.DESTROY,
        deletion_protection=removal_policy is not RemovalPolicy.DESTROY,
        removal_policy=removal_policy,
        publicly_accessible=False,
        vpc=network.vpc,
        vpc_subnets=network.subnets,
        security_groups=[group],
    )
