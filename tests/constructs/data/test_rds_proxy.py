"""RdsProxyFunction: function → proxy → database with IAM and TLS, and its options."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Duration, RemovalPolicy, Stack, Stage, Token
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager

from cdk_lambda_patterns import FunctionOptions
from cdk_lambda_patterns.core.network import PrivateNetwork
from cdk_lambda_patterns.data.rds_proxy import (
    DatabaseOptions,
    ExistingCluster,
    ExistingInstance,
    ExistingProxy,
    PoolOptions,
    RdsProxyFunction,
    reserved_words,
)
from localaws.services.rds import reserved_words as emulated
from tasks.synthesis import app_context
from tests.templates import Resources, read_templates, stack_with, walk

CODE = lambda_.Code.from_inline("def handler(event, context): return event")
SMALL = ec2.InstanceType("t4g.micro")


def group_name(reference: dict[str, Any]) -> str:
    """The start of a group's logical id."""
    if "Fn::GetAtt" not in reference:
        return "group from another stack"
    name: str = reference["Fn::GetAtt"][0].rpartition("SecurityGroup")[0]
    return name


def connections(resources: Resources) -> set[tuple[str, str, Any]]:
    """The allowed connections: source, target and port. Groups by the start of their logical id."""
    return {
        (
            group_name(rule["SourceSecurityGroupId"]),
            group_name(rule["GroupId"]),
            rule["FromPort"] if isinstance(rule["FromPort"], int) else str(rule["FromPort"]),
        )
        for rule in resources.all("AWS::EC2::SecurityGroupIngress").values()
    }


@stack_with
def owned(stack: Stack) -> None:
    RdsProxyFunction(stack, "Orders", code=CODE)


def test_the_default_is_an_encrypted_aurora_cluster_with_backups_and_deletion_protection(
    owned: Resources,
) -> None:
    cluster = owned.only("AWS::RDS::DBCluster")
    assert cluster["Engine"] == "aurora-postgresql"
    assert cluster["StorageEncrypted"] is True
    assert cluster["DeletionProtection"] is True
    assert cluster["BackupRetentionPeriod"] == 7
    assert cluster["ServerlessV2ScalingConfiguration"] == {"MinCapacity": 0.5, "MaxCapacity": 4}
    (name,) = owned.all("AWS::RDS::DBCluster")
    resource = owned.template["Resources"][name]
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Snapshot", "Snapshot")
    for instance in owned.all("AWS::RDS::DBInstance").values():
        assert instance["PubliclyAccessible"] is False


def test_rds_manages_the_password(owned: Resources) -> None:
    cluster = owned.only("AWS::RDS::DBCluster")
    assert cluster["ManageMasterUserPassword"] is True
    assert "MasterUserPassword" not in cluster
    assert not owned.all("AWS::SecretsManager::Secret")


def test_the_proxy_requires_iam_and_tls(owned: Resources) -> None:
    proxy = owned.only("AWS::RDS::DBProxy")
    assert proxy["RequireTLS"] is True
    (auth,) = proxy["Auth"]
    assert auth["IAMAuth"] == "REQUIRED"
    assert auth["SecretArn"]["Fn::GetAtt"][1] == "MasterUserSecret.SecretArn"


def test_the_database_requires_tls(owned: Resources, mysql: Resources) -> None:
    parameters = owned.only("AWS::RDS::DBClusterParameterGroup")["Parameters"]
    assert parameters == {"rds.force_ssl": "1"}
    parameters = mysql.only("AWS::RDS::DBParameterGroup")["Parameters"]
    assert parameters == {"require_secure_transport": "ON", "max_connections": "100"}


def test_the_function_may_connect_as_one_user_through_one_proxy(owned: Resources) -> None:
    (statement,) = (
        one for one in owned.statements("OrdersFunctionServiceRole") if one["Action"] == "rds-db:connect"
    )
    (proxy_id,) = owned.all("AWS::RDS::DBProxy")
    parts = statement["Resource"]["Fn::Join"][1]
    assert parts[-1] == "/app"
    assert parts[-2]["Fn::Select"][1]["Fn::Split"][1] == {"Fn::GetAtt": [proxy_id, "DBProxyArn"]}
    assert "*" not in str(statement["Resource"])
    assert not {one for one in owned.actions("OrdersFunctionServiceRole") if "secret" in one}


def test_the_proxy_logs_in_as_the_owner_with_the_secret_and_as_the_functions_user_with_iam(
    owned: Resources,
) -> None:
    (cluster_id,) = owned.all("AWS::RDS::DBCluster")
    allowed = {one["Action"]: one["Resource"] for one in owned.statements("OrdersProxyRole")}
    assert allowed.keys() == {"secretsmanager:GetSecretValue", "rds-db:connect"}
    secret = {"Fn::GetAtt": [cluster_id, "MasterUserSecret.SecretArn"]}
    assert allowed["secretsmanager:GetSecretValue"] == secret
    account, database, user = allowed["rds-db:connect"]["Fn::Join"][1][-3:]
    assert (account, user) == (":dbuser:", "/app")
    assert database == {"Fn::GetAtt": [cluster_id, "DBClusterResourceId"]}
    assert owned.only("AWS::RDS::DBCluster")["EnableIAMDatabaseAuthentication"] is True
    proxy = owned.only("AWS::RDS::DBProxy")
    assert proxy["DefaultAuthScheme"] == "IAM_AUTH"
    assert [one["SecretArn"] for one in proxy["Auth"]] == [secret]
    (role_id,) = (name for name in owned.all("AWS::IAM::Role") if name.startswith("OrdersProxyRole"))
    assert owned.only("AWS::RDS::DBProxy")["RoleArn"] == {"Fn::GetAtt": [role_id, "Arn"]}


def test_only_the_function_reaches_the_proxy_and_only_the_proxy_the_database(owned: Resources) -> None:
    (cluster_id,) = owned.all("AWS::RDS::DBCluster")
    assert connections(owned) == {
        ("OrdersFunction", "OrdersProxy", 5432),
        ("OrdersMigration", "OrdersProxy", 5432),
        ("OrdersProxy", "OrdersDatabase", str({"Fn::GetAtt": [cluster_id, "Endpoint.Port"]})),
    }
    assert len(owned.all("AWS::EC2::SecurityGroupEgress")) == 3
    for group in owned.all("AWS::EC2::SecurityGroup").values():
        assert "SecurityGroupIngress" not in group
        assert "0.0.0.0/0" not in str(group)


def test_only_the_migration_connects_as_the_owner_and_the_function_is_deployed_after_it(
    owned: Resources,
) -> None:
    migration = owned.only("AWS::Lambda::Function", Handler="migration.handler")
    variables = migration["Environment"]["Variables"]
    assert (variables["DB_USER"], variables["FUNCTION_USER"]) == ("app_owner", "app")
    users = {
        role: [
            one["Resource"]["Fn::Join"][1][-1]
            for one in owned.statements(role)
            if one["Action"] == "rds-db:connect"
        ]
        for role in ("OrdersMigrationServiceRole", "OrdersFunctionServiceRole")
    }
    assert users == {"OrdersMigrationServiceRole": ["/app_owner"], "OrdersFunctionServiceRole": ["/app"]}
    (trigger,) = owned.all("Custom::Trigger")
    needed = owned.template["Resources"][trigger]["DependsOn"]
    for ready in ("OrdersProxyProxyTargetGroup", "OrdersProxyRoleDefaultPolicy", "OrdersMigration"):
        assert any(one.startswith(ready) for one in needed)
    (function,) = (name for name in owned.all("AWS::Lambda::Function") if name.startswith("OrdersFunction"))
    assert trigger in owned.template["Resources"][function]["DependsOn"]


def test_the_environment_has_host_and_user_and_no_password(owned: Resources) -> None:
    variables = owned.function()["Environment"]["Variables"]
    (proxy_id,) = owned.all("AWS::RDS::DBProxy")
    assert variables == {
        "DB_ENGINE": "postgres",
        "DB_HOST": {"Fn::GetAtt": [proxy_id, "Endpoint"]},
        "DB_PORT": "5432",
        "DB_NAME": "app",
        "DB_USER": "app",
    }


def test_timeouts_are_set_in_the_initialization_query_of_the_pool(owned: Resources, mysql: Resources) -> None:
    def query(resources: Resources) -> str:
        group = resources.only("AWS::RDS::DBProxyTargetGroup")
        text: str = group["ConnectionPoolConfigurationInfo"]["InitQuery"]
        return text

    assert query(owned) == "SET statement_timeout = 10000; SET lock_timeout = 5000"
    assert query(mysql) == "SET max_execution_time = 3000, innodb_lock_wait_timeout = 1"


def test_no_role_has_a_managed_policy_and_nothing_has_a_literal_partition(owned: Resources) -> None:
    assert not [value for value in walk(owned.template) if "ManagedPolicyArns" in str(value)]
    assert not [text for text in walk(owned.template["Resources"]) if str(text).startswith("arn:aws:")]
    assert "Outputs" not in owned.template


@stack_with
def mysql(stack: Stack) -> None:
    RdsProxyFunction(
        stack,
        "Orders",
        code=CODE,
        handler="worker.handler.handler",
        database=DatabaseOptions(
            engine="mysql",
            instance_type=SMALL,
            multi_az=True,
            database_name="orders",
            user="writer",
            backup_retention=Duration.days(35),
            parameters={"max_connections": "100"},
        ),
        pool=PoolOptions(
            max_connections_percent=50,
            max_idle_connections_percent=10,
            borrow_timeout=Duration.seconds(5),
            idle_client_timeout=Duration.minutes(1),
            statement_timeout=Duration.seconds(3),
            lock_timeout=Duration.millis(500),
            session_pinning_filters=[rds.SessionPinningFilter.EXCLUDE_VARIABLE_SETS],
        ),
        services=[ec2.InterfaceVpcEndpointAwsService.SQS],
        function_options=FunctionOptions(timeout=Duration.seconds(10)),
        removal_policy=RemovalPolicy.DESTROY,
    )


def test_mysql_on_an_instance_with_a_standby(mysql: Resources) -> None:
    instance = mysql.only("AWS::RDS::DBInstance")
    assert (instance["Engine"], instance["MultiAZ"], instance["DBName"]) == ("mysql", True, "orders")
    assert instance["MasterUsername"] == "writer"
    assert instance["BackupRetentionPeriod"] == 35
    assert instance["StorageEncrypted"] is True
    assert mysql.only("AWS::RDS::DBProxy")["EngineFamily"] == "MYSQL"
    assert ("OrdersFunction", "OrdersProxy", 3306) in connections(mysql)
    assert mysql.function()["Environment"]["Variables"]["DB_ENGINE"] == "mysql"
    assert mysql.function()["Handler"] == "worker.handler.handler"


def test_the_options_of_the_pool_are_those_of_the_proxy(mysql: Resources) -> None:
    pool = mysql.only("AWS::RDS::DBProxyTargetGroup")["ConnectionPoolConfigurationInfo"]
    assert (pool["MaxConnectionsPercent"], pool["MaxIdleConnectionsPercent"]) == (50, 10)
    assert pool["ConnectionBorrowTimeout"] == 5
    assert pool["SessionPinningFilters"] == ["EXCLUDE_VARIABLE_SETS"]
    assert mysql.only("AWS::RDS::DBProxy")["IdleClientTimeout"] == 60


def test_removal_policy_destroy_also_turns_deletion_protection_off(mysql: Resources) -> None:
    (name,) = mysql.all("AWS::RDS::DBInstance")
    assert mysql.template["Resources"][name]["DeletionPolicy"] == "Delete"
    assert mysql.only("AWS::RDS::DBInstance")["DeletionProtection"] is False


def test_the_services_of_the_handler_get_endpoints(mysql: Resources) -> None:
    assert len(mysql.all("AWS::EC2::VPCEndpoint")) == 1


def existing_network(stack: Stack, zones: tuple[str, ...] = ("eu-west-1a", "eu-west-1b")) -> PrivateNetwork:
    vpc = ec2.Vpc.from_vpc_attributes(
        stack,
        "Vpc",
        vpc_id="vpc-1",
        availability_zones=list(zones),
        isolated_subnet_ids=[f"subnet-{number}" for number in range(len(zones))],
        isolated_subnet_route_table_ids=[f"rtb-{number}" for number in range(len(zones))],
    )
    return PrivateNetwork(stack, "Network", vpc=vpc)


AURORA = rds.DatabaseClusterEngine.aurora_postgres(version=rds.AuroraPostgresEngineVersion.VER_17_9)


def existing_cluster(
    stack: Stack,
    engine: rds.IClusterEngine | None = AURORA,
    groups: tuple[str, ...] = ("sg-0123456789abcdef0",),
) -> ExistingCluster:
    cluster = rds.DatabaseCluster.from_database_cluster_attributes(
        stack,
        "Cluster",
        cluster_identifier="orders",
        port=5432,
        engine=engine,
        security_groups=[ec2.SecurityGroup.from_security_group_id(stack, "Group", one) for one in groups],
    )
    secret = secretsmanager.Secret.from_secret_complete_arn(
        stack, "Secret", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:orders-a1b2c3"
    )
    return ExistingCluster(cluster=cluster, secret=secret, user="writer")


@stack_with
def with_existing_cluster(stack: Stack) -> None:
    RdsProxyFunction(
        stack, "Orders", code=CODE, database=existing_cluster(stack), network=existing_network(stack)
    )


def test_an_existing_cluster_gets_a_proxy_and_allows_its_connections(
    with_existing_cluster: Resources,
) -> None:
    assert not with_existing_cluster.all("AWS::RDS::DBCluster")
    assert not with_existing_cluster.all("AWS::EC2::VPC")
    targets = with_existing_cluster.only("AWS::RDS::DBProxyTargetGroup")
    assert targets["DBClusterIdentifiers"] == ["orders"]
    rules = with_existing_cluster.all("AWS::EC2::SecurityGroupIngress").values()
    assert "sg-0123456789abcdef0" in {str(rule["GroupId"]) for rule in rules}
    assert with_existing_cluster.function()["Environment"]["Variables"]["DB_USER"] == "writer"


@stack_with
def with_existing_instance(stack: Stack) -> None:
    instance = rds.DatabaseInstance.from_database_instance_attributes(
        stack,
        "Instance",
        instance_endpoint_address="orders.abc.eu-west-1.rds.amazonaws.com",
        instance_identifier="orders",
        port=5433,
        engine=rds.DatabaseInstanceEngine.mysql(version=rds.MysqlEngineVersion.VER_8_4_10),
        security_groups=[
            ec2.SecurityGroup.from_security_group_id(stack, "InstanceGroup", "sg-0123456789abcdef0")
        ],
    )
    database = ExistingInstance(
        instance=instance, secret=existing_cluster(stack).secret, user="writer", engine="mysql"
    )
    RdsProxyFunction(stack, "Orders", code=CODE, database=database, network=existing_network(stack))


def test_an_existing_instance_gets_a_proxy_that_connects_to_its_port(
    with_existing_instance: Resources,
) -> None:
    assert not with_existing_instance.all("AWS::RDS::DBInstance")
    targets = with_existing_instance.only("AWS::RDS::DBProxyTargetGroup")
    assert targets["DBInstanceIdentifiers"] == ["orders"]
    assert with_existing_instance.only("AWS::RDS::DBProxy")["EngineFamily"] == "MYSQL"
    ports = {
        rule["FromPort"]
        for rule in with_existing_instance.all("AWS::EC2::SecurityGroupIngress").values()
        if rule["GroupId"] == "sg-0123456789abcdef0"
    }
    assert ports == {5433}


@stack_with
def with_secret_under_a_key(stack: Stack) -> None:
    key = kms.Key.from_key_arn(stack, "Key", "arn:aws:kms:eu-west-1:123456789012:key/orders")
    secret = secretsmanager.Secret.from_secret_attributes(
        stack,
        "WriterSecret",
        secret_complete_arn="arn:aws:secretsmanager:eu-west-1:123456789012:secret:orders-a1b2c3",
        encryption_key=key,
    )
    database = replace(existing_cluster(stack), secret=secret)
    RdsProxyFunction(stack, "Orders", code=CODE, database=database, network=existing_network(stack))


def test_the_proxy_may_decrypt_with_the_key_of_the_secret(with_secret_under_a_key: Resources) -> None:
    allowed = {
        one["Action"]: one["Resource"] for one in with_secret_under_a_key.statements("OrdersProxyRole")
    }
    assert allowed == {
        "secretsmanager:GetSecretValue": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:orders-a1b2c3",
        "kms:Decrypt": "arn:aws:kms:eu-west-1:123456789012:key/orders",
    }


@stack_with
def with_existing_proxy(stack: Stack) -> None:
    group = ec2.SecurityGroup.from_security_group_id(stack, "ProxyGroup", "sg-0123456789abcdef0")
    proxy = rds.DatabaseProxy.from_database_proxy_attributes(
        stack,
        "Existing",
        db_proxy_name="orders",
        db_proxy_arn="arn:aws:rds:eu-west-1:123456789012:db-proxy:prx-0123456789",
        endpoint="orders.proxy-abc.eu-west-1.rds.amazonaws.com",
        security_groups=[group],
    )
    database = ExistingProxy(proxy=proxy, proxy_security_group=group, user="writer", database_name="shop")
    RdsProxyFunction(stack, "Orders", code=CODE, database=database, network=existing_network(stack))


def test_an_existing_proxy_is_used_unchanged(with_existing_proxy: Resources) -> None:
    for kind in ("DBProxy", "DBProxyTargetGroup", "DBCluster", "DBInstance"):
        assert not with_existing_proxy.all(f"AWS::RDS::{kind}")
    (statement,) = (
        one
        for one in with_existing_proxy.statements("OrdersFunctionServiceRole")
        if one["Action"] == "rds-db:connect"
    )
    assert statement["Resource"]["Fn::Join"][1][-1] == ":dbuser:prx-0123456789/writer"
    rule = with_existing_proxy.only("AWS::EC2::SecurityGroupIngress")
    assert (rule["GroupId"], rule["FromPort"]) == ("sg-0123456789abcdef0", 5432)
    variables = with_existing_proxy.function()["Environment"]["Variables"]
    assert variables["DB_HOST"] == "orders.proxy-abc.eu-west-1.rds.amazonaws.com"


@stack_with
def twice(stack: Stack) -> None:
    network = PrivateNetwork(stack, "Network")
    for name in ("Orders", "Invoices"):
        RdsProxyFunction(
            stack, name, code=CODE, network=network, database=DatabaseOptions(instance_type=SMALL)
        )


def test_a_stack_can_hold_two_in_one_network(twice: Resources) -> None:
    assert len(twice.all("AWS::EC2::VPC")) == 1
    names = {proxy["DBProxyName"] for proxy in twice.all("AWS::RDS::DBProxy").values()}
    assert len(names) == 2
    for name in names:  # what RDS allows as the name of a proxy
        assert re.fullmatch(r"[a-zA-Z](-?[a-zA-Z0-9])*", name)
        assert len(name) <= 60


def instance_of(stack: Stack, network: PrivateNetwork) -> ExistingInstance:
    instance = rds.DatabaseInstance(
        stack,
        "Database",
        engine=rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_17_9),
        vpc=network.vpc,
        vpc_subnets=network.subnets,
        credentials=rds.Credentials.from_generated_secret("writer"),
    )
    assert instance.secret
    return ExistingInstance(instance=instance, secret=instance.secret, user="writer")


def cluster_of(stack: Stack, network: PrivateNetwork) -> ExistingCluster:
    cluster = rds.DatabaseCluster(
        stack,
        "Database",
        engine=rds.DatabaseClusterEngine.aurora_postgres(version=rds.AuroraPostgresEngineVersion.VER_17_9),
        writer=rds.ClusterInstance.serverless_v2("Writer"),
        vpc=network.vpc,
        vpc_subnets=network.subnets,
        credentials=rds.Credentials.from_generated_secret("writer"),
    )
    assert cluster.secret
    return ExistingCluster(cluster=cluster, secret=cluster.secret, user="writer")


@pytest.mark.parametrize("make", [instance_of, cluster_of])
def test_the_database_may_be_from_another_stack_of_a_stage(
    tmp_path: Path, make: Callable[[Stack, PrivateNetwork], ExistingInstance | ExistingCluster]
) -> None:
    app = App(context=app_context(), outdir=str(tmp_path), builtin_cloud_formation_validation=False)
    stage = Stage(app, "Production")
    shared = Stack(stage, "Shared")
    network = PrivateNetwork(shared, "Network")
    database = make(shared, network)
    RdsProxyFunction(Stack(stage, "Orders"), "Orders", code=CODE, database=database, network=network)
    app.synth()
    (orders,) = (stack for name, stack in read_templates(tmp_path).items() if "Orders" in name)
    assert len(orders.all("AWS::RDS::DBProxy")) == 1
    assert not orders.all("Custom::Trigger")  # tables and user exist
    assert not orders.all("AWS::RDS::DBInstance")
    assert {(source, target) for source, target, _ in connections(orders)} == {
        ("OrdersFunction", "OrdersProxy"),
        ("OrdersProxy", "group from another stack"),
    }


@stack_with
def connectable(stack: Stack) -> None:
    orders = RdsProxyFunction(stack, "Orders", code=CODE)
    cache = orders.network.make_security_group(stack, "CacheSecurityGroup", "A cache")
    cache.connections.allow_from(orders, ec2.Port.tcp(6379))


def test_it_is_connectable_as_its_function(connectable: Resources) -> None:
    assert ("OrdersFunction", "Cache", 6379) in connections(connectable)


@stack_with
def of_a_minor_version(stack: Stack) -> None:
    network = PrivateNetwork(stack, "Network")
    for name, options in {
        "Pinned": DatabaseOptions(instance_type=SMALL, engine_version="17.9", deletion_protection=False),
        "Major": DatabaseOptions(instance_type=SMALL, engine="mysql"),
        "PinnedCluster": DatabaseOptions(engine="mysql", engine_version="8.0.mysql_aurora.3.12.0"),
        "MajorCluster": DatabaseOptions(engine="mysql"),
    }.items():
        RdsProxyFunction(stack, name, code=CODE, network=network, database=options)


def test_only_a_minor_version_is_not_upgraded_and_by_default_there_is_none(
    of_a_minor_version: Resources, owned: Resources
) -> None:
    instances = of_a_minor_version.all("AWS::RDS::DBInstance")
    found = {
        name[: name.index("Database")]: (one["EngineVersion"], one["AutoMinorVersionUpgrade"])
        for name, one in instances.items()
        if "EngineVersion" in one
    }
    assert (found["Pinned"], found["Major"]) == (("17.9", False), ("8.4", True))
    clusters = of_a_minor_version.all("AWS::RDS::DBCluster").values()
    assert {one["EngineVersion"] for one in clusters} == {"8.0.mysql_aurora.3.12.0", "8.0"}
    assert {one["AutoMinorVersionUpgrade"] for name, one in instances.items() if "Cluster" in name} == {
        True,
        False,
    }
    assert owned.only("AWS::RDS::DBCluster")["EngineVersion"] == "17"
    assert {one["AutoMinorVersionUpgrade"] for one in owned.all("AWS::RDS::DBInstance").values()} == {True}
    families = {one["Family"] for one in of_a_minor_version.all("AWS::RDS::DBParameterGroup").values()}
    assert families == {"postgres17", "mysql8.4"}


def test_deletion_protection_is_an_option(of_a_minor_version: Resources) -> None:
    protected = {
        name[: name.index("Database")]: one["DeletionProtection"]
        for kind in ("DBInstance", "DBCluster")
        for name, one in of_a_minor_version.all(f"AWS::RDS::{kind}").items()
        if "DeletionProtection" in one
    }
    assert protected == {"Pinned": False, "Major": True, "PinnedCluster": True, "MajorCluster": True}


@pytest.mark.parametrize("engine", ["postgres", "mysql"])
@pytest.mark.parametrize("argument", ["database_name", "user", "function_user"])
@pytest.mark.parametrize(
    "name",
    [
        *("rdsadmin", "RdsAdmin", "rdsproxyadmin", "select", "select ", "my-app", "1app", "_app", "my app"),
        *("", "b\u00fccher", "x" * 65, "a*"),
    ],
)
def test_names_that_rds_refuses_are_refused(engine: Any, argument: str, name: str) -> None:
    with pytest.raises(ValueError, match=f"^{argument}={name!r}".replace("*", "[*]")):
        DatabaseOptions(engine=engine, **{argument: name})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("engine", "argument", "refused"),
    [
        ("postgres", "user", ["admin", "user", "pg_owner", "public", "x" * 64]),
        ("postgres", "database_name", ["admin", "flag", "template1", "x" * 64]),
        ("postgres", "function_user", ["pg_app", "none", "x" * 64]),
        ("mysql", "user", ["mysql", "x" * 17]),
        ("mysql", "database_name", ["sys", "information_schema"]),
        ("mysql", "function_user", ["x" * 33]),
    ],
)
def test_names_are_refused_by_engine(engine: Any, argument: str, refused: list[str]) -> None:
    for name in refused:
        with pytest.raises(ValueError, match=f"^{argument}='{name}'"):
            DatabaseOptions(engine=engine, **{argument: name})  # type: ignore[arg-type]


def test_the_embedded_aws_reserves_the_same_words() -> None:
    assert (emulated.POSTGRES, emulated.MYSQL) == (reserved_words.POSTGRES, reserved_words.MYSQL)


def test_names_that_rds_accepts_are_accepted() -> None:
    DatabaseOptions(user="postgres", database_name="postgres", function_user="x" * 63)
    DatabaseOptions(user="x" * 63, database_name="App_1", function_user="writer2")
    DatabaseOptions(engine="mysql", user="admin", database_name="pg_data", function_user="x" * 32)
    DatabaseOptions(user=Token.as_string({"Ref": "User"}))
    DatabaseOptions(min_capacity=1.5, max_capacity=256)
    PoolOptions(borrow_timeout=Duration.seconds(1), idle_client_timeout=Duration.seconds(1))
    PoolOptions(statement_timeout=Duration.millis(1), lock_timeout=Duration.millis(1))


@pytest.mark.parametrize(
    ("engine", "parameters"),
    [
        ("postgres", {"rds.force_ssl": "0"}),
        ("postgres", {"RDS.Force_SSL": "0"}),
        ("mysql", {"require_secure_transport": "OFF"}),
        ("mysql", {"require_secure_transport": "0"}),
    ],
)
def test_parameters_cannot_turn_tls_off(engine: Any, parameters: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="would accept connections without TLS; leave it out"):
        DatabaseOptions(engine=engine, parameters=parameters)


def test_parameters_may_say_again_that_tls_is_required() -> None:
    DatabaseOptions(parameters={"rds.force_ssl": "1"})
    DatabaseOptions(engine="mysql", parameters={"require_secure_transport": "1"})


@pytest.mark.parametrize(
    ("engine", "version", "instance_type"),
    [
        ("mysql", "17.9", SMALL),
        ("mysql", "17.9", None),
        ("mysql", "5.6", SMALL),
        ("mysql", "8.1", SMALL),
        ("mysql", "5.7", None),
        ("mysql", "5.7.mysql_aurora.2.12.0", None),
        ("postgres", "99", None),
        ("postgres", "9.6", SMALL),
        ("postgres", "8.4", SMALL),
        ("postgres", "12", None),
    ],
)
def test_major_versions_that_rds_does_not_have_are_refused(
    engine: Any, version: str, instance_type: ec2.InstanceType | None
) -> None:
    with pytest.raises(ValueError, match="has no such major version"):
        DatabaseOptions(engine=engine, engine_version=version, instance_type=instance_type)


def test_major_versions_that_rds_has_and_will_have_are_accepted() -> None:
    for version in ("11", "13.20", "18", "20"):
        DatabaseOptions(engine_version=version, instance_type=SMALL)
    for version in ("5.7", "8.0.42", "8.4", "9.7"):
        DatabaseOptions(engine="mysql", engine_version=version, instance_type=SMALL)
    DatabaseOptions(engine="mysql", engine_version="8.4")


def refused(**given: Any) -> Callable[[Stack], object]:
    return lambda stack: RdsProxyFunction(stack, "Orders", code=CODE, **given)


REFUSED: dict[str, Callable[[Stack], object]] = {
    "engine='oracle': choose one of 'postgres', 'mysql'": lambda _: DatabaseOptions(
        engine="oracle"  # type: ignore[arg-type]
    ),
    "instance_type='medium': give class and size, such as 't4g.medium'": lambda _: DatabaseOptions(
        instance_type=ec2.InstanceType("medium")
    ),
    "engine_version='\u0661\u0667': give a version of RDS": lambda _: DatabaseOptions(
        engine_version="\u0661\u0667"
    ),
    "engine='aurora': choose one of 'postgres', 'mysql'": lambda stack: replace(
        existing_cluster(stack),
        engine="aurora",  # type: ignore[arg-type]
    ),
    "min_capacity=0: Aurora behind a proxy allows 0.5 to 256 ACU": lambda _: DatabaseOptions(min_capacity=0),
    "max_capacity=257: Aurora allows 1 to 256 ACU": lambda _: DatabaseOptions(max_capacity=257),
    "min_capacity=8, max_capacity=4: min_capacity must not exceed max_capacity": lambda _: DatabaseOptions(
        min_capacity=8
    ),
    "function_user='app': that is the master user; choose another name": lambda _: DatabaseOptions(
        user="app"
    ),
    "backup_retention=0: this construct allows 1 to 35 days": lambda _: DatabaseOptions(
        backup_retention=Duration.days(0)
    ),
    "min_capacity=0.7: Aurora allows steps of 0.5 ACU": lambda _: DatabaseOptions(min_capacity=0.7),
    "min_capacity=1 cannot be combined with instance_type": lambda _: DatabaseOptions(
        instance_type=SMALL, min_capacity=1
    ),
    "max_capacity=4 cannot be combined with instance_type": lambda _: DatabaseOptions(
        instance_type=SMALL, max_capacity=4
    ),
    "instance_type='db.t4g.micro': leave out 'db.'": lambda _: DatabaseOptions(
        instance_type=ec2.InstanceType("db.t4g.micro")
    ),
    "engine_version='latest': give a version of RDS": lambda _: DatabaseOptions(engine_version="latest"),
    "engine_version='8': give a version of RDS": lambda _: DatabaseOptions(
        engine="mysql", engine_version="8"
    ),
    "backup_retention=1.5: this construct allows 1 to 35 days, whole numbers only": lambda _: DatabaseOptions(
        backup_retention=Duration.hours(36)
    ),
    "backup_retention=35.5: this construct allows 1 to 35 days": lambda _: DatabaseOptions(
        backup_retention=Duration.hours(852)
    ),
    "max_connections_percent=101: RDS Proxy allows 1 to 100 %": lambda _: PoolOptions(
        max_connections_percent=101
    ),
    "max_idle_connections_percent=60: RDS Proxy allows 0 to 50 %": lambda _: PoolOptions(
        max_connections_percent=50, max_idle_connections_percent=60
    ),
    "max_connections_percent=50.5: ": lambda _: PoolOptions(
        max_connections_percent=50.5  # type: ignore[arg-type]
    ),
    "max_idle_connections_percent=0.5: ": lambda _: PoolOptions(
        max_idle_connections_percent=0.5  # type: ignore[arg-type]
    ),
    "borrow_timeout=0: this construct allows 1 to 300 seconds": lambda _: PoolOptions(
        borrow_timeout=Duration.seconds(0)
    ),
    "borrow_timeout=1.5: this construct allows 1 to 300 seconds, whole": lambda _: PoolOptions(
        borrow_timeout=Duration.millis(1500)
    ),
    "idle_client_timeout=0: RDS Proxy allows 1 to 28,800 seconds": lambda _: PoolOptions(
        idle_client_timeout=Duration.seconds(0)
    ),
    "statement_timeout=0: this construct allows 1 to 2,147,483,647 ms (0 would turn": lambda _: PoolOptions(
        statement_timeout=Duration.seconds(0)
    ),
    "lock_timeout=0: this construct allows": lambda _: PoolOptions(lock_timeout=Duration.seconds(0)),
    "statement_timeout=2,592,000,000: this construct allows": lambda _: PoolOptions(
        statement_timeout=Duration.days(30)
    ),
    "borrow_timeout=301: this construct allows 1 to 300 seconds": lambda _: PoolOptions(
        borrow_timeout=Duration.seconds(301)
    ),
    "idle_client_timeout=28,801: RDS Proxy": lambda _: PoolOptions(
        idle_client_timeout=Duration.seconds(28_801)
    ),
    "borrow_timeout=20, timeout=10: the function would time out before": refused(
        function_options=FunctionOptions(timeout=Duration.seconds(10))
    ),
    "session_pinning_filters: RDS Proxy supports them for MySQL only": refused(
        pool=PoolOptions(session_pinning_filters=[rds.SessionPinningFilter.EXCLUDE_VARIABLE_SETS])
    ),
    "user='*': give one name, without wildcards": lambda stack: replace(existing_cluster(stack), user="*"),
    "database_name='': give one name": lambda stack: replace(existing_cluster(stack), database_name=""),
    "engine='postgres': cluster=Default/Cluster is aurora-mysql; give engine='mysql'": lambda stack: (
        existing_cluster(
            stack,
            rds.DatabaseClusterEngine.aurora_mysql(version=rds.AuroraMysqlEngineVersion.VER_3_12_0),
        )
    ),
    "engine='postgres': instance=Default/I is sqlserver-se; only PostgreSQL and MySQL are": lambda stack: (
        existing_instance(
            stack, rds.DatabaseInstanceEngine.sql_server_se(version=rds.SqlServerEngineVersion.VER_15)
        )
    ),
    "engine='postgres': instance=Default/I is mysql; give engine='mysql'": lambda stack: existing_instance(
        stack, rds.DatabaseInstanceEngine.mysql(version=rds.MysqlEngineVersion.VER_8_4_10)
    ),
    "engine='mysql': proxy=Default/Database/Proxy is POSTGRESQL; give engine='postgres'": lambda stack: (
        ExistingProxy(proxy=made_proxy(stack), proxy_security_group=group_of(stack), user="w", engine="mysql")
    ),
    "cluster=Default/Cluster has no engine; give it where you import it": lambda stack: existing_cluster(
        stack, None
    ),
    "cluster=Default/Cluster has no security groups": lambda stack: existing_cluster(stack, groups=()),
    "secret=Default/ByName: RDS Proxy needs its complete ARN": lambda stack: replace(
        existing_cluster(stack),
        secret=secretsmanager.Secret.from_secret_name_v2(stack, "ByName", "orders"),
    ),
    "secret=Default/Partial: RDS Proxy needs its complete ARN": lambda stack: replace(
        existing_cluster(stack),
        secret=secretsmanager.Secret.from_secret_partial_arn(
            stack, "Partial", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:orders"
        ),
    ),
    "network=Default/Network: all its subnets are in the Availability Zone eu-west-1a": lambda stack: refused(
        database=existing_cluster(stack), network=existing_network(stack, ("eu-west-1a", "eu-west-1a"))
    )(stack),
    "network=Default/Network: all its subnets are in the Availability Zone eu": lambda stack: refused(
        network=existing_network(stack, ("eu-west-1a",))
    )(stack),
    "network=Default/Other is in another VPC than Default/Database/SecurityGroup": lambda stack: refused(
        database=instance_of(stack, PrivateNetwork(stack, "Network")), network=PrivateNetwork(stack, "Other")
    )(stack),
    "an existing database without network": lambda stack: RdsProxyFunction(
        stack, "Orders", code=CODE, database=existing_cluster(stack)
    ),
    "pool cannot be combined with an existing proxy": lambda stack: RdsProxyFunction(
        stack,
        "Orders",
        code=CODE,
        database=ExistingProxy(
            proxy=existing_proxy(stack),
            proxy_security_group=ec2.SecurityGroup.from_security_group_id(stack, "G", "sg-0123456789abcdef0"),
            user="writer",
        ),
        network=existing_network(stack),
        pool=PoolOptions(),
    ),
}


def existing_instance(stack: Stack, engine: rds.IInstanceEngine) -> ExistingInstance:
    group = ec2.SecurityGroup.from_security_group_id(stack, "InstanceGroup", "sg-0123456789abcdef0")
    instance = rds.DatabaseInstance.from_database_instance_attributes(
        stack,
        "I",
        instance_endpoint_address="orders.abc.eu-west-1.rds.amazonaws.com",
        instance_identifier="orders",
        port=5433,
        engine=engine,
        security_groups=[group],
    )
    return ExistingInstance(instance=instance, secret=existing_cluster(stack).secret, user="writer")


def made_proxy(stack: Stack) -> rds.IDatabaseProxy:
    network = PrivateNetwork(stack, "Network")
    existing = instance_of(stack, network)
    return existing.instance.add_proxy(
        "Proxy", secrets=[existing.secret], vpc=network.vpc, vpc_subnets=network.subnets
    )


def group_of(stack: Stack) -> ec2.ISecurityGroup:
    return ec2.SecurityGroup(stack, "Group", vpc=PrivateNetwork(stack, "NetworkOfGroup").vpc)


def existing_proxy(stack: Stack) -> rds.IDatabaseProxy:
    return rds.DatabaseProxy.from_database_proxy_attributes(
        stack, "P", db_proxy_name="orders", db_proxy_arn="arn", endpoint="orders", security_groups=[]
    )


@pytest.mark.parametrize("message", REFUSED)
def test_invalid_arguments_are_refused_with_a_remedy(message: str) -> None:
    # A fraction is of another type, or another value.
    with pytest.raises((ValueError, TypeError), match="^" + re.escape(message)):
        REFUSED[message](Stack())
