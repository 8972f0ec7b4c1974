"""API actions on databases affect the PostgreSQL server.

Faithful to: CreateDBInstance, CreateDBCluster and their Delete start and end a server. StopDBInstance,
StopDBCluster and their Start stop and start it. RebootDBInstance restarts it: connections end with
PostgreSQL's message, and parameters take effect. With ForceFailover, which needs MultiAZ, the server crashes
and recovers. FailoverDBCluster crashes the writer and makes a reader the writer. ModifyDBInstance and
ModifyDBCluster change the password of the master user. The events are in `rds.events`.
Not to: the time. A reboot or failover takes a tenth of a second, not a minute; for a longer outage, stop the
database and start it later. A reader that is rebooted keeps its connections, because it shares the writer's
server.

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_RebootInstance.html
https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Concepts.AuroraHighAvailability.html
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from ministack.services import rds

from localaws.engines.postgres.server import PostgresError
from localaws.patching import action, around, replaces
from localaws.services.rds import events
from localaws.services.rds.databases import Database
from localaws.services.rds.instances import Record, attach, database_of, detach

_log = logging.getLogger(__name__)

Response = tuple[int, dict[str, str], bytes]
Action = Callable[[dict[str, Any]], Response]


def _record(parameters: dict[str, Any]) -> Record | None:
    """The instance or cluster in a request."""
    instance, cluster = (rds._p(parameters, f"DB{kind}Identifier") for kind in ("Instance", "Cluster"))
    find = rds._resolve_instance if instance else rds._resolve_cluster_in_request_region
    found: Record | None = find(instance or cluster)
    return found


@action(rds, "CreateDBInstance")
@action(rds, "CreateDBCluster")
def _create(stock: Action, p: dict[str, Any]) -> Response:
    response = stock(p)
    record = _record(p) if response[0] < 400 else None
    if record is not None:
        attach(record)
    return response


@action(rds, "DeleteDBInstance")
@action(rds, "DeleteDBCluster")
def _delete(stock: Action, p: dict[str, Any]) -> Response:
    record = _record(p)
    response = stock(p)
    if record is not None and response[0] < 400:
        detach(record)
    return response


@action(rds, "StopDBInstance")
@action(rds, "StopDBCluster")
def _stop(stock: Action, p: dict[str, Any]) -> Response:
    response = stock(p)
    if database := _database(p, response):
        database.stop()
    _report(p, response, events.STOPPED)
    return response


@action(rds, "StartDBInstance")
@action(rds, "StartDBCluster")
def _start(stock: Action, p: dict[str, Any]) -> Response:
    response = stock(p)
    if database := _database(p, response):
        database.start()
    _report(p, response, events.STARTED)
    return response


def _report(parameters: dict[str, Any], response: Response, event: Mapping[str, events.Event]) -> None:
    record = _record(parameters) if response[0] < 400 else None
    if record is not None:
        events.report(record, event[events.kind_of(record)])


def _database(parameters: dict[str, Any], response: Response) -> Database | None:
    """The database in a request that succeeded."""
    record = _record(parameters) if response[0] < 400 else None
    return database_of(record) if record is not None else None


@action(rds, "RebootDBInstance")
def _reboot(stock: Action, p: dict[str, Any]) -> Response:
    record, force = _record(p), rds._p(p, "ForceFailover") == "true"
    if record is not None:
        if force and not record.get("MultiAZ"):
            return _refused("A forced failover needs an instance with MultiAZ.")
        record["_ForceFailover"] = force
    return stock(p)


def _refused(reason: str) -> Response:
    answer: Response = rds._error("InvalidParameterCombination", reason, 400)
    return answer


@around(rds, "_finish_instance_reboot")
def _finish_reboot(stock: Callable[..., None], instance: Record, cluster: Record | None) -> None:
    """The part of a reboot after the response."""
    database, crash = database_of(instance), bool(instance.pop("_ForceFailover", False))
    events.report(instance, events.FAILOVER_STARTED if crash else events.SHUT_DOWN)
    if database and _is_writer(instance, cluster):
        try:
            database.restart(crash=crash)
        except PostgresError:
            _log.exception("%s did not restart after its reboot", instance["DBInstanceIdentifier"])
            instance["DBInstanceStatus"] = "failed"
    stock(instance, cluster)
    if crash and instance["DBInstanceStatus"] == "available":
        events.report(instance, events.FAILOVER_COMPLETED)


def _is_writer(instance: Record, cluster: Record | None) -> bool:
    members = cluster["DBClusterMembers"] if cluster else []
    return not members or any(
        member["IsClusterWriter"] and member["DBInstanceIdentifier"] == instance["DBInstanceIdentifier"]
        for member in members
    )


@action(rds, "FailoverDBCluster")
def _failover(stock: Action, p: dict[str, Any]) -> Response:
    response = stock(p)
    cluster = _record(p) if response[0] < 400 else None
    if cluster is None:
        return response
    members = cluster["DBClusterMembers"]
    writer = next(one["DBInstanceIdentifier"] for one in members if one["IsClusterWriter"])
    events.report(cluster, events.CLUSTER_FAILOVER, writer)
    if database := database_of(cluster):
        cluster["Status"] = "failing-over"
        threading.Thread(target=_fail_over, args=(cluster, database, writer), daemon=True).start()
    else:
        events.report(cluster, events.CLUSTER_FAILOVER_COMPLETED, writer)
    return response


def _fail_over(cluster: Record, database: Database, writer: str) -> None:
    try:
        database.restart(crash=True)
        cluster["Status"] = "available"
        events.report(cluster, events.CLUSTER_FAILOVER_COMPLETED, writer)
    except PostgresError:
        _log.exception("%s did not restart after its failover", cluster["DBClusterIdentifier"])
        cluster["Status"] = "failed"


def _set_password(record: Record, password: str) -> None:
    database = database_of(record)
    if database:
        database.set_password(record["MasterUsername"], password)


@replaces(rds, "_rotate_instance_password")
def _change_instance_password(instance: Record, old_pass: str, new_pass: str) -> None:
    _set_password(instance, new_pass)


@around(rds, "_apply_cluster_master_password_change")
def _change_cluster_password(stock: Callable[..., None], cluster: Record, new_pass: str) -> None:
    stock(cluster, new_pass)
    _set_password(cluster, new_pass)
