"""Master user passwords that RDS manages in Secrets Manager: ManageMasterUserPassword.

Faithful to: `ManageMasterUserPassword` of `AWS::RDS::DBInstance` and `AWS::RDS::DBCluster`. RDS generates a
password and creates a secret with `username` and `password`. `MasterUserSecret.SecretArn` is its ARN,
rotation is enabled every seven days without a function, and it is deleted with the database. RotateSecret
changes the password of the master user immediately, in the database and in the secret. MasterUserPassword
cannot be combined with it.
Not to: the schedule, which is stored and never runs; the protection of the secret from other changes and
deletion; KMS keys of secrets; the API (ModifyDBInstance and CreateDBInstance ignore the parameter).

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-secrets-manager.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ministack.core.responses import new_uuid
from ministack.services import rds, secretsmanager
from ministack.services.cloudformation import provisioners

from localaws.patching import Created, Handler, Properties, around, on_reset, resource
from localaws.services.rds.instances import database_of

Record = dict[str, Any]

_PASSWORD = "MasterUserPassword"  # noqa: S105 (the name of a property)
_DAYS = 7

#: The records of databases by the ARN of the secret.
_managed: dict[str, Record] = {}
on_reset(_managed.clear)


def _is_managed(properties: Properties) -> bool:
    return str(properties.get("ManageMasterUserPassword")).lower() == "true"


def _store(kind: str) -> Any:
    return rds._instances if kind == "instance" else rds._clusters


@around(provisioners, "_rds_db_instance_attrs")
def _instance_attributes(stock: Callable[[Record], dict[str, Any]], instance: Record) -> dict[str, Any]:
    return _with_secret(stock(instance), instance)


@around(provisioners, "_rds_db_cluster_attrs")
def _cluster_attributes(stock: Callable[[Record], dict[str, Any]], cluster: Record) -> dict[str, Any]:
    return _with_secret(stock(cluster), cluster)


def _with_secret(attributes: dict[str, Any], record: Record) -> dict[str, Any]:
    if "MasterUserSecret" not in record:
        return attributes
    return {**attributes, "MasterUserSecret.SecretArn": record["MasterUserSecret"]["SecretArn"]}


@contextmanager
def _given(password: str, *properties: Properties) -> Iterator[None]:
    """Put the password where the emulator reads that of a template."""
    for each in properties:
        each[_PASSWORD] = password
    try:
        yield
    finally:
        for each in properties:
            del each[_PASSWORD]


def _declare(kind: str, type_: str) -> None:
    """Declare the handlers of instances or of clusters.

    CloudFormation calls them as handlers of the type, and for replacements as functions of the module.
    """
    enclosed = ["rds.instances"]
    handlers, function = resource(type_, after=enclosed), f"_rds_db_{kind}_"

    @handlers.create
    @around(provisioners, f"{function}create", after=enclosed)
    def create(stock: Handler, logical_id: str, props: Properties, stack_name: str) -> Created:
        if not _is_managed(props):
            return stock(logical_id, props, stack_name)
        password = _new_password()
        with _given(password, props):
            name, attributes = stock(logical_id, props, stack_name)
        arn = _create_secret(_store(kind)[name], password)
        return name, {**attributes, "MasterUserSecret.SecretArn": arn}

    @handlers.update
    @around(provisioners, f"{function}update", after=enclosed)
    def update(
        stock: Handler,
        physical_id: str,
        old_props: Properties,
        new_props: Properties,
        stack_name: str,
        logical_id: str | None = None,
    ) -> Created:
        record = _store(kind).get(physical_id)
        if not _is_managed(new_props) or record is None or "MasterUserSecret" not in record:
            return stock(physical_id, old_props, new_props, stack_name, logical_id)
        with _given(record["_MasterUserPassword"], old_props, new_props):
            return stock(physical_id, old_props, new_props, stack_name, logical_id)

    @handlers.delete
    @around(provisioners, f"{function}delete", after=enclosed)
    def delete(stock: Callable[..., None], physical_id: str, props: Properties) -> None:
        record = _store(kind).get(physical_id) or {}
        stock(physical_id, props)
        if arn := record.get("MasterUserSecret", {}).get("SecretArn"):
            _managed.pop(arn, None)
            secretsmanager._delete_secret({"SecretId": arn, "ForceDeleteWithoutRecovery": True})


_declare("instance", "AWS::RDS::DBInstance")
_declare("cluster", "AWS::RDS::DBCluster")


def _new_password() -> str:
    request = {"PasswordLength": 32, "ExcludeCharacters": "/@\"'\\ "}
    _status, _headers, answer = secretsmanager._get_random_password(request)
    password: str = json.loads(answer)["RandomPassword"]
    return password


def _create_secret(record: Record, password: str) -> str:
    """Create the secret of a database, and return its ARN."""
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


@around(secretsmanager, "_rotate_secret")
def _rotate_secret(stock: Callable[[Properties], Any], data: Properties) -> Any:
    _, secret = secretsmanager._resolve(data.get("SecretId"))
    record = _managed.get((secret or {}).get("ARN", ""))
    database = database_of(record) if record is not None else None
    if not secret or record is None or database is None or not data.get("RotateImmediately", True):
        return stock(data)
    password = _new_password()
    database.set_password(record["MasterUsername"], password)
    record["_MasterUserPassword"] = password
    content = {"username": record["MasterUsername"], "password": password}
    secretsmanager.put_secret_value_in_process(secret["ARN"], json.dumps(content))
    version, _ = secretsmanager._find_stage_version(secret, "AWSCURRENT")
    answer = {"ARN": secret["ARN"], "Name": secret["Name"], "VersionId": version}
    return secretsmanager.json_response(answer)
