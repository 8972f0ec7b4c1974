"""SQL in PostgreSQL or Aurora MySQL → role of the database → Lambda.

Use it where SQL needs an answer that only code can give, or to start work from a trigger. Do not use it for
what must happen exactly when a transaction commits: an invocation is not part of the transaction. Write such
work to a table in the same transaction, and deliver it after the commit (an outbox), or read the changes of
the database with AWS Database Migration Service.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from aws_cdk import Annotations, ArnFormat, Stack, Token
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_rds as rds
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.network import PrivateNetwork
from cdk_lambda_patterns.core.permissions import acknowledge_wildcard
from cdk_lambda_patterns.core.regions import check_region, differ
from cdk_lambda_patterns.core.vpcs import is_in_other_vpc

Database: TypeAlias = rds.IDatabaseInstance | rds.IDatabaseCluster

_FEATURE = "Lambda"
_ROLE_PARAMETER = "aws_default_lambda_role"
# Without it, an instance does not find the endpoint by Lambda's name.
_DNS = "rds.custom_dns_resolution"
# The feature of each engine: Aurora MySQL has none, but a parameter with the role. RDS for MySQL has neither.
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/PostgreSQL-Lambda.html
# https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/AuroraMySQL.Integrating.Authorizing.IAM.AddRoleToDBCluster.html
_FEATURES: Mapping[tuple[bool, str], str | None] = {
    (False, "postgres"): _FEATURE,
    (True, "aurora-postgresql"): _FEATURE,
    (True, "aurora-mysql"): None,
}
# The first minor version of each major version; of later ones, all can. It is another page for Aurora:
# https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/PostgreSQL-Lambda.html
_FIRST: Mapping[str, Mapping[int, int]] = {
    "postgres": {12: 6, 13: 2, 14: 1},
    "aurora-postgresql": {11: 9},
}
_OWN_ACCOUNT = " The policy of an endpoint that the network makes allows functions of this account only."
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/CHAP_Limits.html
_MOST_ROLES = 5
_ROLES = (rds.CfnDBInstance.DBInstanceRoleProperty, rds.CfnDBCluster.DBClusterRoleProperty)


@check_types
class RdsInvokesLambda(Construct):
    """Lets the SQL of a database invoke functions: ``aws_lambda.invoke``, or ``lambda_sync``.

    It makes the role, which RDS may assume for databases of this account only and which may invoke these
    functions only, and associates it with the database. With a network, it also opens the way from the
    database to Lambda. In PostgreSQL, the owner then runs ``CREATE EXTENSION aws_lambda CASCADE``, and grants
    other users USAGE of the schema ``aws_lambda`` and EXECUTE of its functions; in Aurora MySQL 3, the role
    ``AWS_LAMBDA_ACCESS``.

    A database has one such role: give all functions to one construct, in the stack of the database.

    Args:
        database: An instance with PostgreSQL, or a cluster of Aurora PostgreSQL or Aurora MySQL.
            CloudFormation does not change an imported one: a warning has the command that associates the
            role.
        functions: The functions, versions or aliases that it may invoke; owned or imported, also of another
            Region or account. The owner of another account's function must allow the role, too.
        network: The network of the database, where it needs a way to Lambda: the interface endpoint, or NAT.
            The policy of an endpoint that the network makes allows functions of this account only. Default:
            the database has its own way.
        parameter_group: The database's own parameter group. An instance that uses an endpoint gets
            ``rds.custom_dns_resolution`` there, and Aurora MySQL its role. Default: the one that the CDK
            makes for a database with ``parameters``.

    Raises:
        ValueError: The database has another engine or an older version, is in another stack or network, has
            such a role already, or needs a parameter and has no parameter group of its own, or another value
            in it; or there are no functions.

    Attributes:
        role (Role): The role of the database: what it may do in AWS.

    Example::

        network = PrivateNetwork(self, "Network")
        engine = rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_17)
        orders = rds.DatabaseInstance(
            self, "Db", engine=engine, vpc=network.vpc, vpc_subnets=network.subnets, parameters={"jit": "0"}
        )
        prices = HardenedFunction(self, "Prices", code="worker")
        RdsInvokesLambda(self, "Pricing", database=orders, functions=[prices], network=network)

    https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/PostgreSQL-Lambda.html
    https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/AuroraMySQL.Integrating.Lambda.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        database: Database,
        functions: Sequence[lambda_.IFunction],
        network: PrivateNetwork | None = None,
        parameter_group: rds.ParameterGroup | None = None,
    ) -> None:
        if not functions:
            raise ValueError("functions=[]: give at least one function that the database may invoke.")
        feature, owned = _feature_of(database), _owned(database)
        check_region(scope, "A role is associated in the database's own Region", {"database": database})
        _check_place(scope, id, database, owned, network)
        roles = _associated(owned)
        parameter = _needed_parameter(database, feature, network)
        group = parameter_group or database.node.try_find_child("ParameterGroup")
        if parameter_group is not None or (owned is not None and parameter):
            _check_group(database, owned, group, parameter)
        super().__init__(scope, id)
        self.role = self._make_role(database, functions, network)
        if network is not None:
            network.allow_endpoints(database, [ec2.InterfaceVpcEndpointAwsService.LAMBDA_])
        if parameter and isinstance(group, rds.ParameterGroup):
            group.add_parameter(parameter, "1" if parameter == _DNS else self.role.role_arn)
        arn = self.role.role_arn
        match owned:
            case rds.CfnDBInstance():
                one = rds.CfnDBInstance.DBInstanceRoleProperty(role_arn=arn, feature_name=_FEATURE)
                owned.associated_roles = [*roles, one]
            case rds.CfnDBCluster():
                other = rds.CfnDBCluster.DBClusterRoleProperty(role_arn=arn, feature_name=feature)
                owned.associated_roles = [*roles, other]
            case _:
                self._warn_to_associate(database, feature, network)

    def _make_role(
        self, database: Database, functions: Sequence[lambda_.IFunction], network: PrivateNetwork | None
    ) -> iam.Role:
        """Make the role, with the conditions against a confused deputy.

        https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/cross-service-confused-deputy-prevention.html
        https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_PostgreSQL.S3Import.AccessPermission.html
        """
        stack = Stack.of(self)
        source = stack.format_arn(
            service="rds",
            resource="cluster" if _is_cluster(database) else "db",
            resource_name=_known_identifier(database) or "*",
            arn_format=ArnFormat.COLON_RESOURCE_NAME,
        )
        principal = iam.ServicePrincipal(
            "rds.amazonaws.com",
            conditions={
                "StringEquals": {"aws:SourceAccount": stack.account},
                "ArnLike": {"aws:SourceArn": source},
            },
        )
        role = iam.Role(self, "Role", assumed_by=principal)
        for function in functions:
            arns = function.resource_arns_for_grant_invoke
            role.add_to_policy(iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=arns))
            for arn in arns:
                if arn.endswith(":*"):
                    reason = "SQL chooses the version or the alias; give an alias to allow only that."
                    acknowledge_wildcard(role, arn, reason, target=function)
            if differ(function.env.account, stack.account):
                Annotations.of(self).add_warning_v2(
                    f"cdk-lambda-patterns:notGranted:{function.node.path}",
                    f"{function.node.path} is of the account {function.env.account}. Its owner must allow "
                    f"the role {self.node.path}/Role lambda:InvokeFunction (aws lambda add-permission)."
                    f"{_OWN_ACCOUNT if network else ''}",
                )
            if network and not network.has_nat and differ(function.env.region, stack.region):
                Annotations.of(self).add_warning_v2(
                    f"cdk-lambda-patterns:notReached:{function.node.path}",
                    f"{function.node.path} is in {function.env.region}, and the endpoint of "
                    f"{network.node.path} leads to Lambda in {stack.region} only; the database needs NAT.",
                )
        return role

    def _warn_to_associate(
        self, database: Database, feature: str | None, network: PrivateNetwork | None
    ) -> None:
        kind = "cluster" if _is_cluster(database) else "instance"
        name = f"--feature-name {feature} " if feature else ""
        also = "" if feature else f", and set {_ROLE_PARAMETER} in its cluster parameter group"
        if network is not None and kind == "instance":
            also += f", and set {_DNS}=1 in its parameter group"
        if network is not None and not database.connections.security_groups:
            also += ", and allow port 443 from its security group to the endpoint, which is not known here"
        Annotations.of(self).add_warning_v2(
            "cdk-lambda-patterns:notAssociated",
            f"{database.node.path} is imported, so CloudFormation does not change it. After the deployment, "
            f"run aws rds add-role-to-db-{kind} --db-{kind}-identifier NAME {name}--role-arn ARN with the "
            f"role of {self.node.path}{also}; and remove-role-from-db-{kind} before the role is deleted.",
        )


def _check_place(
    scope: Construct,
    id: str,
    database: Database,
    owned: rds.CfnDBInstance | rds.CfnDBCluster | None,
    network: PrivateNetwork | None,
) -> None:
    if owned is not None and Stack.of(owned) is not Stack.of(scope):
        raise ValueError(
            f"database={database.node.path} is in the stack {Stack.of(owned).node.path}, whose template "
            f"names the role; make {id} in that stack. The functions may be in others."
        )
    if network is not None and any(
        is_in_other_vpc(group, network.vpc) for group in database.connections.security_groups
    ):
        raise ValueError(
            f"network={network.node.path} is in another VPC than {database.node.path}; give the database's."
        )


def _check_group(
    database: Database,
    owned: rds.CfnDBInstance | rds.CfnDBCluster | None,
    group: object,
    parameter: str | None,
) -> None:
    """Check that a parameter reaches the database, and replaces no other value."""
    about = f"database={database.node.path}"
    if not isinstance(group, rds.ParameterGroup):
        raise ValueError(
            f"{about} needs the parameter {parameter}, and has no parameter group of its own; make it with "
            "parameters, or give the group that it has as parameter_group."
        )
    kind = rds.CfnDBClusterParameterGroup if _is_cluster(database) else rds.CfnDBParameterGroup
    made = [child for child in group.node.children if isinstance(child, kind)]
    stack = Stack.of(group)
    match owned:
        case rds.CfnDBInstance():
            used = owned.db_parameter_group_name
        case rds.CfnDBCluster():
            used = owned.db_cluster_parameter_group_name
        case _:
            used = made[0].ref if made else None
    if not any(stack.resolve(one.ref) == stack.resolve(used) for one in made):
        raise ValueError(
            f"parameter_group={group.node.path} is not that of {database.node.path}; make the database with "
            "this group (a cluster, not only its instances), or give the one that it has."
        )
    values = stack.resolve(made[0].parameters) or {}
    value = values.get(parameter)
    if value is not None and (parameter, value) != (_DNS, "1"):
        raise ValueError(
            f"parameter_group={group.node.path} has {parameter}={value} already; remove it there. A cluster "
            "has one such role: give all functions to one RdsInvokesLambda, and each cluster its own group."
            if parameter == _ROLE_PARAMETER
            else f"parameter_group={group.node.path} has {parameter}={value}; {database.node.path} needs 1."
        )


def _needed_parameter(database: Database, feature: str | None, network: PrivateNetwork | None) -> str | None:
    """Return the parameter of the database without which it cannot invoke functions, if there is one."""
    if feature is None:
        return _ROLE_PARAMETER
    return None if network is None or _is_cluster(database) else _DNS


def _is_cluster(database: Database) -> bool:
    return hasattr(database, "cluster_identifier")


def _feature_of(database: Database) -> str | None:
    """Return the feature that the role is associated with; ``None`` for Aurora MySQL."""
    engine = database.engine
    if engine is None:
        raise ValueError(
            f"database={database.node.path} has no engine; give it where you import it. A read replica made "
            "by the CDK has none: only its primary can be given."
        )
    key = _is_cluster(database), engine.engine_type
    if key not in _FEATURES:
        raise ValueError(
            f"database={database.node.path} is {engine.engine_type}, which cannot invoke functions; only RDS "
            "for PostgreSQL, Aurora PostgreSQL and Aurora MySQL can."
        )
    version = (engine.engine_version and engine.engine_version.full_version) or ""
    known = re.match(r"(\d+)(?:\.(\d+))?", version)
    if known and (first := _FIRST.get(engine.engine_type)):
        major, minor = int(known[1]), known[2]
        if major < min(first) or (minor is not None and int(minor) < first.get(major, 0)):
            allowed = ", ".join(f"{one}.{other}" for one, other in first.items())
            raise ValueError(
                f"database={database.node.path} has {engine.engine_type} {version}, which cannot invoke "
                f"functions; choose a version from {allowed} on, or a later major version."
            )
    return _FEATURES[key]


def _owned(database: Database) -> rds.CfnDBInstance | rds.CfnDBCluster | None:
    """Return the resource of a database that the app makes; ``None`` for an imported one."""
    resource = database.node.default_child or database.node.try_find_child("Resource")
    return resource if isinstance(resource, rds.CfnDBInstance | rds.CfnDBCluster) else None


def _associated(owned: rds.CfnDBInstance | rds.CfnDBCluster | None) -> list[Any]:
    """Return the roles that a database has already."""
    if owned is None or owned.associated_roles is None:
        return []
    about, roles = f"database={owned.node.path}", owned.associated_roles
    if not isinstance(roles, list):
        raise ValueError(f"{about}: its associated_roles are known only at deployment; give a list.")
    if any(isinstance(role, _ROLES) and role.feature_name == _FEATURE for role in roles):
        raise ValueError(
            f"{about} has a role for the feature Lambda, and RDS allows one; give all functions to one "
            "RdsInvokesLambda."
        )
    if len(roles) >= _MOST_ROLES:
        raise ValueError(f"{about} has {len(roles)} roles, and RDS allows {_MOST_ROLES}; remove one.")
    return list(roles)


def _known_identifier(database: Database) -> str | None:
    """Return the identifier, in lower case as RDS stores it.

    One that CloudFormation makes would let role and database refer to each other.
    """
    match _owned(database):
        case rds.CfnDBInstance() as instance:
            given = instance.db_instance_identifier
        case rds.CfnDBCluster() as cluster:
            given = cluster.db_cluster_identifier
        case _:
            given = getattr(database, "cluster_identifier", None) or getattr(
                database, "instance_identifier", None
            )
            if Token.is_unresolved(given):
                return given
    return given.lower() if given and not Token.is_unresolved(given) else None
