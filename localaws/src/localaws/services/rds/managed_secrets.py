"""The password that RDS makes itself, keeps in Secrets Manager and changes: ManageMasterUserPassword.

Faithful to: `ManageMasterUserPassword` of `AWS::RDS::DBInstance` and `AWS::RDS::DBCluster`. RDS makes a
password and a secret with `username` and `password`, of which `MasterUserSecret.SecretArn` is the ARN, whose
rotation is on every seven days, without a function, and which is deleted with the database. RotateSecret
gives the master user another password at once, in the database and in the secret. MasterUserPassword beside
it is refused.
Not to: the schedule, which is kept and never due; that nobody else may change or delete such a secret; KMS
keys of secrets; the API (ModifyDBInstance and CreateDBInstance ask for it in vain).

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-secrets-manager.html
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ministack.core.responses import new_uuid
from ministack.services import rds, secretsmanager
from ministack.services.cloudformation import provisioners

from localaws import services as bridges
from localaws.services.rds.instances import database_of

Properties = dict[str, Any]
Record = dict[str, Any]
Made = tuple[str, dict[str, Any]]

_PASSWORD = "MasterUserPassword"  # noqa: S105 - the name of a property
_TYPES = {"instance": "AWS::RDS::DBInstance", "cluster": "AWS::RDS::DBCluster"}
_DAYS = 7

#: The records of databases by the ARN of the secret.
_managed: dict[str, Record] = {}


def install() -> None:
    """Make passwords where templates ask for it, and change them where RotateSecret does."""
    handlers = provisioners._RESOURCE_HANDLERS
    for kind, type_ in _TYPES.items():
        attributes = f"_rds_db_{kind}_attrs"
        setattr(provisioners, attributes, _with_secret(getattr(provisioners, attributes)))
        for verb, wrap in (("create", _creating), ("update", _updating), ("delete", _deleting)):
            # Replacement goes through the functions, deployment through the table.
            wrapped = wrap(kind, handlers[type_][verb])
            handlers[type_][verb] = wrapped
            setattr(provisioners, f"_rds_db_{kind}_{verb}", wrapped)
    secretsmanager._rotate_secret = _rotating(secretsmanager._rotate_secret)
    bridges.reset_hooks.append(_managed.clear)


def _is_managed(properties: Properties) -> bool:
    return str(properties.get("ManageMasterUserPassword")).lower() == "true"


def _store(kind: str) -> Any:
    return rds._instances if kind == "instance" else rds._clusters


def _with_secret(stock: Callable[[Record], dict[str, Any]]) -> Callable[[Record], dict[str, Any]]:
    @functools.wraps(stock)
    def attributes(record: Record) -> dict[str, Any]:
        found = stock(record)
        if "MasterUserSecret" in record:
            found = {**found, "MasterUserSecret.SecretArn": record["MasterUserSecret"]["SecretArn"]}
        return found

    return attributes


@contextmanager
def _given(password: str, *properties: Properties) -> Iterator[None]:
    """Let the emulator find the password where a template has it."""
    for each in properties:
        each[_PASSWORD] = password
    try:
        yield
    finally:
        for each in properties:
            del each[_PASSWORD]


def _creating(kind: str, create: Callable[..., Made]) -> Callable[..., Made]:
    def create_managed(logical_id: str, properties: Properties, stack: str) -> Made:
        if not _is_managed(properties):
            return create(logical_id, properties, stack)
        if _PASSWORD in properties:
            raise ValueError(f"{_PASSWORD} and ManageMasterUserPassword exclude each other: leave one out")
        password = _new_password()
        with _given(password, properties):
            name, attributes = create(logical_id, properties, stack)
        record = _store(kind)[name]
        arn = _keep(record, password)
        return name, {**attributes, "MasterUserSecret.SecretArn": arn}

    return create_managed


def _updating(kind: str, update: Callable[..., Made]) -> Callable[..., Made]:
    def update_managed(physical_id: str, old: Properties, new: Properties, *args: Any) -> Made:
        record = _store(kind).get(physical_id)
        if not _is_managed(new) or record is None or "MasterUserSecret" not in record:
            return update(physical_id, old, new, *args)
        with _given(record["_MasterUserPassword"], old, new):
            return update(physical_id, old, new, *args)

    return update_managed


def _deleting(kind: str, delete: Callable[..., None]) -> Callable[..., None]:
    def delete_managed(physical_id: str, properties: Properties) -> None:
        record = _store(kind).get(physical_id) or {}
        delete(physical_id, properties)
        if arn := record.get("MasterUserSecret", {}).get("SecretArn"):
            _managed.pop(arn, None)
            secretsmanager._delete_secret({"SecretId": arn, "ForceDeleteWithoutRecovery": True})

    return delete_managed


def _new_password() -> str:
    request = {"PasswordLength": 32, "ExcludeCharacters": "/@\"'\\ "}
    _status, _headers, answer = secretsmanager._get_random_password(request)
    password: str = json.loads(answer)["RandomPassword"]
    return password


def _keep(record: Record, password: str) -> str:
    """Make the secret of a database."""
    kind = "cluster" if "DBClusterArn" in record else "db"
    content = {"username": record["MasterUsername"], "password": password}
    request = {
        "Name": f"rds!{kind}-{new_uuid()}",
        "SecretString": json.dumps(content),
        "Description": f"Secret associated with the primary RDS DB {record.get('DBInstanceIdentifier', '')}",
        "RotationRules": {"AutomaticallyAfterDays": _DAYS},
    }
    _status, _headers, answer = secretsmanager._create_secret(request)
    arn: str = json.loads(answer)["ARN"]
    _, secret = secretsmanager._resolve(arn)
    secret |= {"RotationEnabled": True, "OwningService": "rds"}
    record["MasterUserSecret"] = {"SecretArn": arn, "SecretStatus": "active"}
    _managed[arn] = record
    return arn


def _rotating(stock: Callable[..., Any]) -> Callable[..., Any]:
    def rotate(request: Properties) -> Any:
        _, secret = secretsmanager._resolve(request.get("SecretId"))
        record = _managed.get((secret or {}).get("ARN", ""))
        database = database_of(record) if record is not None else None
        if not secret or record is None or database is None or not request.get("RotateImmediately", True):
            return stock(request)
        password = _new_password()
        database.set_password(record["MasterUsername"], password)
        record["_MasterUserPassword"] = password
        content = {"username": record["MasterUsername"], "password": password}
        secretsmanager.put_secret_value_in_process(secret["ARN"], json.dumps(content))
        version, _ = secretsmanager._find_stage_version(secret, "AWSCURRENT")
        answer = {"ARN": secret["ARN"], "Name": secret["Name"], "VersionId": version}
        return secretsmanager.json_response(answer)

    return rotate
