"""RDS: what the API does to a database is done to the server behind it.

Faithful to: CreateDBInstance, CreateDBCluster and their Delete make and end a server. StopDBInstance,
StopDBCluster and their Start stop and start it. RebootDBInstance restarts it: connections end with the
message of PostgreSQL, and parameters take effect; with ForceFailover, for which the instance must have
MultiAZ, it crashes and recovers. FailoverDBCluster crashes the writer and makes a reader the writer. The
password of ModifyDBInstance and ModifyDBCluster is the master user's.
Not to: the time. A reboot or failover takes a tenth of a second, not a minute; for a longer outage, stop the
database and start it later. A reader that is rebooted keeps its connections, as its server is the writer's.

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_RebootInstance.html
https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Concepts.AuroraHighAvailability.html
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from ministack.services import rds

from localaws.engines.postgres.server import PostgresError
from localaws.services.rds.databases import Database
from localaws.services.rds.instances import Record, attach, database_of, detach

_log = logging.getLogger(__name__)

Response = tuple[int, dict[str, str], bytes]
Action = Callable[..., Response]


def install() -> None:
    """Extend the actions of the emulator's RDS."""
    for name, wrap in _ACTIONS.items():
        rds._ACTION_MAP[name] = wrap(rds._ACTION_MAP[name])
    rds._finish_instance_reboot = _rebooted(rds._finish_instance_reboot)
    rds._rotate_instance_password = lambda instance, _old, new: _set_password(instance, new)
    rds._apply_cluster_master_password_change = _with_password_set(rds._apply_cluster_master_password_change)


def _record(parameters: dict[str, Any]) -> Record | None:
    """The record that a request names."""
    instance, cluster = (rds._p(parameters, f"DB{kind}Identifier") for kind in ("Instance", "Cluster"))
    find = rds._resolve_instance if instance else rds._resolve_cluster_in_request_region
    found: Record | None = find(instance or cluster)
    return found


def _creating(action: Action) -> Action:
    def create(parameters: dict[str, Any]) -> Response:
        response = action(parameters)
        record = _record(parameters) if response[0] < 400 else None
        if record is not None:
            attach(record)
        return response

    return create


def _deleting(action: Action) -> Action:
    def delete(parameters: dict[str, Any]) -> Response:
        record = _record(parameters)
        response = action(parameters)
        if record is not None and response[0] < 400:
            detach(record)
        return response

    return delete


def _doing(work: Callable[[Database], None]) -> Callable[[Action], Action]:
    """An action that also does something to the server."""

    def wrap(action: Action) -> Action:
        def act(parameters: dict[str, Any]) -> Response:
            response = action(parameters)
            record = _record(parameters) if response[0] < 400 else None
            database = database_of(record) if record is not None else None
            if database:
                work(database)
            return response

        return act

    return wrap


def _rebooting(action: Action) -> Action:
    def reboot(parameters: dict[str, Any]) -> Response:
        record, force = _record(parameters), rds._p(parameters, "ForceFailover") == "true"
        if record is not None:
            if force and not record.get("MultiAZ"):
                return _refused("A forced failover needs an instance with MultiAZ.")
            record["_ForceFailover"] = force
        return action(parameters)

    return reboot


def _refused(reason: str) -> Response:
    answer: Response = rds._error("InvalidParameterCombination", reason, 400)
    return answer


def _rebooted(stock: Callable[..., None]) -> Callable[..., None]:
    """The part of a reboot that happens after the answer."""

    def finish(instance: Record, cluster: Record | None) -> None:
        database, crash = database_of(instance), bool(instance.pop("_ForceFailover", False))
        if database and _is_writer(instance, cluster):
            try:
                database.restart(crash=crash)
            except PostgresError:
                _log.exception("%s did not come back from its reboot", instance["DBInstanceIdentifier"])
                instance["DBInstanceStatus"] = "failed"
        stock(instance, cluster)

    return finish


def _is_writer(instance: Record, cluster: Record | None) -> bool:
    members = cluster["DBClusterMembers"] if cluster else []
    return not members or any(
        member["IsClusterWriter"] and member["DBInstanceIdentifier"] == instance["DBInstanceIdentifier"]
        for member in members
    )


def _failing_over(action: Action) -> Action:
    def fail_over(parameters: dict[str, Any]) -> Response:
        response = action(parameters)
        cluster = _record(parameters) if response[0] < 400 else None
        database = database_of(cluster) if cluster is not None else None
        if cluster is not None and database:
            cluster["Status"] = "failing-over"
            threading.Thread(target=_fail_over, args=(cluster, database), daemon=True).start()
        return response

    return fail_over


def _fail_over(cluster: Record, database: Database) -> None:
    try:
        database.restart(crash=True)
        cluster["Status"] = "available"
    except PostgresError:
        _log.exception("%s did not come back from its failover", cluster["DBClusterIdentifier"])
        cluster["Status"] = "failed"


def _set_password(record: Record, password: str) -> None:
    database = database_of(record)
    if database:
        database.set_password(record["MasterUsername"], password)


def _with_password_set(stock: Callable[..., None]) -> Callable[..., None]:
    def change(cluster: Record, password: str) -> None:
        stock(cluster, password)
        _set_password(cluster, password)

    return change


_ACTIONS: dict[str, Callable[[Action], Action]] = {
    "CreateDBInstance": _creating,
    "CreateDBCluster": _creating,
    "DeleteDBInstance": _deleting,
    "DeleteDBCluster": _deleting,
    "StopDBInstance": _doing(Database.stop),
    "StopDBCluster": _doing(Database.stop),
    "StartDBInstance": _doing(Database.start),
    "StartDBCluster": _doing(Database.start),
    "RebootDBInstance": _rebooting,
    "FailoverDBCluster": _failing_over,
}
