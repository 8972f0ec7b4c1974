"""An existing cluster or instance, which gets a new proxy, or an existing proxy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from aws_cdk import Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct, IConstruct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.limits import check_choice
from cdk_lambda_patterns.core.network import PrivateNetwork
from cdk_lambda_patterns.core.vpcs import is_in_other_vpc
from cdk_lambda_patterns.data.rds_proxy.database import Engine
from cdk_lambda_patterns.data.rds_proxy.names import check_existing_name

# https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBProxy.html
_FAMILIES: Mapping[str, str] = {"postgres": "POSTGRESQL", "mysql": "MYSQL"}


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
        check_existing_name("user", self.user)
        check_existing_name("database_name", self.database_name)


@check_types
@dataclass(frozen=True, kw_only=True)
class ExistingCluster(ExistingDatabase):
    """An existing Aurora cluster, which gets a new proxy; and what ``ExistingDatabase`` takes.

    Args:
        cluster: Owned, from another stack, or imported with its engine, port and security groups.
        secret: Secrets Manager secret with ``username`` (the user) and ``password``, which the proxy logs in
            with. Imported by its complete ARN.

    Raises:
        ValueError: The cluster has another engine or no security groups, or the secret no complete ARN.

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

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_database("cluster", self.cluster, self.engine)
        _check_secret(self.secret)


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

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_database("instance", self.instance, self.engine)
        _check_secret(self.secret)


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

    def __post_init__(self) -> None:
        super().__post_init__()
        made = self.proxy.node.default_child
        if isinstance(made, rds.CfnDBProxy):
            _check_engine("proxy", self.proxy, self.engine, made.engine_family, made.engine_family)


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


def _check_database(
    argument: str, database: rds.IDatabaseCluster | rds.IDatabaseInstance, engine: Engine
) -> None:
    if database.engine is None:
        raise ValueError(f"{argument}={database.node.path} has no engine; give it where you import it.")
    _check_engine(argument, database, engine, database.engine.engine_family, database.engine.engine_type)
    if not database.connections.security_groups:
        raise ValueError(
            f"{argument}={database.node.path} has no security groups, so nothing would allow the proxy to "
            "connect to it; give security_groups where you import it."
        )


def _check_engine(
    argument: str, construct: IConstruct, engine: Engine, family: str | None, found: str
) -> None:
    if family == _FAMILIES[engine]:
        return
    fitting = next((name for name, each in _FAMILIES.items() if each == family), None)
    remedy = f"give engine={fitting!r}" if fitting else "only PostgreSQL and MySQL are supported"
    raise ValueError(f"engine={engine!r}: {argument}={construct.node.path} is {found}; {remedy}.")


def _check_secret(secret: secretsmanager.ISecret) -> None:
    # https://docs.aws.amazon.com/secretsmanager/latest/userguide/troubleshoot.html#ARN_secretnamehyphen
    if secret.secret_full_arn is None:
        raise ValueError(
            f"secret={secret.node.path}: RDS Proxy needs its complete ARN, with the six characters that "
            "Secrets Manager appended to the name; import it by Secret.from_secret_complete_arn."
        )


def check_vpc(options: ExistingDatabase, network: PrivateNetwork) -> None:
    """Check that an existing database is in the VPC of the network of its new proxy, as far as the CDK knows.

    The clients of an existing proxy may be in another VPC, if that is connected.
    https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-network-prereqs.html

    Args:
        options: The database or proxy.
        network: The network of the function.

    Raises:
        ValueError: It is in another VPC.
    """
    match options:
        case ExistingCluster():
            connections = options.cluster.connections
        case ExistingInstance():
            connections = options.instance.connections
        case _:
            return
    for group in connections.security_groups:
        if is_in_other_vpc(group, network.vpc):
            raise ValueError(
                f"network={network.node.path} is in another VPC than {group.node.path}, a security group of "
                "the database; function, proxy and database must be in the same VPC."
            )
