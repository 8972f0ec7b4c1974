"""RdsInvokesLambda: the role, its association, and the way from the database to Lambda."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import App, Environment, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_rds as rds
from aws_cdk.assertions import Annotations, Match

from cdk_lambda_patterns import PrivateNetwork
from cdk_lambda_patterns.data.rds_invokes_lambda import RdsInvokesLambda
from tests.templates import Resources, stack_with

POSTGRES = rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_17)
AURORA = rds.DatabaseClusterEngine.aurora_postgres(version=rds.AuroraPostgresEngineVersion.VER_17_9)
MYSQL = rds.DatabaseClusterEngine.aurora_mysql(version=rds.AuroraMysqlEngineVersion.VER_3_08_0)


def function(stack: Stack, id: str = "Prices") -> lambda_.Function:
    return lambda_.Function(
        stack,
        id,
        runtime=lambda_.Runtime.PYTHON_3_13,
        handler="index.handler",
        code=lambda_.Code.from_inline("def handler(event, context): return event"),
    )


def instance(stack: Stack, network: PrivateNetwork, **more: Any) -> rds.DatabaseInstance:
    settings: dict[str, Any] = {"engine": POSTGRES, "parameters": {"rds.force_ssl": "1"}, **more}
    return rds.DatabaseInstance(stack, "Db", vpc=network.vpc, vpc_subnets=network.subnets, **settings)


def cluster(stack: Stack, network: PrivateNetwork, **more: Any) -> rds.DatabaseCluster:
    return rds.DatabaseCluster(
        stack,
        "Db",
        vpc=network.vpc,
        vpc_subnets=network.subnets,
        writer=rds.ClusterInstance.serverless_v2("Writer"),
        **more,
    )


def imported(stack: Stack, **more: Any) -> rds.IDatabaseInstance:
    return rds.DatabaseInstance.from_database_instance_attributes(
        stack,
        "Db",
        instance_identifier="Orders",
        instance_endpoint_address="orders.example",
        port=5432,
        **{"security_groups": [ec2.SecurityGroup.from_security_group_id(stack, "Group", "sg-0")], **more},
    )


@stack_with
def private_instance(stack: Stack) -> None:
    network = PrivateNetwork(stack, "Network")
    RdsInvokesLambda(
        stack, "Invokes", database=instance(stack, network), functions=[function(stack)], network=network
    )


@stack_with
def aurora(stack: Stack) -> None:
    network = PrivateNetwork(stack, "Network")
    database = cluster(stack, network, engine=AURORA, cluster_identifier="Orders")
    alias = function(stack).add_alias("live")
    RdsInvokesLambda(stack, "Invokes", database=database, functions=[alias], network=network)


@stack_with
def aurora_mysql(stack: Stack) -> None:
    database = cluster(
        stack, PrivateNetwork(stack, "Network"), engine=MYSQL, parameters={"require_secure_transport": "ON"}
    )
    RdsInvokesLambda(stack, "Invokes", database=database, functions=[function(stack)])


@stack_with
def with_another_role(stack: Stack) -> None:
    other = iam.Role(stack, "Import", assumed_by=iam.ServicePrincipal("rds.amazonaws.com"))
    database = instance(stack, PrivateNetwork(stack, "Network"), s3_import_role=other)
    RdsInvokesLambda(stack, "Invokes", database=database, functions=[function(stack)])


def role_of(resources: Resources) -> dict[str, Any]:
    """The role that is associated with the database."""
    (name,) = [name for name in resources.all("AWS::IAM::Role") if name.startswith("Invokes")]
    return {"Fn::GetAtt": [name, "Arn"]}


def source_of(resources: Resources) -> str:
    """What `aws:SourceArn` of the trust policy ends with."""
    (role,) = [role for name, role in resources.all("AWS::IAM::Role").items() if name.startswith("Invokes")]
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "rds.amazonaws.com"}
    assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    source: str = statement["Condition"]["ArnLike"]["aws:SourceArn"]["Fn::Join"][1][-1]
    return source


def test_an_instance_gets_a_role_for_lambda_and_finds_the_endpoint(private_instance: Resources) -> None:
    database = private_instance.only("AWS::RDS::DBInstance")
    assert database["AssociatedRoles"] == [{"FeatureName": "Lambda", "RoleArn": role_of(private_instance)}]
    assert source_of(private_instance) == ":db:*"
    parameters = private_instance.only("AWS::RDS::DBParameterGroup")["Parameters"]
    assert parameters == {"rds.force_ssl": "1", "rds.custom_dns_resolution": "1"}
    endpoint = private_instance.only("AWS::EC2::VPCEndpoint")
    assert str(endpoint["ServiceName"]).endswith(".lambda']]}")
    (rule,) = private_instance.all("AWS::EC2::SecurityGroupIngress").values()
    assert (rule["FromPort"], rule["ToPort"]) == (443, 443)
    assert "DbSecurityGroup" in str(rule["SourceSecurityGroupId"])


def test_the_role_may_invoke_the_function_and_its_versions_only(private_instance: Resources) -> None:
    (statement,) = private_instance.statements("Invokes")
    arn = statement["Resource"][0]
    assert statement["Action"] == "lambda:InvokeFunction"
    assert statement["Resource"] == [arn, {"Fn::Join": ["", [arn, ":*"]]}]


def test_an_alias_is_all_that_the_role_of_a_cluster_may_invoke(aurora: Resources) -> None:
    (statement,) = aurora.statements("Invokes")
    assert list(statement["Resource"]) == ["Ref"]
    assert aurora.only("AWS::RDS::DBCluster")["AssociatedRoles"] == [
        {"FeatureName": "Lambda", "RoleArn": role_of(aurora)}
    ]
    assert source_of(aurora) == ":cluster:orders"
    assert not aurora.all("AWS::RDS::DBClusterParameterGroup")  # Aurora finds the endpoint without one


def test_aurora_mysql_has_no_feature_but_a_parameter(aurora_mysql: Resources) -> None:
    role = role_of(aurora_mysql)
    assert aurora_mysql.only("AWS::RDS::DBCluster")["AssociatedRoles"] == [{"RoleArn": role}]
    assert aurora_mysql.only("AWS::RDS::DBClusterParameterGroup")["Parameters"] == {
        "require_secure_transport": "ON",
        "aws_default_lambda_role": role,
    }


def test_the_roles_for_other_features_stay(with_another_role: Resources) -> None:
    roles = with_another_role.only("AWS::RDS::DBInstance")["AssociatedRoles"]
    assert [one["FeatureName"] for one in roles] == ["s3Import", "Lambda"]


def test_an_imported_database_is_associated_by_a_command() -> None:
    app = App()
    stack = Stack(app, "Stack", env=Environment(account="123456789012", region="eu-west-1"))
    theirs = lambda_.Function.from_function_attributes(
        stack, "Theirs", function_arn="arn:aws:lambda:eu-west-1:111122223333:function:theirs"
    )
    RdsInvokesLambda(stack, "Invokes", database=imported(stack, engine=POSTGRES), functions=[theirs])
    resources = Resources(app.synth().get_stack_by_name("Stack").template)
    assert source_of_known(resources) == "arn:aws:rds:eu-west-1:123456789012:db:orders"
    said = " ".join(str(one.entry.data) for one in app.synth().get_stack_by_name("Stack").messages)
    assert "aws rds add-role-to-db-instance --db-instance-identifier NAME --feature-name Lambda" in said
    assert "Stack/Theirs is of the account 111122223333" in said


def test_what_the_network_does_not_open_is_a_warning() -> None:
    stack = Stack(App(), "Stack", env=Environment(account="123456789012", region="eu-west-1"))
    abroad = lambda_.Function.from_function_arn(
        stack, "Abroad", "arn:aws:lambda:us-east-1:111122223333:function:abroad"
    )
    database = imported(stack, engine=POSTGRES, security_groups=[])
    network = PrivateNetwork(stack, "Network", max_azs=2)
    RdsInvokesLambda(stack, "Invokes", database=database, functions=[abroad], network=network)
    said = str(Annotations.from_stack(stack).find_warning("*", Match.any_value()))
    for part in (
        "leads to Lambda in eu-west-1 only; the database needs NAT",
        "makes allows functions of this account only",
        "rds.custom_dns_resolution=1",
        "allow port 443 from its security group",
    ):
        assert part in said


def source_of_known(resources: Resources) -> str:
    (role,) = resources.all("AWS::IAM::Role").values()
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    joined = statement["Condition"]["ArnLike"]["aws:SourceArn"]
    return "".join("aws" if isinstance(part, dict) else part for part in joined["Fn::Join"][1])


def _other_stack(stack: Stack) -> RdsInvokesLambda:
    other = Stack(stack.node.root, "Other")  # type: ignore[arg-type]
    database = instance(other, PrivateNetwork(other, "Network"))
    return RdsInvokesLambda(stack, "Invokes", database=database, functions=[function(stack)])


def _twice(stack: Stack) -> RdsInvokesLambda:
    database, one = instance(stack, PrivateNetwork(stack, "Network")), function(stack)
    RdsInvokesLambda(stack, "First", database=database, functions=[one])
    return RdsInvokesLambda(stack, "Second", database=database, functions=[one])


def _no_parameters(stack: Stack, **more: Any) -> RdsInvokesLambda:
    network = PrivateNetwork(stack, "Network")
    return RdsInvokesLambda(
        stack,
        "Invokes",
        database=instance(stack, network, parameters=None, parameter_group=more.get("used")),
        functions=[function(stack)],
        network=network,
        parameter_group=more.get("given"),
    )


def _group(stack: Stack, id: str = "Parameters", **parameters: str) -> rds.ParameterGroup:
    return rds.ParameterGroup(stack, id, engine=POSTGRES, parameters=parameters)


def _another_group(stack: Stack) -> RdsInvokesLambda:
    return _no_parameters(stack, used=_group(stack), given=_group(stack, "Other"))


def _no_dns(stack: Stack) -> RdsInvokesLambda:
    group = _group(stack, **{"rds.custom_dns_resolution": "0"})
    return _no_parameters(stack, used=group, given=group)


def _mysql(stack: Stack, times: int = 2, **parameters: str) -> RdsInvokesLambda:
    database = cluster(
        stack,
        PrivateNetwork(stack, "Network"),
        engine=MYSQL,
        parameters={"require_secure_transport": "ON", **parameters},
    )
    one = function(stack)
    return [RdsInvokesLambda(stack, f"I{n}", database=database, functions=[one]) for n in range(times)][-1]


def _mysql_with_a_shared_group(stack: Stack) -> RdsInvokesLambda:
    group = rds.ParameterGroup(stack, "Parameters", engine=MYSQL)
    network, one = PrivateNetwork(stack, "Network"), function(stack)
    for name in ("A", "B"):
        database = rds.DatabaseCluster(
            stack,
            name,
            engine=MYSQL,
            vpc=network.vpc,
            vpc_subnets=network.subnets,
            writer=rds.ClusterInstance.serverless_v2("Writer"),
            parameter_group=group,
        )
        made = RdsInvokesLambda(stack, f"I{name}", database=database, functions=[one], parameter_group=group)
    return made


def _version(full: str, major: str) -> Callable[[Stack], RdsInvokesLambda]:
    return _invokes(
        engine=rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.of(full, major))
    )


def _old_aurora(stack: Stack) -> RdsInvokesLambda:
    version = rds.AuroraPostgresEngineVersion.of("10.14", "10")
    engine = rds.DatabaseClusterEngine.aurora_postgres(version=version)
    database = cluster(stack, PrivateNetwork(stack, "Network"), engine=engine)
    return RdsInvokesLambda(stack, "Invokes", database=database, functions=[function(stack)])


def _elsewhere(stack: Stack) -> RdsInvokesLambda:
    database = instance(stack, PrivateNetwork(stack, "Network"))
    other = PrivateNetwork(stack, "Elsewhere")
    return RdsInvokesLambda(stack, "Invokes", database=database, functions=[function(stack)], network=other)


def _invokes(**more: Any) -> Callable[[Stack], RdsInvokesLambda]:
    def make(stack: Stack) -> RdsInvokesLambda:
        return RdsInvokesLambda(
            stack,
            "Invokes",
            database=imported(stack, **more),
            functions=[function(stack)],
        )

    return make


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda stack: RdsInvokesLambda(
                stack, "I", database=imported(stack, engine=POSTGRES), functions=[]
            ),
            "give at least one function",
        ),
        (_invokes(), "has no engine; give it where you import it"),
        (_invokes(engine=rds.DatabaseInstanceEngine.MYSQL), "is mysql, which cannot invoke functions"),
        (_other_stack, "is in the stack Other, .*; make Invokes in that stack"),
        (_twice, "has a role for the feature Lambda, and RDS allows one"),
        (_no_parameters, "needs the parameter rds.custom_dns_resolution, and has no parameter group"),
        (_another_group, "parameter_group=Stack/Other is not that of Stack/Db"),
        (_no_dns, "has rds.custom_dns_resolution=0; Stack/Db needs 1"),
        (_mysql, "has aws_default_lambda_role=.* already"),
        (
            lambda stack: _mysql(stack, 1, aws_default_lambda_role="arn"),
            "aws_default_lambda_role=arn already",
        ),
        (_mysql_with_a_shared_group, "give .*each cluster its own group"),
        (_version("11.22", "11"), r"has postgres 11\.22, which cannot invoke"),
        (_version("13.1", "13"), r"has postgres 13\.1, which .* from 12\.6, 13\.2, 14\.1 on"),
        (_old_aurora, r"has aurora-postgresql 10\.14"),
        (_elsewhere, "network=Stack/Elsewhere is in another VPC than Stack/Db"),
    ],
)
def test_what_rds_would_refuse_is_refused(make: Callable[[Stack], RdsInvokesLambda], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(Stack(App(), "Stack"))


def test_a_parameter_group_of_your_own_gets_the_parameter() -> None:
    stack = Stack(App(), "Stack")
    group = _group(stack)
    _no_parameters(stack, used=group, given=group)
    assert group.bind_to_instance().parameter_group_name
    made = group.node.default_child or group.node.find_child("InstanceGroup")
    assert stack.resolve(made.parameters) == {"rds.custom_dns_resolution": "1"}  # type: ignore[attr-defined]
