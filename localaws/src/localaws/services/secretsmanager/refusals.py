"""What Secrets Manager refuses of names, values, tags and rotation of secrets.

Faithful to: the characters of a name, also that of a secret that is scheduled for deletion; a value is text
or bytes, of at most 65,536 bytes; at most 50 tags, none of AWS; a rotation needs a function; what a template
generates is like GetRandomPassword's.
Not to: the words about tags, and about both kinds of value in a template.

https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html
https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html
https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_RotateSecret.html
https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html
"""

from __future__ import annotations

import re

from ministack.services import secretsmanager

from localaws.refusals import Parameters, Refusal, refusal, refuses

_NAME = re.compile(r"[A-Za-z0-9/_+=.@!-]+")
_LARGEST, _MOST_TAGS = 65_536, 50


@refuses("secretsmanager", "CreateSecret")
def _name(request: Parameters) -> Refusal | None:
    if not request.get("Name") or _NAME.fullmatch(str(request["Name"])):
        return None
    allowed = "alphanumeric characters, or any of the following: -/_+=.@!"
    return Refusal("ValidationException", f"Invalid name. Must be a valid name containing {allowed}")


@refuses("secretsmanager", "CreateSecret")
def _scheduled(request: Parameters) -> Refusal | None:
    _name, record = secretsmanager._resolve(request.get("Name") or "")
    if record is None or not record.get("DeletedDate"):
        return None
    text = "a secret with this name is already scheduled for deletion."
    return Refusal("InvalidRequestException", f"You can't create this secret because {text}")


@refuses("secretsmanager", "CreateSecret", "UpdateSecret", "PutSecretValue")
def _value(request: Parameters) -> Refusal | None:
    if request.get("SecretString") is not None and request.get("SecretBinary") is not None:
        text = "You can't specify both a binary secret value and a string secret value in the same secret."
        return Refusal("InvalidParameterException", text)
    if len(str(request.get("SecretString") or "").encode()) > _LARGEST:
        limit = f"Member must have length less than or equal to {_LARGEST}"
        text = f"1 validation error detected: Value at 'secretString' failed to satisfy constraint: {limit}"
        return Refusal("ValidationException", text)
    return None


@refuses("secretsmanager", "PutSecretValue")
def _no_value(request: Parameters) -> Refusal | None:
    if request.get("SecretString") is not None or request.get("SecretBinary") is not None:
        return None
    return Refusal("InvalidRequestException", "You must provide either SecretString or SecretBinary.")


@refuses("secretsmanager", "CreateSecret", "TagResource")
def _tags(request: Parameters) -> Refusal | None:
    names = [str(tag.get("Key")) for tag in request.get("Tags") or []]
    if any(name.lower().startswith("aws:") for name in names):
        text = "Tag keys that begin with aws: are reserved for AWS."
        return Refusal("InvalidParameterException", text)
    if len(names) > _MOST_TAGS:
        text = f"A secret can have at most {_MOST_TAGS} tags."
        return Refusal("InvalidParameterException", text)
    return None


@refuses("secretsmanager", "RotateSecret")
def _rotation(request: Parameters) -> Refusal | None:
    _name, record = secretsmanager._resolve(request.get("SecretId", ""))
    if record is None or request.get("RotationLambdaARN"):
        return None
    if record.get("RotationLambdaARN") or record.get("OwningService"):
        return None
    text = "No Lambda rotation function ARN is associated with this secret."
    return Refusal("InvalidRequestException", text)


@refuses("cloudformation", "AWS::SecretsManager::Secret")
def _generated(properties: Parameters) -> Refusal | None:
    wanted = properties.get("GenerateSecretString")
    if wanted is None:
        return None
    if properties.get("SecretString") is not None:
        text = "You can't specify both SecretString and GenerateSecretString."
        return Refusal("InvalidRequestException", text)
    return refusal("secretsmanager", "GetRandomPassword", wanted)
