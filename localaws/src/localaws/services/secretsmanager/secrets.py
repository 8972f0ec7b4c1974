"""Secrets Manager: a secret's `Ref` is its ARN, and generated values keep to what the template asks.

Faithful to: `Ref` returns the ARN, so that a policy that names it allows what it says (the emulator returns
the name, and IAM then refuses); all of GenerateSecretString, with at least one character of each included
kind unless the template says otherwise.
Not to: `Type` and the managed rotation of partner secrets; replicas are copies in the emulator's other
regions.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-secretsmanager-secret.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-secretsmanager-secret-generatesecretstring.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ministack.services import secretsmanager
from ministack.services.cloudformation import provisioners

# The settings of a generated password, which are the parameters of GetRandomPassword by the same names.
_FLAGS = (
    "ExcludeLowercase",
    "ExcludeNumbers",
    "ExcludePunctuation",
    "ExcludeUppercase",
    "IncludeSpace",
    "RequireEachIncludedType",
)


def install() -> None:
    """Replace what the emulator makes of `AWS::SecretsManager::Secret`."""
    provisioners._sm_secret_string = _secret_string
    handler = provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::Secret"]
    handler["create"] = _with_arn(handler["create"])
    handler["update"] = _with_arn(_by_name(handler["update"]))
    handler["delete"] = _by_name(handler["delete"])


def _secret_string(properties: dict[str, Any]) -> str:
    """The value that the template gives, or a new one made as it asks."""
    settings = properties.get("GenerateSecretString")
    if settings is None:
        return str(properties.get("SecretString", ""))
    request: dict[str, Any] = {name: _boolean(settings[name]) for name in _FLAGS if name in settings}
    request["PasswordLength"] = int(settings.get("PasswordLength", 32))
    request["ExcludeCharacters"] = settings.get("ExcludeCharacters", "")
    status, _headers, answer = secretsmanager._get_random_password(request)
    if status >= 400:
        raise ValueError(f"AWS::SecretsManager::Secret GenerateSecretString refused: {answer!r}")
    password = str(json.loads(answer)["RandomPassword"])
    template, key = settings.get("SecretStringTemplate"), settings.get("GenerateStringKey")
    if bool(template) != bool(key):
        raise ValueError(
            "AWS::SecretsManager::Secret: SecretStringTemplate and GenerateStringKey go together; "
            "one of them is missing"
        )
    if not template:
        return password
    return json.dumps({**json.loads(template), key: password})


def _boolean(value: str | bool) -> bool:
    return str(value).lower() == "true"


def _with_arn(
    provision: Callable[..., tuple[str, dict[str, Any]]],
) -> Callable[..., tuple[str, dict[str, Any]]]:
    """The handler, with the ARN as the physical id that `Ref` returns."""

    def provision_with_arn(*args: Any) -> tuple[str, dict[str, Any]]:
        _name, attributes = provision(*args)
        return attributes["Id"], attributes

    return provision_with_arn


def _by_name(handle: Callable[..., Any]) -> Callable[..., Any]:
    """The handler, which knows secrets by name, called with the name of the ARN's secret."""

    def handle_by_name(physical_id: str, *args: Any) -> Any:
        name, _secret = secretsmanager._resolve(physical_id)
        return handle(name or physical_id, *args)

    return handle_by_name
