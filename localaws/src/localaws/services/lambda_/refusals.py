"""What Lambda refuses of permissions, tags, and combinations of a function's settings.

Faithful to: the principal of a permission is a service, an account, `*` or an existing principal; a function
from a zip file has a handler and a runtime; up to 10,240 MB of temporary storage; levels of logs only with
JSON logs; at most 50 tags, none of AWS. The patterns and numbers of single parameters are in Lambda's model:
see `requests.api`. Code in S3: see `code_in_s3`.
Not to: whether an action of a permission exists; services that no principal is called after.

https://docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html
https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
https://docs.aws.amazon.com/lambda/latest/api/API_EphemeralStorage.html
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-logs-loglevel.html
https://docs.aws.amazon.com/lambda/latest/dg/configuration-tags.html
"""

from __future__ import annotations

from typing import Any

from ministack.services import lambda_svc

from localaws.refusals import Parameters, Refusal, refuses
from localaws.services.iam.policy_documents import principal_exists

_MOST_TAGS, _LARGEST_STORAGE = 50, 10_240
_LEVELS = ("ApplicationLogLevel", "SystemLogLevel")


def _invalid(text: str) -> Refusal:
    return Refusal("InvalidParameterValueException", text)


@refuses("lambda", "AddPermission")
def _principal(request: Parameters) -> Refusal | None:
    principal = str(request.get("Principal"))
    is_service = "." in principal and not principal.startswith("arn:")
    if principal_exists("Service" if is_service else "AWS", principal):
        return None
    return _invalid("The provided principal was invalid. Please check the principal and try again.")


@refuses("lambda", "CreateFunction")
def _package(function: Parameters) -> Refusal | None:
    if function.get("PackageType", "Zip") == "Zip" and not (
        function.get("Handler") and function.get("Runtime")
    ):
        text = "Runtime and Handler are mandatory parameters for functions created with deployment packages."
        return _invalid(text)
    return _storage(function) or _logging(function) or _of_tags(function.get("Tags"))


@refuses("lambda", "UpdateFunctionConfiguration")
def _configuration(function: Parameters) -> Refusal | None:
    return _storage(function) or _logging(function)


def _storage(function: Parameters) -> Refusal | None:
    size = (function.get("EphemeralStorage") or {}).get("Size")
    if size is None or int(size) <= _LARGEST_STORAGE:
        return None
    limit = f"Member must have value less than or equal to {_LARGEST_STORAGE}"
    where = "1 validation error detected: Value"
    text = f"{where} '{size}' at 'ephemeralStorage.size' failed to satisfy constraint: {limit}"
    return Refusal("ValidationException", text)


def _logging(function: Parameters) -> Refusal | None:
    logging = function.get("LoggingConfig") or {}
    if logging.get("LogFormat", "Text") == "JSON" or not any(logging.get(name) for name in _LEVELS):
        return None
    text = "To use ApplicationLogLevel or SystemLogLevel, LogFormat must be JSON."
    return _invalid(text) if "LogFormat" in logging else None


@refuses("lambda", "TagResource")
def _tags(request: Parameters) -> Refusal | None:
    name = str(request.get("Resource")).rpartition(":")[2]
    config = (lambda_svc._functions.get(name) or {}).get("tags") or {}
    return _of_tags({**config, **(request.get("Tags") or {})})


def _of_tags(tags: Any) -> Refusal | None:
    names = [str(tag.get("Key")) for tag in tags] if isinstance(tags, list) else list(tags or {})
    if any(name.lower().startswith("aws:") for name in names):
        return _invalid("aws: prefixed tag key names are not allowed for external use.")
    return _invalid("Number of tags exceeds resource tag limit.") if len(names) > _MOST_TAGS else None
