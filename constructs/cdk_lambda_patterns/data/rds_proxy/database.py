"""A new database behind an RDS Proxy: an Aurora Serverless v2 cluster, or an RDS instance."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from aws_cdk import Duration, RemovalPolicy, Token
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.limits import Limit, check_choice
from cdk_lambda_patterns.core.network import PrivateNetwork
from cdk_lambda_patterns.core.permissions import acknowledge
from cdk_lambda_patterns.data.rds_proxy.names import check_new_name

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
_DEFAULT_CAPACITY = (0.5, 4.0)

# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_WorkingWithAutomatedBackups.BackupRetention.html
# 0 would turn backups off.
_BACKUP_RETENTION = Limit("this construct", 1, 35, "days", whole=True)

_STORAGE_GIB, _MAX_STORAGE_GIB = 20, 200

# Only the major version: RDS installs its default minor version, and upgrades it. A template with a minor
# version would be a downgrade after that, which fails: https://github.com/aws/aws-cdk/issues/15475
# https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_ModifyDBInstance.html
_INSTANCE_VERSION: Mapping[Engine, str] = {"postgres": "17", "mysql": "8.4"}
_CLUSTER_VERSION: Mapping[Engine, str] = {"postgres": "17", "mysql": "8.0"}  # 8.0 is Aurora MySQL 3
# The major versions that AWS has, and those to come: PostgreSQL has one a year, and
# MySQL's releases for the long term end in .7 from 9.7 on. A new one needs no change
# here, and one of the other engine is refused.
# https://docs.aws.amazon.com/AmazonRDS/latest/PostgreSQLReleaseNotes/postgresql-versions.html
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/MySQL.Concepts.VersionMgmt.html
# https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Concepts.Aurora_Fea_Regions_DB-eng.Feature.ServerlessV2.html
_INSTANCE_MAJORS: Mapping[Engine, str] = {"postgres": "1[1-9]|2[0-9]", "mysql": r"5\.7|8\.[04]|(9|1[0-2])\.7"}
_CLUSTER_MAJORS: Mapping[Engine, str] = {"postgres": "1[3-9]|2[0-9]", "mysql": r"8\.[04]|(9|1[0-2])\.7"}
_VERSION: Mapping[Engine, str] = {"postgres": r"(?a:\d+(\.\d+)?)", "mysql": r"(?a:\d+\.\d+(\.\w+)*)"}


@check_types
@dataclass(frozen=True, kw_only=True)
class DatabaseOptions:
    """A new database: an Aurora Serverless v2 cluster, or an RDS instance if ``instance_type`` is given.

    Args:
        engine: ``"postgres"`` or ``"mysql"``.
        instance_type: Type of an RDS instance. Default: none, an Aurora Serverless v2 cluster.
        engine_version: Version of the engine. Default: only a major one (17, MySQL 8.4, Aurora MySQL 3), of
            which RDS installs a minor version and upgrades it. With a minor version (``"17.9"``), automatic
            minor version upgrades are off: the next deployment would be a downgrade, which fails.
        min_capacity: Minimum capacity of Aurora, 0.5 to 256 ACU (2 GiB of memory each), in steps of 0.5.
            Default: 0.5. Aurora does not pause behind a proxy, whose open connections keep it awake.
        max_capacity: Maximum capacity of Aurora, 1 to 256 ACU, in steps of 0.5. Default: 4.
        multi_az: Adds a standby instance, or a reader of the cluster, in another Availability Zone, to fail
            over to.
        database_name: Name of the database: letters, digits and underscores, the first one a letter, and no
            word that the engine reserves. So are the names of users.
        user: The master user, for the migration only. RDS creates its password, stores it in Secrets Manager
            and rotates it.
        function_user: The user that the function connects as, with IAM and without a password. The migration
            creates it.
        backup_retention: How long backups are retained, 1 to 35 days.
        deletion_protection: Whether RDS refuses to delete the database. Default: yes, except with
            ``removal_policy=DESTROY``.
        parameters: Parameters of the database server, in addition to those that require TLS.

    Raises:
        ValueError: RDS does not allow a value, or it does not fit the others.

    Example::

        DatabaseOptions(
            instance_type=ec2.InstanceType("t4g.medium"), multi_az=True, parameters={"max_connections": "200"}
        )
    """

    engine: Engine = "postgres"
    engine_version: str | None = None
    instance_type: ec2.InstanceType | None = None
    min_capacity: float | None = None
    max_capacity: float | None = None
    multi_az: bool = False
    database_name: str = "app"
    user: str = "app_owner"
    function_user: str = "app"
    backup_retention: Duration = field(default_factory=lambda: Duration.days(7))
    deletion_protection: bool | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_choice("engine", self.engine, get_args(Engine))
        self._check_capacity()
        for argument in ("database_name", "user", "function_user"):
            check_new_name(argument, getattr(self, argument), self.engine)
        if self.user == self.function_user:
            raise ValueError(
                f"function_user={self.function_user!r}: that is the master user; choose another name for "
                "the function's."
            )
        if Token.is_unresolved(self.version):
            raise ValueError(
                "engine_version: it is known only when the stack is deployed, and the family of the "
                "parameter group in the template follows from it; give a version, such as '17' or '8.4'."
            )
        if not re.fullmatch(_VERSION[self.engine], self.version):
            raise ValueError(
                f"engine_version={self.version!r}: give a version of RDS, such as '17' or '8.4'."
            )
        majors = (_CLUSTER_MAJORS if self.instance_type is None else _INSTANCE_MAJORS)[self.engine]
        if not re.fullmatch(majors, self.major_version):
            what = "Aurora Serverless v2" if self.instance_type is None else "RDS"
            raise ValueError(
                f"engine_version={self.version!r}: {what} has no such major version of {self.engine}; give "
                f"another, such as {self.default_version!r}."
            )
        instance_type = self.instance_type.to_string() if self.instance_type else ""
        known = instance_type and not Token.is_unresolved(instance_type)
        if known and not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", instance_type):
            raise ValueError(f"instance_type={instance_type!r}: give class and size, such as 't4g.medium'.")
        if instance_type.startswith("db."):
            raise ValueError(f"instance_type={instance_type!r}: leave out 'db.', which the CDK adds.")
        for name, required in _TLS_REQUIRED[self.engine].items():
            for given in (key for key in self.parameters if key.lower() == name):
                if self.parameters[given].upper() not in (required, "1"):
                    raise ValueError(
                        f"parameters[{given!r}]={self.parameters[given]!r}: the database would accept "
                        "connections without TLS; leave it out."
                    )
        if not self.backup_retention.is_unresolved():
            _BACKUP_RETENTION.check("backup_retention", self.backup_retention.to_days(integral=False))

    def _check_capacity(self) -> None:
        _MIN_CAPACITY.check("min_capacity", self.min_capacity)
        _MAX_CAPACITY.check("max_capacity", self.max_capacity)
        low, high = self.capacity
        for name, value in (("min_capacity", self.min_capacity), ("max_capacity", self.max_capacity)):
            if value is None or Token.is_unresolved(value):
                continue
            if self.instance_type is not None:
                raise ValueError(
                    f"{name}={value:g} cannot be combined with instance_type: only Aurora Serverless has a "
                    "capacity; leave one of them out."
                )
            if value * 2 % 1:
                raise ValueError(f"{name}={value:g}: Aurora allows steps of 0.5 ACU.")
        if low > high and not Token.is_unresolved(low) and not Token.is_unresolved(high):
            raise ValueError(
                f"min_capacity={low:g}, max_capacity={high:g}: min_capacity must not exceed max_capacity."
            )

    @property
    def version(self) -> str:
        """The version of the engine, the default one if none was given."""
        return self.engine_version or self.default_version

    @property
    def default_version(self) -> str:
        """The major version that is made if none was given."""
        return (_CLUSTER_VERSION if self.instance_type is None else _INSTANCE_VERSION)[self.engine]

    @property
    def major_version(self) -> str:
        """The major version; only if it is the whole version, RDS upgrades minor versions."""
        return ".".join(self.version.split(".")[: 1 if self.engine == "postgres" else 2])

    @property
    def capacity(self) -> tuple[float, float]:
        """The minimum and the maximum capacity of Aurora."""
        low, high = _DEFAULT_CAPACITY
        low = low if self.min_capacity is None else self.min_capacity
        return low, high if self.max_capacity is None else self.max_capacity


def make_database(
    scope: Construct, options: DatabaseOptions, network: PrivateNetwork, removal_policy: RemovalPolicy
) -> Database:
    """Make a database that is encrypted and backed up, with a security group that allows no connections yet.

    Args:
        scope: The construct that gets the children ``Database`` and ``DatabaseSecurityGroup``.
        options: The database.
        network: Its network.
        removal_policy: ``DESTROY`` also turns deletion protection off, unless that is an option.
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
    if not _protected(options, removal_policy):
        findings["AwsSolutions-RDS10"] = (
            "removal_policy=DESTROY, or deletion_protection=False, asks for a database that can be deleted."
        )
    acknowledge(database, findings)
    return database


def _protected(options: DatabaseOptions, removal_policy: RemovalPolicy) -> bool:
    if options.deletion_protection is None:
        return removal_policy is not RemovalPolicy.DESTROY
    return options.deletion_protection


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


def _make_cluster(
    scope: Construct,
    options: DatabaseOptions,
    network: PrivateNetwork,
    group: ec2.ISecurityGroup,
    removal_policy: RemovalPolicy,
) -> rds.DatabaseCluster:
    if options.engine == "postgres":
        engine = rds.DatabaseClusterEngine.aurora_postgres(
            version=rds.AuroraPostgresEngineVersion.of(options.version, options.major_version)
        )
        exported = ["postgresql"]
    else:
        engine = rds.DatabaseClusterEngine.aurora_mysql(
            version=rds.AuroraMysqlEngineVersion.of(options.version, options.major_version)
        )
        exported = ["audit", "error", "slowquery"]
    upgrade = options.version == options.major_version
    min_capacity, max_capacity = options.capacity
    # A reader that scales with the writer has the writer's capacity when it has to take over.
    reader = rds.ClusterInstance.serverless_v2(
        "Reader", scale_with_writer=True, auto_minor_version_upgrade=upgrade
    )
    return rds.DatabaseCluster(
        scope,
        "Database",
        engine=engine,
        writer=rds.ClusterInstance.serverless_v2("Writer", auto_minor_version_upgrade=upgrade),
        readers=[reader] if options.multi_az else None,
        serverless_v2_min_capacity=min_capacity,
        serverless_v2_max_capacity=max_capacity,
        default_database_name=options.database_name,
        credentials=rds.Credentials.from_username(options.user),
        manage_master_user_password=True,
        iam_authentication=True,  # of the function's user
        parameters={**_TLS_REQUIRED[options.engine], **options.parameters},
        storage_encrypted=True,
        backup=rds.BackupProps(retention=options.backup_retention),
        copy_tags_to_snapshot=True,
        cloudwatch_logs_exports=exported,
        deletion_protection=_protected(options, removal_policy),
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
        engine = rds.DatabaseInstanceEngine.postgres(
            version=rds.PostgresEngineVersion.of(options.version, options.major_version)
        )
        exported = ["postgresql"]
    else:
        engine = rds.DatabaseInstanceEngine.mysql(
            version=rds.MysqlEngineVersion.of(options.version, options.major_version)
        )
        exported = ["error", "slowquery"]
    return rds.DatabaseInstance(
        scope,
        "Database",
        engine=engine,
        instance_type=options.instance_type,
        auto_minor_version_upgrade=options.version == options.major_version,
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
        deletion_protection=_protected(options, removal_policy),
        removal_policy=removal_policy,
        publicly_accessible=False,
        vpc=network.vpc,
        vpc_subnets=network.subnets,
        security_groups=[group],
    )
