"""Rotation of secrets by a function, and rotation schedules and policies of secrets in templates.

The emulator copies the value to a new version and invokes no function; its CloudFormation lacks both types.

Faithful to: RotateSecret makes a version with the label AWSPENDING and without a value, and the function is
invoked for createSecret, setSecret, testSecret and finishSecret, which moves AWSCURRENT; the policy of the
function must allow Secrets Manager to invoke it; a rotation that failed leaves AWSPENDING, and the next one
begins with that version; a rotation schedule rotates at once unless RotateImmediatelyOnUpdate is false, and
its deletion ends rotation.
Not to: rotation at the time of the schedule, which is recorded; the repetition of a rotation that failed;
the test of the function when a secret is not rotated at once; functions that AWS hosts
(HostedRotationLambda), which are refused.

https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_lambda-functions.html
https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_RotateSecret.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-secretsmanager-rotationschedule.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-secretsmanager-resourcepolicy.html
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

from ministack.core.responses import error_response_json, json_response, new_uuid
from ministack.services import lambda_svc, secretsmanager

from localaws.patching import Created, Properties, around, new_resource
from localaws.services.iam.invocations import service_may_invoke

Request = dict[str, Any]
Response = tuple[int, dict[str, str], bytes]

_STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
_SERVICE = "secretsmanager.amazonaws.com"
logger = logging.getLogger("localaws.rotation")


@around(secretsmanager, "_rotate_secret", after=["rds.managed_secrets"])
def _rotate_secret(stock: Callable[[Request], Response], data: Request) -> Response:
    _name, secret = secretsmanager._resolve(data.get("SecretId"))
    function = data.get("RotationLambdaARN") or (secret or {}).get("RotationLambdaARN")
    if not secret or not function or secret.get("DeletedDate") or secretsmanager._is_replica(secret):
        return stock(data)
    if not service_may_invoke(function, _SERVICE, secret["ARN"], secret["ARN"].split(":")[4]):
        text = (
            "Secrets Manager cannot invoke the specified Lambda function. Ensure that the function policy "
            f"grants access to the principal {_SERVICE}."
        )
        return _refused("AccessDeniedException", text)
    rules = data.get("RotationRules") or secret.get("RotationRules")
    secret.update(RotationLambdaARN=function, RotationRules=rules, RotationEnabled=True)
    answer = {"ARN": secret["ARN"], "Name": secret["Name"]}
    if data.get("RotateImmediately") is not False:
        pending, version = secretsmanager._find_stage_version(secret, "AWSPENDING")
        if version is None or "AWSCURRENT" in version["Stages"]:
            pending = data.get("ClientRequestToken") or new_uuid()
            secretsmanager._remove_stage_everywhere(secret, "AWSPENDING")
            made = {"SecretString": None, "SecretBinary": None, "CreatedDate": int(time.time())}
            secret["Versions"][pending] = made | {"Stages": ["AWSPENDING"]}
        answer["VersionId"] = pending
        record, config, _ = lambda_svc._get_func_record_for_ref(function)
        runnable = lambda_svc._execution_record_for_config(record, config)
        threading.Thread(target=_run, args=(runnable, secret, pending), daemon=True).start()
    response: Response = json_response(answer)
    return response


def _run(function: Any, secret: dict[str, Any], token: str) -> None:
    for step in _STEPS:
        event = {"Step": step, "SecretId": secret["ARN"], "ClientRequestToken": token}
        result = lambda_svc._execute_function_with_config_scope(function, event)
        if result.get("error"):
            logger.warning("%s: %s of the rotation failed: %s", secret["Name"], step, result.get("body"))
            return
    secret["LastRotatedDate"] = int(time.time())


@around(secretsmanager, "handle_request")
async def _handle_request(
    stock: Callable[..., Awaitable[Response]],
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query_params: Any,
) -> Response:
    if headers.get("x-amz-target", "").rpartition(".")[2] == "CancelRotateSecret":
        return _cancel_rotate_secret(json.loads(body))
    return await stock(method, path, headers, body, query_params)


def _cancel_rotate_secret(data: Request) -> Response:
    _name, secret = secretsmanager._resolve(data.get("SecretId"))
    if not secret:
        return _refused("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
    secret["RotationEnabled"] = False
    pending, _ = secretsmanager._find_stage_version(secret, "AWSPENDING")
    answer = {"ARN": secret["ARN"], "Name": secret["Name"], **({"VersionId": pending} if pending else {})}
    response: Response = json_response(answer)
    return response


@around(secretsmanager, "_get_secret_value")
def _get_secret_value(stock: Callable[[Request], Response], data: Request) -> Response:
    answer = stock(data)
    value = json.loads(answer[2])
    if answer[0] < 400 and not value.keys() & {"SecretString", "SecretBinary"}:
        text = f"Secrets Manager can't find the specified secret value for VersionId: {value['VersionId']}"
        return _refused("ResourceNotFoundException", text)
    return answer


@around(secretsmanager, "_describe_secret")
def _describe_secret(stock: Callable[[Request], Response], data: Request) -> Response:
    answer = stock(data)
    _name, secret = secretsmanager._resolve(data.get("SecretId"))
    if not secret or "LastRotatedDate" not in secret:
        return answer
    shown = json.loads(answer[2]) | {"LastRotatedDate": secret["LastRotatedDate"]}
    return answer[0], answer[1], json.dumps(shown).encode()


def _refused(code: str, text: str) -> Response:
    refused: Response = error_response_json(code, text, 400)
    return refused


def _call(type_: str, action: Callable[[Request], Response], request: Request) -> str:
    """Call the API; returns the ARN of the secret."""
    status, _, body = action(request)
    answer = json.loads(body)
    if status >= 400:
        raise ValueError(f"{type_}: {answer.get('message') or answer.get('Message')}")
    return str(answer["ARN"])


_SCHEDULE, _POLICY = "AWS::SecretsManager::RotationSchedule", "AWS::SecretsManager::ResourcePolicy"
_schedule = new_resource(_SCHEDULE, replaced_by=("SecretId",))
_policy = new_resource(_POLICY, replaced_by=("SecretId",))


@_schedule.create
def _create_schedule(logical_id: str, properties: Properties, stack: str) -> Created:
    if properties.get("HostedRotationLambda"):
        raise ValueError(f"{_SCHEDULE}: HostedRotationLambda is not emulated; give a RotationLambdaARN")
    rules = dict(properties.get("RotationRules") or {})
    if "AutomaticallyAfterDays" in rules:
        rules["AutomaticallyAfterDays"] = int(rules["AutomaticallyAfterDays"])
    request = {
        "SecretId": properties["SecretId"],
        "RotationLambdaARN": properties.get("RotationLambdaARN"),
        "RotationRules": rules,
        "RotateImmediately": str(properties.get("RotateImmediatelyOnUpdate", True)).lower() == "true",
    }
    return _call(_SCHEDULE, secretsmanager._rotate_secret, request), {}


@_schedule.update
def _update_schedule(
    physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    return _create_schedule(logical_id, new, stack)


@_schedule.delete
def _delete_schedule(physical_id: str, properties: Properties) -> None:
    if secretsmanager._resolve(physical_id)[1]:
        _call(_SCHEDULE, _cancel_rotate_secret, {"SecretId": physical_id})


@_policy.create
def _create_policy(logical_id: str, properties: Properties, stack: str) -> Created:
    document = properties["ResourcePolicy"]
    text = document if isinstance(document, str) else json.dumps(document)
    request = {"SecretId": properties["SecretId"], "ResourcePolicy": text}
    public = properties.get("BlockPublicPolicy")
    request |= {} if public is None else {"BlockPublicPolicy": str(public).lower() == "true"}
    return _call(_POLICY, secretsmanager._put_resource_policy, request), {}


@_policy.update
def _update_policy(
    physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    return _create_policy(logical_id, new, stack)


@_policy.delete
def _delete_policy(physical_id: str, properties: Properties) -> None:
    if secretsmanager._resolve(physical_id)[1]:
        _call(_POLICY, secretsmanager._delete_resource_policy, {"SecretId": physical_id})
