"""Instances and clusters for PostgreSQL are real databases, which the API controls."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError
from psycopg import errors

from helpers.databases import (
    INSTANCE_OUTPUTS,
    MASTER,
    Database,
    attribute,
    cluster,
    deploy_instance,
    instance,
    instance_resources,
    member,
    new_name,
    parameters,
)
from helpers.lambda_functions import eventually
from helpers.stacks import DeploymentFailedError, Stack, deploy, ref
from localaws import LocalAws
from localaws.engines.postgres import server
from localaws.engines.postgres.server import PostgresServer
from localaws.server import processes

pytestmark = pytest.mark.local


@pytest.fixture(scope="module")
def database(local_aws: LocalAws) -> Database:
    """An instance that tests share."""
    return deploy_instance(local_aws, MultiAZ=True)[1]


# --- Instances


def test_an_instance_is_a_postgresql_with_the_parameters_of_its_group(database: Database) -> None:
    assert database.value("show server_version").startswith("18")
    assert database.value("show max_connections") == "20"
    assert database.value("select current_database()") == "app"
    assert database.port == 5432


def test_the_master_user_is_no_superuser_and_may_let_roles_use_iam(database: Database) -> None:
    assert database.value("select rolsuper from pg_roles where rolname = current_user") is False
    with database.connect() as client:
        client.execute("create role reader login password 'x'")
        client.execute("grant rds_iam to reader")
        client.execute("create table t (n int); grant select on t to reader")
        with pytest.raises(errors.InsufficientPrivilege):
            client.execute("alter system set max_connections = 1000")
    with database.connect(user="reader", password="x") as reader, pytest.raises(errors.InsufficientPrivilege):
        reader.execute("insert into t values (1)")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"password": "another"}, "password authentication failed"),
        ({"user": "nobody"}, "password authentication failed"),
        ({"user": "rdsadmin"}, "rejects connection"),
        ({"sslmode": "disable"}, "no encryption"),
        ({"host": "localhost"}, "refused|does not match host name"),
        ({"sslrootcert": "system"}, "certificate verify failed"),
        ({"dbname": "nowhere"}, "does not exist"),
    ],
)
def test_a_client_without_permission_cannot_connect(
    database: Database, changed: dict[str, str], reason: str
) -> None:
    with pytest.raises(psycopg.OperationalError, match=reason):
        database.connect(**changed)


def test_one_connection_more_than_there_are_is_refused(database: Database) -> None:
    clients = [database.connect() for _ in range(17)]  # three are reserved
    with pytest.raises(psycopg.OperationalError, match="remaining connection slots are reserved"):
        database.connect()
    for client in clients:
        client.close()


def test_one_database_does_not_hinder_another(local_aws: LocalAws, database: Database) -> None:
    stack, other = deploy_instance(local_aws)
    assert other.address != database.address
    for each in (database, other):
        local_aws.client("rds").reboot_db_instance(DBInstanceIdentifier=each.id)
        each.wait()
        assert each.value("select 1") == 1
    stack.delete()
    assert database.value("select 1") == 1


def test_a_reboot_ends_connections_and_keeps_data(database: Database) -> None:
    client = database.connect()
    client.execute("create table kept as select 1 as n")
    database.aws.client("rds").reboot_db_instance(DBInstanceIdentifier=database.id)
    database.wait()
    with pytest.raises(psycopg.OperationalError):
        client.execute("select 1")
    assert database.value("select n from kept") == 1


def test_a_forced_failover_loses_only_uncommitted_data(database: Database) -> None:
    client = database.connect()
    client.execute("create table safe (n int); insert into safe values (1)")
    client.execute("begin; insert into safe values (2)")
    rds = database.aws.client("rds")
    rds.reboot_db_instance(DBInstanceIdentifier=database.id, ForceFailover=True)
    database.wait()
    with pytest.raises(psycopg.OperationalError):
        client.execute("commit")
    assert database.value("select array_agg(n) from safe") == [1]


def test_a_stopped_instance_cannot_be_reached_until_it_is_started(database: Database) -> None:
    rds = database.aws.client("rds")
    database.run("create table stopped as select 1 as n")
    rds.stop_db_instance(DBInstanceIdentifier=database.id)
    with pytest.raises(psycopg.OperationalError):
        database.connect()
    rds.start_db_instance(DBInstanceIdentifier=database.id)
    assert database.value("select n from stopped") == 1


def test_a_changed_parameter_takes_effect_with_a_reboot(local_aws: LocalAws) -> None:
    stack, database = deploy_instance(local_aws)
    group = stack.update(instance_resources(), {**INSTANCE_OUTPUTS, "Group": ref("Parameters")}).outputs[
        "Group"
    ]
    rds = local_aws.client("rds")
    changed = {"ParameterName": "max_connections", "ParameterValue": "30", "ApplyMethod": "pending-reboot"}
    rds.modify_db_parameter_group(DBParameterGroupName=group, Parameters=[changed])
    assert database.value("show max_connections") == "20"
    rds.reboot_db_instance(DBInstanceIdentifier=database.id)
    database.wait()
    assert database.value("show max_connections") == "30"


def test_tls_is_not_required_where_the_parameters_say_so(local_aws: LocalAws) -> None:
    resources = {"Parameters": parameters(**{"rds.force_ssl": "0"}), "Database": instance()}
    stack = deploy(local_aws, resources, INSTANCE_OUTPUTS)
    database = Database(local_aws, stack.outputs["Address"], int(stack.outputs["Port"]), stack.outputs["Id"])
    with database.connect(sslmode="disable") as client:
        assert client.execute("select 1").fetchone() == (1,)


def test_a_password_changes_with_the_template_and_by_the_api(local_aws: LocalAws) -> None:
    stack, database = deploy_instance(local_aws)
    stack.update(instance_resources(MasterUserPassword="a-secret-2"), INSTANCE_OUTPUTS)
    assert stack.outputs["Address"] == database.address
    database.connect(password="a-secret-2").close()
    rds = local_aws.client("rds")
    rds.modify_db_instance(DBInstanceIdentifier=database.id, MasterUserPassword="a-secret-3")
    database.connect(password="a-secret-3").close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        database.connect(password="a-secret-2")


def test_an_instance_is_deleted_with_its_stack_unless_it_is_protected(local_aws: LocalAws) -> None:
    stack, database = deploy_instance(local_aws, DeletionProtection=True)
    with pytest.raises(DeploymentFailedError, match="has deletion protection"):
        stack.delete()
    assert database.value("select 1") == 1
    local_aws.client("rds").modify_db_instance(DBInstanceIdentifier=database.id, DeletionProtection=False)
    stack.delete()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((database.address, 5432), timeout=2)


def test_an_instance_of_the_api_is_a_database_too(local_aws: LocalAws) -> None:
    rds, name = local_aws.client("rds"), new_name("db")
    settings = {"Engine": "postgres", "DBInstanceClass": "db.t4g.micro", "DBName": "app", **MASTER}
    rds.create_db_instance(DBInstanceIdentifier=name, AllocatedStorage=20, **settings)
    endpoint = rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]["Endpoint"]
    database = Database(local_aws, endpoint["Address"], endpoint["Port"], name)
    assert database.value("select 1") == 1
    rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((database.address, 5432), timeout=2)


def test_mysql_is_only_recorded(local_aws: LocalAws) -> None:
    stack, database = deploy_instance(local_aws, Engine="mysql", DBParameterGroupName="default.mysql8.0")
    assert database.address.endswith(".rds.amazonaws.com")
    stack.delete()


# --- Clusters


def cluster_stack(aws: LocalAws, *, members: int = 2) -> Stack:
    resources = {"Parameters": parameters("DBCluster", max_connections="20"), "Cluster": cluster()}
    for number in range(members):
        resources[f"Member{number}"] = member(f"Member{number - 1}" if number else "")
    outputs = {
        "Cluster": ref("Cluster"),
        "Writer": attribute("Cluster", "Endpoint.Address"),
        "Reader": attribute("Cluster", "ReadEndpoint.Address"),
        "Port": attribute("Cluster", "Endpoint.Port"),
    }
    if members:
        outputs["Member"] = attribute("Member0", "Endpoint.Address")
    return deploy(aws, resources, outputs)


@pytest.fixture(scope="module")
def aurora(local_aws: LocalAws) -> Stack:
    """A cluster of two instances that tests share."""
    return cluster_stack(local_aws)


def of(stack: Stack, endpoint: str = "Writer") -> Database:
    return Database(stack.aws, stack.outputs[endpoint], int(stack.outputs["Port"]), stack.outputs["Cluster"])


def writers(stack: Stack) -> list[str]:
    clusters = stack.aws.client("rds").describe_db_clusters(DBClusterIdentifier=stack.outputs["Cluster"])
    members = clusters["DBClusters"][0]["DBClusterMembers"]
    return [each["DBInstanceIdentifier"] for each in members if each["IsClusterWriter"]]


def test_a_cluster_is_one_database_at_each_of_its_endpoints(aurora: Stack) -> None:
    of(aurora).run("create table shared as select 7 as n")
    addresses = {aurora.outputs[name] for name in ("Writer", "Reader", "Member")}
    assert len(addresses) == 3
    for name in ("Writer", "Reader", "Member"):
        assert of(aurora, name).value("select n from shared") == 7
    assert of(aurora).value("show max_connections") == "20"
    assert len(writers(aurora)) == 1


def test_a_failover_makes_another_instance_the_writer_and_preserves_committed_data(aurora: Stack) -> None:
    rds, (before,) = aurora.aws.client("rds"), writers(aurora)
    client = of(aurora).connect()
    client.execute("create table failover as select 1 as n")
    rds.failover_db_cluster(DBClusterIdentifier=aurora.outputs["Cluster"])

    def is_available() -> bool:
        answer = rds.describe_db_clusters(DBClusterIdentifier=aurora.outputs["Cluster"])
        return bool(answer["DBClusters"][0]["Status"] == "available")

    eventually(is_available)
    assert len(writers(aurora)) == 1
    assert writers(aurora) != [before]
    with pytest.raises(psycopg.OperationalError):
        client.execute("select 1")
    assert of(aurora).value("select n from failover") == 1


def test_a_cluster_stops_and_starts(aurora: Stack) -> None:
    rds = aurora.aws.client("rds")
    rds.stop_db_cluster(DBClusterIdentifier=aurora.outputs["Cluster"])
    with pytest.raises(psycopg.OperationalError):
        of(aurora).connect()
    rds.start_db_cluster(DBClusterIdentifier=aurora.outputs["Cluster"])
    assert of(aurora).value("select 1") == 1


def test_a_cluster_without_an_instance_accepts_no_connections(local_aws: LocalAws) -> None:
    stack = cluster_stack(local_aws, members=0)
    with pytest.raises(psycopg.OperationalError):
        of(stack).connect()
    with pytest.raises(ClientError, match="no available reader"):
        local_aws.client("rds").failover_db_cluster(DBClusterIdentifier=stack.outputs["Cluster"])
    stack.delete()


# --- Nothing stays behind


def servers(aws: LocalAws) -> list[int]:
    """The processes of PostgreSQL servers."""
    assert aws._ready
    found = []
    for pid in processes.descendants(aws._ready.pid):
        shown = subprocess.run(
            ["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        if "postgres" in shown.stdout:
            found.append(pid)
    return found


def segments(pids: list[int]) -> list[str]:
    """The shared memory segments that one of the processes has created."""
    table = Path("/proc/sysvipc/shm")
    lines = table.read_text().splitlines()[1:] if table.exists() else []
    return [line for line in lines if int(line.split()[4]) in pids]


@pytest.fixture(scope="module")
def own_aws() -> Iterator[LocalAws]:
    """An embedded AWS that the tests may stop."""
    with LocalAws() as aws:
        yield aws


def test_a_reset_ends_databases_and_removes_them(own_aws: LocalAws) -> None:
    deploy_instance(own_aws)
    folder = own_aws.log_file.parent
    assert servers(own_aws)
    assert list(folder.glob("postgresql-*"))
    own_aws.reset()
    assert servers(own_aws) == []
    assert list(folder.glob("postgresql-*")) == []


def test_the_end_of_the_embedded_aws_is_that_of_its_databases(own_aws: LocalAws) -> None:
    _, database = deploy_instance(own_aws)
    client = database.connect()
    pids, folder = servers(own_aws), own_aws.log_file.parent
    assert len(pids) > 3
    assert len(segments(pids)) <= 1
    own_aws.stop()
    assert not any(processes.is_alive(pid) for pid in pids)
    assert not folder.exists()
    assert segments(pids) == []
    with pytest.raises(psycopg.OperationalError):
        client.execute("select 1")


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A private folder in a folder that other users may search, unlike that of pytest."""
    with tempfile.TemporaryDirectory(prefix="rds-") as made:
        monkeypatch.chdir(made)
        yield Path(made)


def test_a_server_that_cannot_start_reports_why(folder: Path) -> None:
    made = PostgresServer(folder)
    made.create()
    with pytest.raises(server.PostgresError, match="max_connections"):
        made.start({"max_connections": "-1"})
    assert not made.running
    made.destroy()
    # Only the empty cluster stays, for the next server.
    assert [path.name for path in folder.iterdir()] == ["initdb-rdsadmin"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root cannot run PostgreSQL as itself")
def test_binaries_that_the_servers_user_cannot_reach_are_copied(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden, private = folder / "hidden", folder / "private"
    hidden.mkdir(mode=0o700)
    private.mkdir(mode=0o700)
    folder.chmod(0o711)
    (private / "secret").mkdir(mode=0o755)
    package = server._package()
    for source in package.parent.glob(f"{package.name}*"):
        if not source.name.endswith(".dist-info"):
            (hidden / source.name).symlink_to(source)
    monkeypatch.setattr(server, "_package", lambda: hidden / package.name)
    made = PostgresServer(private)
    made.create()
    made.start({})
    assert made.running
    assert list(private.rglob("bin/postgres"))
    assert stat.S_IMODE((private / "secret").stat().st_mode) == 0o700
    made.destroy()


# --- Still needed


def test_the_emulator_still_has_no_database_behind_an_instance(stock_aws: LocalAws) -> None:
    _, database = deploy_instance(stock_aws)
    assert database.address.endswith(".rds.amazonaws.com")


def test_still_needed_the_emulator_deletes_protected_resources(stock_aws: LocalAws) -> None:
    stack, _ = deploy_instance(stock_aws, DeletionProtection=True)
    stack.delete()


def test_the_emulator_still_has_two_writers_in_a_cluster(stock_aws: LocalAws) -> None:
    assert len(writers(cluster_stack(stock_aws))) == 2


def test_the_emulator_still_reads_no_parameter_group_of_a_cluster(stock_aws: LocalAws) -> None:
    cluster_stack(stock_aws)
    dropped: list[Any] = [str(each) for each in stock_aws.dropped_properties()]
    assert "AWS::RDS::DBCluster.DBClusterParameterGroupName" in dropped
