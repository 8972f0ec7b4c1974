"""Properties of functions and versions that the emulator's CloudFormation handlers drop.

Faithful to: the properties of a template are set on the function, changed and removed by updates, and
returned by the Get and List calls. Dead-letter queue, reserved concurrency, recursion setting and durable
configuration then take effect (see the other modules). Inline code is a file named `index`, of Node.js or
Python, so that a handler in another module is not found when the function is invoked.
Not to: the properties in `RECORDED_ONLY`. They are stored and returned, without effect: no network
and no environment that is initialised in advance. They are read past the recorder, so that a deployment still
reports them as accepted but not emulated.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-lambda-function.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-lambda-function-code.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ministack.services import lambda_svc
from ministack.services.cloudformation import provisioners

from localaws.patching import Created, Handler, Properties, around, resource
from localaws.services.iam.roles import role_allows
from localaws.services.lambda_ import environment_encryption

#: Stored and returned, without effect.
RECORDED_ONLY = frozenset({"ProvisionedConcurrencyConfig", "VpcConfig"})

#: Property → its key in the function's configuration, which is absent without a value.
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


@around(provisioners, "_zip_inline")
def _zip_inline(
    stock: Callable[..., bytes | None], source: str | None, handler: str, runtime: str = "python3.12"
) -> bytes | None:
    """The emulator names the file after the handler, whatever that is."""
    if source and not runtime.startswith(("nodejs", "python")):
        raise ValueError(f"ZipFile can only be used with a Runtime of Node.js or Python, not {runtime}")
    return stock(source, "index.handler", runtime)


@resource("AWS::Lambda::Function").create
def _create_function(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    _require_dead_letter_permission(properties)
    name, attributes = stock(logical_id, properties, stack)
    _record(name, {}, properties)
    return name, attributes


@resource("AWS::Lambda::Function").update
def _update_function(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    _require_dead_letter_permission(new)
    name, attributes = stock(physical_id, old, new, stack, logical_id)
    _record(name, old if name == physical_id else {}, new)
    return name, attributes


@resource("AWS::Lambda::Version").create
def _create_version(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    arn, attributes = stock(logical_id, properties, stack)
    wanted = _value(properties, "ProvisionedConcurrencyConfig")
    if wanted:
        name, version = arn.split(":")[6:8]
        status, _, body = lambda_svc._put_provisioned_concurrency(name, version, wanted)
        if status >= 400:
            raise ValueError(f"AWS::Lambda::Version ProvisionedConcurrencyConfig: {body!r}")
    return arn, attributes


def _require_dead_letter_permission(properties: Properties) -> None:
    """Refuse a target that is no queue or topic, or that the role may not write to, as Lambda does."""
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
    """Set the properties on the function; one that an update removed returns to its default."""
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
    environment_encryption.grant(name)


def _value(properties: Properties, name: str) -> Any:
    """A copy of a property's value; None if it is absent."""
    # The recorder overrides `get` to record reads; that of dict, which it inherits from, does not.
    value = dict.get(properties, name) if name in RECORDED_ONLY else properties.get(name)
    return json.loads(json.dumps(value))
