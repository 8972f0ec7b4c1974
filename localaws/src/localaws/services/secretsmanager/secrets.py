"""`Ref` of a secret returns its ARN, and generated secret values follow the template.

Faithful to: `Ref` returns the ARN, so that a policy with it allows what it says (the emulator returns the
name, which IAM then refuses); all settings of GenerateSecretString, with at least one character of each
included type unless the template says otherwise.
Not to: `Type` and the managed rotation of partner secrets. Replicas are copies in other Regions of the
emulator.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-secretsmanager-secret.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-secretsmanager-secret-generatesecretstring.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ministack.services import secretsmanager
from ministack.services.cloudformation import provisioners

from localaws.patching import Created, Handler, Properties, replaces, resource

# Settings of a generated password that are parameters of GetRandomPassword with the same names.
_FLAGS = (
    "ExcludeLowercase",
    "ExcludeNumbers",
    "ExcludePunctuation",
    "ExcludeUppercase",
    "IncludeSpace",
    "RequireEachIncludedType",
)


@resource("AWS::SecretsManager::Secret").create
def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    _name, attributes = stock(logical_id, properties, stack)
    return attributes["Id"], attributes


@resource("AWS::SecretsManager::Secret").update
def _update(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    _name, attributes = stock(_name_of(physical_id), old, new, stack, logical_id)
    return attributes["Id"], attributes


@resource("AWS::SecretsManager::Secret").delete
def _delete(stock: Callable[..., None], physical_id: str, properties: Properties) -> None:
    stock(_name_of(physical_id), properties)


def _name_of(arn: str) -> str:
    """The name of a secret, by which the emulator's handlers find it."""
    name, _secret = secretsmanager._resolve(arn)
    return name or arn


@replaces(provisioners, "_sm_secret_string")
def _secret_string(props: Properties) -> str:
    """The value in the template, or a generated one."""
    settings = props.get("GenerateSecretString")
    if settings is None:
        return str(props.get("SecretString", ""))
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
            "AWS::SecretsManager::Secret: SecretStringTemplate and GenerateStringKey must be set together; "
            "one of them is missing"
        )
    if not template:
        return password
    return json.dumps({**json.loads(template), key: password})


def _boolean(value: str | bool) -> bool:
    return str(value).lower() == "true"
