"""A proxy in a template accepts clients that IAM allows, with the credentials of its secret."""

from __future__ import annotations

import datetime
import json
import socket
import threading
import time
from typing import Any

import boto3
import psycopg
import pytest
from botocore.exceptions import ClientError
from psycopg import errors

from helpers.databases import MASTER, attribute, cluster, member, new_name, parameters
from helpers.deployed_proxies import (
    OUTPUTS,
    SUBNETS,
    Proxy,
    deploy_proxy,
    network,
    proxy_resources,
)
from helpers.lambda_functions import eventually
from helpers.signing import signing
from helpers.stacks import deploy, ref, role, session_of, trust
from localaws import LocalAws

pytestmark = pytest.mark.local


@pytest.fixture(scope="module")
def proxy(local_aws: LocalAws) -> Proxy:
    """A proxy that tests share."""
    return deploy_proxy(local_aws)


# --- Who gets in


def test_a_token_of_a_principal_that_may_connect_is_accepted(proxy: Proxy) -> None:
    with proxy.connect() as client:
        assert client.execute("select current_user, current_database()").fetchone() == ("master", "app")


def test_the_endpoint_is_an_address_on_the_documented_port(proxy: Proxy) -> None:
    assert proxy.outputs["Endpoint"].startswith("127.")
    described = proxy.aws.client("rds").describe_db_proxies(DBProxyName=proxy.name)["DBProxies"][0]
    assert described["Endpoint"] == proxy.outputs["Endpoint"]
    with socket.create_connection((proxy.outputs["Endpoint"], 5432), timeout=2):
        pass


def test_a_role_session_can_connect_until_its_permission_is_removed(
    local_aws: LocalAws, proxy: Proxy
) -> None:
    iam, name = local_aws.client("iam"), new_name("role")
    root = {"AWS": f"arn:aws:iam::{local_aws.account}:root"}
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": root}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    allow = {"Effect": "Allow", "Action": "rds-db:connect", "Resource": proxy.user}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy)
    given = local_aws.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
    session = boto3.Session(
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
        region_name=local_aws.region,
    )
    client = proxy.connect(proxy.token(session))
    iam.delete_role_policy(RoleName=name, PolicyName="own")
    assert "IAM authentication failed" in proxy.refusal(proxy.token(session))
    assert client.execute("select 1").fetchone() == (1,)  # Who is in stays in.


def test_a_principal_that_may_not_connect_is_refused(proxy: Proxy) -> None:
    message = proxy.refusal(proxy.token(proxy.session(allowed=False)))
    assert "The IAM authentication failed for the role master." in message


@pytest.mark.parametrize(
    "changed", [{"DBHostname": "127.0.0.1"}, {"Port": 5433}, {"DBUsername": "other"}, {"Region": "eu-west-1"}]
)
def test_a_token_for_something_else_is_refused(proxy: Proxy, changed: dict[str, Any]) -> None:
    assert "IAM authentication failed" in proxy.refusal(proxy.token(proxy.session(), **changed))


@pytest.mark.parametrize("minutes", [16, -10])
def test_a_token_of_another_time_is_refused(proxy: Proxy, minutes: int) -> None:
    session = proxy.session()
    with signing(minutes_ago=minutes):
        token = proxy.token(session)
    assert "IAM authentication failed" in proxy.refusal(token)


def test_a_token_is_valid_after_fourteen_minutes(proxy: Proxy) -> None:
    session = proxy.session()
    with signing(minutes_ago=14):
        token = proxy.token(session)
    proxy.connect(token).close()


def test_the_password_is_no_token_and_other_roles_have_no_credentials(proxy: Proxy) -> None:
    assert "IAM authentication failed" in proxy.refusal(MASTER["MasterUserPassword"])
    assert "no credentials for the role postgres" in proxy.refusal(user="postgres")


def test_without_tls_connections_are_refused(proxy: Proxy) -> None:
    assert "This RDS Proxy requires TLS connections." in proxy.refusal(sslmode="disable")


# --- Credentials


def test_a_proxy_that_may_not_read_its_secret_has_no_credentials(local_aws: LocalAws) -> None:
    proxy = deploy_proxy(local_aws)
    proxy.connect().close()
    assert proxy.health()["State"] == "AVAILABLE"
    local_aws.client("iam").delete_role_policy(RoleName=proxy.outputs["Role"], PolicyName="own")
    assert "no credentials for the role master" in proxy.refusal()
    assert proxy.health() == {
        "State": "UNAVAILABLE",
        "Reason": "AUTH_FAILURE",
        "Description": "Proxy does not have any registered credentials",
    }


def test_a_role_that_rds_may_not_assume_gives_no_credentials(local_aws: LocalAws) -> None:
    proxy = deploy_proxy(local_aws, reader="lambda.amazonaws.com")
    assert "no credentials" in proxy.refusal()
    document = json.dumps(trust("rds.amazonaws.com"))
    iam = local_aws.client("iam")
    iam.update_assume_role_policy(RoleName=proxy.outputs["Role"], PolicyDocument=document)
    proxy.connect().close()


# --- What it does


def test_the_pool_has_its_share_of_the_connections_and_waits_as_long_as_it_should(
    local_aws: LocalAws,
) -> None:
    pool = {"MaxConnectionsPercent": 10, "ConnectionBorrowTimeout": 1}
    proxy = deploy_proxy(local_aws, pool=pool)
    token = proxy.token(proxy.session())
    holders, waiting = [proxy.connect(token) for _ in range(2)], proxy.connect(token)
    for holder in holders:
        holder.execute("begin")
        holder.execute("select 1")
    began = time.monotonic()
    with pytest.raises(errors.ConnectionException, match="Timed-out waiting to acquire database connection"):
        waiting.execute("select 1")
    assert 0.9 < time.monotonic() - began < 60  # by default it is two minutes


def test_a_change_of_the_proxy_has_effect_at_once(local_aws: LocalAws) -> None:
    proxy = deploy_proxy(local_aws)
    proxy.stack.update(
        proxy_resources(
            name=proxy.name,
            RequireTLS=False,
            Auth=[{"AuthScheme": "SECRETS", "IAMAuth": "DISABLED", "SecretArn": ref("Secret")}],
            pool={"MaxConnectionsPercent": 5, "InitQuery": "set statement_timeout = '9s'"},
        ),
        OUTPUTS,
    )
    assert proxy.outputs["Name"] == proxy.name
    with proxy.connect(MASTER["MasterUserPassword"], sslmode="disable") as client:
        assert client.execute("show statement_timeout").fetchone() == ("9s",)


def test_pinning_is_seen_in_the_metric_and_in_the_log(proxy: Proxy) -> None:
    with proxy.connect() as client:
        client.execute("set statement_timeout = '5s'")
    cloudwatch, logs = proxy.aws.client("cloudwatch"), proxy.aws.client("logs")

    def pinned() -> bool:
        now = datetime.datetime.now(datetime.UTC)
        answer = cloudwatch.get_metric_statistics(
            Namespace="AWS/RDS",
            MetricName="DatabaseConnectionsCurrentlySessionPinned",
            Dimensions=[{"Name": "ProxyName", "Value": proxy.name}],
            StartTime=now - datetime.timedelta(minutes=5),
            EndTime=now + datetime.timedelta(minutes=1),
            Period=60,
            Statistics=["Maximum"],
        )
        return any(point["Maximum"] == 1 for point in answer["Datapoints"])

    eventually(pinned)
    events = logs.filter_log_events(logGroupName=f"/aws/rds/proxy/{proxy.name}")["events"]
    assert any("was pinned" in event["message"] and "SET" in event["message"] for event in events)


def test_clients_of_the_proxy_outlive_a_reboot_and_a_stop_of_the_database(proxy: Proxy) -> None:
    rds, name, client = proxy.aws.client("rds"), proxy.outputs["Database"], proxy.connect()
    client.execute("create table if not exists outlived (n int)")
    rds.reboot_db_instance(DBInstanceIdentifier=name)

    def is_available() -> bool:
        found = rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]
        return bool(found["DBInstanceStatus"] == "available")

    eventually(is_available)
    client.execute("insert into outlived values (1)")
    rds.stop_db_instance(DBInstanceIdentifier=name)
    assert proxy.health() == {"State": "UNAVAILABLE", "Reason": "UNREACHABLE"}
    threading.Timer(0.5, rds.start_db_instance, kwargs={"DBInstanceIdentifier": name}).start()
    assert client.execute("select count(*) from outlived").fetchone() == (1,)


def test_a_cluster_behind_a_proxy_fails_over(local_aws: LocalAws) -> None:
    resources = proxy_resources(name=new_name("proxy"))
    resources["Parameters"] = parameters("DBCluster", max_connections="20")
    resources["Cluster"] = cluster(DBSubnetGroupName=ref("Subnets"))
    resources["Member0"], resources["Member1"] = member(), member("Member0")
    del resources["Database"]
    targets = resources["Targets"]["Properties"]
    del targets["DBInstanceIdentifiers"]
    targets["DBClusterIdentifiers"] = [ref("Cluster")]
    stack = deploy(local_aws, resources, {**OUTPUTS, "Database": ref("Cluster")})
    proxy = Proxy(local_aws, stack, stack.outputs["Name"])
    idle, busy = proxy.connect(), proxy.connect()
    idle.execute("create table t as select 1 as n")
    busy.execute("begin; insert into t values (2)")
    local_aws.client("rds").failover_db_cluster(DBClusterIdentifier=stack.outputs["Database"])
    with pytest.raises(psycopg.OperationalError):
        busy.execute("select pg_sleep(30)")
    assert idle.execute("select array_agg(n) from t").fetchone() == ([1],)


# --- Resources


def test_a_further_endpoint_has_its_own_address_and_its_own_tokens(local_aws: LocalAws) -> None:
    name = new_name("proxy")
    properties = {"DBProxyEndpointName": f"{name}-b", "DBProxyName": ref("Proxy"), "VpcSubnetIds": SUBNETS}
    resources = proxy_resources(name=name)
    resources["Further"] = {"Type": "AWS::RDS::DBProxyEndpoint", "Properties": properties}
    stack = deploy(local_aws, resources, {**OUTPUTS, "Further": attribute("Further", "Endpoint")})
    proxy, further = Proxy(local_aws, stack, name), stack.outputs["Further"]
    assert further != proxy.outputs["Endpoint"]
    session = proxy.session()
    proxy.connect(proxy.token(session, DBHostname=further), host=further).close()
    assert "IAM authentication failed" in proxy.refusal(proxy.token(session), host=further)
    del resources["Further"]
    stack.update(resources, OUTPUTS)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((further, 5432), timeout=2)
    proxy.connect().close()


def test_a_proxy_is_deleted_with_its_stack(local_aws: LocalAws) -> None:
    proxy = deploy_proxy(local_aws)
    client = proxy.connect()
    proxy.stack.delete()
    with pytest.raises(psycopg.OperationalError):
        client.execute("select 1")
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((proxy.outputs["Endpoint"], 5432), timeout=2)
    with pytest.raises(ClientError, match="DBProxyNotFound"):
        local_aws.client("rds").describe_db_proxies(DBProxyName=proxy.name)


def test_a_target_that_rds_would_refuse_fails_the_deployment(local_aws: LocalAws) -> None:
    resources = proxy_resources(name=new_name("proxy"), EngineFamily="MYSQL")
    with pytest.raises(Exception, match="is not supported by a proxy with an EngineFamily of MYSQL"):
        deploy(local_aws, resources, OUTPUTS)


def test_a_proxy_logs_in_with_iam_as_users_that_were_granted_rds_iam(local_aws: LocalAws) -> None:
    resources = proxy_resources(name=new_name("proxy"), DefaultAuthScheme="IAM_AUTH")
    resources["Database"]["Properties"]["EnableIAMDatabaseAuthentication"] = True
    database = attribute("Database", "DbiResourceId")
    users = {"Fn::Join": ["", ["arn:aws:rds-db:*:*:dbuser:", database, "/app_*"]]}
    may_read = ("secretsmanager:GetSecretValue", ref("Secret"))
    resources["Role"] = role(may_read, ("rds-db:connect", users), service="rds.amazonaws.com")
    stack = deploy(local_aws, resources, OUTPUTS)
    proxy = Proxy(local_aws, stack, stack.outputs["Name"])
    session = session_of(local_aws, ("rds-db:connect", "*"))

    def connect_as(user: str) -> psycopg.Connection[tuple[Any, ...]]:
        return proxy.connect(proxy.token(session, DBUsername=user), user=user)

    with proxy.connect() as master:  # this user has a secret
        master.execute("create role app_one login; grant rds_iam to app_one")
        master.execute("create role app_two login; create role other login; grant rds_iam to other")
    for _ in range(2):
        with connect_as("app_one") as client:
            assert client.execute("select current_user").fetchone() == ("app_one",)
            with pytest.raises(errors.InsufficientPrivilege):
                client.execute("reset session authorization; create role app_three")
    for user, refusal in {
        "app_two": 'PAM authentication failed for user "app_two"',
        "app_missing": 'PAM authentication failed for user "app_missing"',
        "other": "no credentials for the role other",
    }.items():
        with pytest.raises(psycopg.OperationalError, match=refusal):
            connect_as(user)


def test_a_proxy_cannot_log_in_with_iam_unless_the_database_allows_it(local_aws: LocalAws) -> None:
    resources = proxy_resources(name=new_name("proxy"), DefaultAuthScheme="IAM_AUTH")
    resources["Role"] = role(("rds-db:connect", "*"), service="rds.amazonaws.com")
    stack = deploy(local_aws, resources, OUTPUTS)
    proxy = Proxy(local_aws, stack, stack.outputs["Name"])
    assert "no credentials for the role master" in proxy.refusal()


def test_the_emulator_still_does_not_know_the_types(stock_aws: LocalAws) -> None:
    with pytest.raises(
        Exception, match=r"Unrecognized resource types: \[AWS::RDS::DBProxy, AWS::RDS::DBProxyT"
    ):
        deploy(stock_aws, proxy_resources(name=new_name("proxy")), OUTPUTS)


def test_a_proxy_of_the_emulators_api_still_leads_nowhere(stock_aws: LocalAws) -> None:
    outputs = {"One": ref("Subnet0"), "Two": ref("Subnet1")}
    subnets = list(deploy(stock_aws, network(), outputs).outputs.values())
    made = stock_aws.client("rds").create_db_proxy(
        DBProxyName=new_name("proxy"),
        EngineFamily="POSTGRESQL",
        Auth=[
            {"AuthScheme": "SECRETS", "SecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:x"}
        ],
        RoleArn=f"arn:aws:iam::{stock_aws.account}:role/x",
        VpcSubnetIds=subnets,
    )
    assert made["DBProxy"]["Endpoint"].endswith(".rds.amazonaws.com")
