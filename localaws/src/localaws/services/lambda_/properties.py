"""Properties of functions and versions that the emulator's CloudFormation handlers drop.

Faithful to: what a deployment sets arrives in the function, is changed and removed by updates, and comes back
from the Get and List calls. Dead-letter queue, reserved concurrency, recursion setting and durable
configuration then take effect (see the bridges that do it). Code that is not in its bucket fails the
deployment; the emulator would deploy a function that answers everything with a made-up success.
Not to: what stands in `RECORDED_ONLY`. It is kept and returned, and does nothing: no network, no file system,
no encryption, no signature check, no environment started beforehand. It is read past the recorder, so that a
deployment still lists it among what was accepted and is not emulated.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-lambda-function.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ministack.services import lambda_svc
from ministack.services.cloudformation.provisioners import _RESOURCE_HANDLERS

from localaws.services.iam.roles import role_allows

#: Recorded and returned, without any effect here.
RECORDED_ONLY = frozenset(
    {"CodeSigningConfigArn", "FileSystemConfigs", "KmsKeyArn", "ProvisionedConcurrencyConfig", "VpcConfig"}
)

#: Property → its key in the function's configuration. Without a value the key is not there.
_IN_CONFIGURATION = {
    "DeadLetterConfig": "DeadLetterConfig",
    "DurableConfig": "DurableConfig",
    "FileSystemConfigs": "FileSystemConfigs",
    "KmsKeyArn": "KMSKeyArn",
}

#: Property → its key in the emulator's record of the function, and its default.
_IN_RECORD: dict[str, tuple[str, object]] = {
    "CodeSigningConfigArn": ("code_signing_config_arn", ""),
    "RecursiveLoop": ("recursive_loop", "Terminate"),
    "ReservedConcurrentExecutions": ("concurrency", None),
}

Properties = dict[str, Any]
Created = tuple[str, dict[str, Any]]


def install() -> None:
    """Wrap the handlers of functions and versions."""
    function = _RESOURCE_HANDLERS["AWS::Lambda::Function"]
    function["create"] = _then_record(function["create"])
    function["update"] = _updated_then_record(function["update"])
    version = _RESOURCE_HANDLERS["AWS::Lambda::Version"]
    version["create"] = _then_provision(version["create"])


def _then_record(create: Callable[..., Created]) -> Callable[..., Created]:
    def create_function(logical_id: str, properties: Properties, stack_name: str) -> Created:
        _require_dead_letter_permission(properties)
        name, attributes = create(logical_id, properties, stack_name)
        if not _has_code(name):
            # CloudFormation forgets a resource whose creation failed; nobody else would delete it.
            _RESOURCE_HANDLERS["AWS::Lambda::Function"]["delete"](name, properties)
            code = properties.get("Code") or {}
            where = f"s3://{code.get('S3Bucket')}/{code.get('S3Key')}"
            raise ValueError(f"Error occurred while GetObject. S3 Error Code: NoSuchKey ({where})")
        _record(name, {}, properties)
        return name, attributes

    return create_function


def _updated_then_record(update: Callable[..., Created]) -> Callable[..., Created]:
    def update_function(
        physical_id: str, old: Properties, new: Properties, stack_name: str, logical_id: str | None = None
    ) -> Created:
        _require_dead_letter_permission(new)
        name, attributes = update(physical_id, old, new, stack_name, logical_id)
        _record(name, old if name == physical_id else {}, new)
        return name, attributes

    return update_function


def _then_provision(create: Callable[..., Created]) -> Callable[..., Created]:
    def create_version(logical_id: str, properties: Properties, stack_name: str) -> Created:
        arn, attributes = create(logical_id, properties, stack_name)
        wanted = _value(properties, "ProvisionedConcurrencyConfig")
        if wanted:
            name, version = arn.split(":")[6:8]
            status, _, body = lambda_svc._put_provisioned_concurrency(name, version, wanted)
            if status >= 400:
                raise ValueError(f"AWS::Lambda::Version ProvisionedConcurrencyConfig: {body!r}")
        return arn, attributes

    return create_version


def _has_code(name: str) -> bool:
    function = lambda_svc._functions[name]
    return bool(function["code_zip"]) or function["config"]["PackageType"] == "Image"


def _require_dead_letter_permission(properties: Properties) -> None:
    """Refuse what Lambda refuses: a target that is no queue or topic, or that the role may not write to."""
    config = _value(properties, "DeadLetterConfig") or {}
    refused = lambda_svc._validate_dead_letter_config(config)
    if refused:
        raise ValueError(refused[2].decode())
    target: str = config.get("TargetArn") or ""
    service = target.split(":")[2] if target else ""
    action = {"sqs": "SendMessage", "sns": "Publish"}.get(service)
    if action and not role_allows(properties["Role"], f"{service}:{action}", target):
        call = f"{action} on {service.upper()}"
        raise ValueError(f"The provided execution role does not have permissions to call {call} ({target})")


def _record(name: str, old: Properties, new: Properties) -> None:
    """Put the properties into the function; one that an update removed returns to its default."""
    function = lambda_svc._functions[name]
    config = function["config"]
    for property_name, key in _IN_CONFIGURATION.items():
        if property_name in new:
            config[key] = _value(new, property_name)
        elif property_name in old:
            config.pop(key, None)
    for property_name, (key, default) in _IN_RECORD.items():
        if property_name in new:
            function[key] = _value(new, property_name)
        elif property_name in old:
            function[key] = default
    config["VpcConfig"] = lambda_svc._vpc_config_with_id(_value(new, "VpcConfig"))


def _value(properties: Properties, name: str) -> Any:
    """A copy of a property's value; None if it is not there."""
    # The recorder overrides `get` to note what is read. It inherits from dict, whose own `get` notes nothing.
    value = dict.get(properties, name) if name in RECORDED_ONLY else properties.get(name)
    return json.loads(json.dumps(value))
