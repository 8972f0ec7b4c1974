"""Rotation of a database's secret, as the CDK's rotation constructs ask for it.

In AWS the rotation function comes from the Serverless Application Repository, or from a transform of Secrets
Manager, as a nested stack. Here the resource stands for the function, and this process does its work.

Faithful to: `AWS::Serverless::Application` for `SecretsManagerRDSPostgreSQLRotationSingleUser`, with
`Outputs.RotationLambdaARN`; `AWS::SecretsManager::RotationSchedule` with that ARN, or with
HostedRotationLambda of the type PostgreSQLSingleUser; `AWS::SecretsManager::ResourcePolicy`. Rotation, by
RotateSecret and when the schedule is made or changed (unless RotateImmediatelyOnUpdate is off), sets a new
password in the database, and makes it the secret's current version and the old one its previous. A database
that does not run yet is waited for, after the answer.
Not to: the schedule, which is kept and never due; the function (there is none to find or invoke), its network
and its permissions; alternating users (MultiUser), which are refused; rotation by a function of one's own, of
which the emulator keeps a record.

https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_managed.html
https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_available-rotation-templates.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-secretsmanager-rotationschedule.html
"""

from __future__ import annotations

import contextvars
import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from ministack.core.responses import get_account_id, get_region, new_uuid
from ministack.services import secretsmanager
from ministack.services.cloudformation import changesets, engine, handlers, provisioners

from localaws import services as bridges
from localaws.engines.postgres.connection import DatabaseError
from localaws.services.rds.instances import database_at

Properties = dict[str, Any]
Made = tuple[str, dict[str, Any]]

_APPLICATION = "AWS::Serverless::Application"
_SCHEDULE = "AWS::SecretsManager::RotationSchedule"
_POLICY = "AWS::SecretsManager::ResourcePolicy"
_SINGLE_USER = ("SecretsManagerRDSPostgreSQLRotationSingleUser", "PostgreSQLSingleUser")
_SAM = "AWS::Serverless-2016-10-31"
_PATIENCE_SECONDS = 60.0
_INTERVAL_SECONDS = 0.05
_log = logging.getLogger(__name__)

#: The characters that each rotation function leaves out of passwords, by its ARN.
_functions: dict[str, str] = {}


def install() -> None:
    """Register the types, and rotate for real where RotateSecret is asked to."""
    table = provisioners._RESOURCE_HANDLERS
    table[_APPLICATION] = {"create": _create_application, "delete": _delete_application}
    table[_SCHEDULE] = {"create": _create_schedule, "update": _update_schedule, "delete": _delete_schedule}
    table[_POLICY] = {"create": _create_policy, "update": _update_policy, "delete": _delete_policy}
    provisioners._REPLACING_PROPERTIES |= {_SCHEDULE: ("SecretId",), _POLICY: ("SecretId",)}
    transform = _without_applications(engine._apply_transforms)
    for module in (engine, handlers, changesets):
        module._apply_transforms = transform
    secretsmanager._rotate_secret = _rotating(secretsmanager._rotate_secret)
    bridges.reset_hooks.append(_functions.clear)


def _without_applications(stock: Callable[..., Any]) -> Callable[..., Any]:
    """The transforms of a template; SAM's is left out where it would only look for applications."""

    def apply(template: Properties, *args: Any) -> Any:
        types = {resource.get("Type", "") for resource in (template.get("Resources") or {}).values()}
        declared = engine.declared_transforms(template)
        if _SAM in declared and {each for each in types if "::Serverless::" in each} == {_APPLICATION}:
            template = {**template, "Transform": [name for name in declared if name != _SAM]}
        return stock(template, *args)

    return apply


# --- The function


def _create_application(logical_id: str, properties: Properties, stack: str) -> Made:
    location = properties.get("Location") or {}
    application = str(location.get("ApplicationId") if isinstance(location, dict) else location)
    if application.rpartition("/")[2] not in _SINGLE_USER:
        raise ValueError(
            f"The application {application} is not emulated; the embedded AWS has {_SINGLE_USER[0]} alone"
        )
    parameters = properties.get("Parameters") or {}
    arn = _new_function(parameters.get("functionName") or f"{stack}-{logical_id}", parameters)
    nested = (
        f"arn:aws:cloudformation:{get_region()}:{get_account_id()}:stack/{stack}-{logical_id}/{new_uuid()}"
    )
    return nested, {"Outputs.RotationLambdaARN": arn}


def _delete_application(_physical_id: str, properties: Properties) -> None:
    _functions.pop(_arn((properties.get("Parameters") or {}).get("functionName", "")), None)


def _new_function(name: str, parameters: Properties) -> str:
    _functions[_arn(name)] = str(parameters.get("excludeCharacters") or "/@\"'\\")
    return _arn(name)


def _arn(function: str) -> str:
    return f"arn:aws:lambda:{get_region()}:{get_account_id()}:function:{function}"


# --- The schedule


def _create_schedule(logical_id: str, properties: Properties, stack: str) -> Made:
    return _set_schedule(properties, f"{stack}-{logical_id}")


def _update_schedule(physical_id: str, _old: Properties, new: Properties, _stack: str) -> Made:
    return _set_schedule(new, physical_id.rpartition(":")[2])


def _set_schedule(properties: Properties, name: str) -> Made:
    function, hosted = properties.get("RotationLambdaARN"), properties.get("HostedRotationLambda")
    if hosted:
        if hosted.get("RotationType") not in _SINGLE_USER:
            raise ValueError(
                f"RotationType={hosted.get('RotationType')!r}: the embedded AWS has {_SINGLE_USER[1]} alone"
            )
        parameters = {"excludeCharacters": hosted.get("ExcludeCharacters")}
        function = _new_function(hosted.get("RotationLambdaName") or name, parameters)
    request = {
        "SecretId": properties["SecretId"],
        "RotationLambdaARN": function,
        "RotationRules": dict(properties.get("RotationRules") or {}),
        "RotateImmediately": str(properties.get("RotateImmediatelyOnUpdate", True)).lower() == "true",
    }
    _checked(secretsmanager._rotate_secret(request))
    _, secret = secretsmanager._resolve(properties["SecretId"])
    return secret["ARN"], {}


def _delete_schedule(physical_id: str, _properties: Properties) -> None:
    _, secret = secretsmanager._resolve(physical_id)
    if secret:
        secret["RotationEnabled"] = False


def _rotating(stock: Callable[..., Any]) -> Callable[..., Any]:
    def rotate(request: Properties) -> Any:
        _, secret = secretsmanager._resolve(request.get("SecretId"))
        function = request.get("RotationLambdaARN") or (secret or {}).get("RotationLambdaARN")
        if not secret or secret.get("DeletedDate") or function not in _functions:
            return stock(request)
        secret |= {"RotationLambdaARN": function, "RotationEnabled": True}
        if request.get("RotationRules"):
            secret["RotationRules"] = request["RotationRules"]
        if request.get("RotateImmediately", True):
            _rotate(secret, _functions[function])
        version, _ = secretsmanager._find_stage_version(secret, "AWSCURRENT")
        answer = {"ARN": secret["ARN"], "Name": secret["Name"], "VersionId": version}
        return secretsmanager.json_response(answer)

    return rotate


def _rotate(secret: dict[str, Any], exclude: str) -> None:
    """Rotate now if the database runs, else when it does."""
    if not _try_to_rotate(secret, exclude):
        context = contextvars.copy_context()  # the account and the region of the request
        waiting = threading.Thread(target=context.run, args=(_rotate_later, secret, exclude), daemon=True)
        waiting.start()


def _rotate_later(secret: dict[str, Any], exclude: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline and not secret.get("DeletedDate"):
        time.sleep(_INTERVAL_SECONDS)
        try:
            if _try_to_rotate(secret, exclude):
                return
        except DatabaseError as error:
            _log.warning("%s was not rotated, and will be tried again: %s", secret["Name"], error)
    _log.warning("%s was not rotated: its database was not there in time", secret["Name"])


def _try_to_rotate(secret: dict[str, Any], exclude: str) -> bool:
    """Give the secret's user another password, in the database and then in the secret."""
    _, version = secretsmanager._find_stage_version(secret, "AWSCURRENT")
    content = json.loads((version or {}).get("SecretString") or "{}")
    database = database_at(content.get("host", ""))
    if database is None or database.socket is None:
        return False
    request = {"PasswordLength": 32, "ExcludeCharacters": exclude}
    _status, _headers, answer = secretsmanager._get_random_password(request)
    content["password"] = json.loads(answer)["RandomPassword"]
    database.set_password(content["username"], content["password"])
    secretsmanager.put_secret_value_in_process(secret["ARN"], json.dumps(content))
    return True


# --- The policy


def _create_policy(_logical_id: str, properties: Properties, _stack: str) -> Made:
    document = properties["ResourcePolicy"]
    text = document if isinstance(document, str) else json.dumps(document)
    _checked(
        secretsmanager._put_resource_policy({"SecretId": properties["SecretId"], "ResourcePolicy": text})
    )
    _, secret = secretsmanager._resolve(properties["SecretId"])
    return secret["ARN"], {"Id": secret["ARN"]}


def _update_policy(_physical_id: str, _old: Properties, new: Properties, stack: str) -> Made:
    return _create_policy("", new, stack)


def _delete_policy(physical_id: str, _properties: Properties) -> None:
    secretsmanager._delete_resource_policy({"SecretId": physical_id})  # refused where the secret has gone


def _checked(response: tuple[int, Any, Any]) -> None:
    if response[0] >= 400:
        raise ValueError(f"Secrets Manager refused: {response[2]!r}")
