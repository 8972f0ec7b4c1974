"""What Lambda refuses of the configuration of a function URL, and its ARN and pages of lists.

The emulator takes any type of authentication, invoke mode and CORS configuration, makes a URL without
authentication if the type is missing, gives the ARN without the alias, and keeps URLs of deleted functions.

Faithful to: through the API and in CloudFormation, the type of authentication is required; the values,
numbers and lengths in the API reference; a qualifier that is a version's number, or `$LATEST`, is refused.
`FunctionArn` has the alias, `ListFunctionUrlConfigs` returns pages, and a deleted function has no URL.
Not to: functions with tenant isolation.

https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunctionUrlConfig.html
https://docs.aws.amazon.com/lambda/latest/api/API_Cors.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ministack.core.responses import error_response_json, json_response
from ministack.services import lambda_svc
from ministack.services.cloudformation import provisioners

from localaws.patching import Properties, around, replaces

Response = tuple[int, dict[str, Any], bytes]

_QUALIFIER = r"((?!^\d+$)^[0-9a-zA-Z-_]+$)"
_CHOICES = {"AuthType": ("NONE", "AWS_IAM"), "InvokeMode": ("BUFFERED", "RESPONSE_STREAM")}
# Most items, shortest and longest item.
_LISTS = {
    "AllowHeaders": (100, 0, 1024),
    "AllowMethods": (6, 0, 6),
    "AllowOrigins": (100, 1, 253),
    "ExposeHeaders": (100, 0, 1024),
}
_MAX_AGE = 86_400


@around(lambda_svc, "_create_function_url_config")
def _create(
    stock: Callable[..., Response], func_name: str, data: Properties, qualifier: str | None
) -> Response:
    if "AuthType" not in data:
        return _refused(["Value null at 'authType' failed to satisfy constraint: Member must not be null"])
    return _checked(data, qualifier) or _named(stock(func_name, data, qualifier), func_name, qualifier)


@around(lambda_svc, "_update_function_url_config")
def _update(
    stock: Callable[..., Response], func_name: str, data: Properties, qualifier: str | None
) -> Response:
    return _checked(data, qualifier) or stock(func_name, data, qualifier)


@around(lambda_svc, "_delete_function")
def _delete_function(
    stock: Callable[..., Response], name: str, query_params: Any, path_qualifier: str | None = None
) -> Response:
    """The URLs of a function go with it."""
    response = stock(name, query_params, path_qualifier)
    if name not in lambda_svc._functions:
        for key in [key for key in lambda_svc._function_urls if key.partition(":")[0] == name]:
            del lambda_svc._function_urls[key]
    return response


@around(provisioners, "_lambda_url_config_data")
def _config_in_template(stock: Callable[[Properties], Properties], props: Properties) -> Properties:
    data = stock(props)
    if not props.get("AuthType"):
        raise ValueError("AWS::Lambda::Url: #: required key [AuthType] not found")
    return data


@replaces(lambda_svc, "_list_function_url_configs")
def _list(func_name: str, query_params: Any) -> Response:
    if func_name not in lambda_svc._functions:
        missing = f"Function not found: {lambda_svc._func_arn(func_name)}"
        answer: Response = error_response_json("ResourceNotFoundException", missing, 404)
        return answer
    names = sorted(
        name for name in lambda_svc._function_urls if name == func_name or name.startswith(f"{func_name}:")
    )
    start = int(lambda_svc._qp_first(query_params, "Marker") or 0)
    end = start + int(lambda_svc._qp_first(query_params, "MaxItems", "50") or 50)
    page: Properties = {"FunctionUrlConfigs": [lambda_svc._function_urls[name] for name in names[start:end]]}
    if end < len(names):
        page["NextMarker"] = str(end)
    listed: Response = json_response(page)
    return listed


def _named(response: Response, name: str, qualifier: str | None) -> Response:
    """The response to a creation, with the ARN of the alias."""
    status, headers, body = response
    if status == 201 and qualifier:
        config = lambda_svc._function_urls[lambda_svc._url_config_key(name, qualifier)]
        config["FunctionArn"] = f"{lambda_svc._func_arn(name)}:{qualifier}"
        body = json.dumps(config).encode()
    return status, headers, body


def _checked(data: Mapping[str, Any], qualifier: str | None) -> Response | None:
    problems = [*_problems(data), *_of_qualifier(qualifier)]
    return _refused(problems) if problems else None


def _of_qualifier(qualifier: str | None) -> Iterator[str]:
    if qualifier and not re.fullmatch(_QUALIFIER, qualifier):
        yield _problem(f"'{qualifier}'", "qualifier", f"satisfy regular expression pattern: {_QUALIFIER}")


def _problems(data: Mapping[str, Any]) -> Iterator[str]:
    for name, allowed in _CHOICES.items():
        given = data.get(name)
        if given is not None and given not in allowed:
            member = f"{name[0].lower()}{name[1:]}"
            yield _problem(f"'{given}'", member, f"satisfy enum value set: [{', '.join(allowed)}]")
    cors = data.get("Cors") or {}
    for name, (most, shortest, longest) in _LISTS.items():
        given, member = cors.get(name) or [], f"cors.{name[0].lower()}{name[1:]}"
        if len(given) > most:
            yield _problem(f"'{given}'", member, f"have length less than or equal to {most}")
        elif any(len(item) > longest for item in given):
            limit = f"satisfy constraint: [Member must have length less than or equal to {longest}]"
            yield _problem(f"'{given}'", member, limit)
        elif any(len(item) < shortest for item in given):
            limit = f"satisfy constraint: [Member must have length greater than or equal to {shortest}]"
            yield _problem(f"'{given}'", member, limit)
    age = cors.get("MaxAge")
    if age is not None and not 0 <= int(age) <= _MAX_AGE:
        limit = f"less than or equal to {_MAX_AGE}" if int(age) > _MAX_AGE else "greater than or equal to 0"
        yield _problem(f"'{age}'", "cors.maxAge", f"have value {limit}")


def _problem(value: str, member: str, constraint: str) -> str:
    return f"Value {value} at '{member}' failed to satisfy constraint: Member must {constraint}"


def _refused(problems: list[str]) -> Response:
    plural = "s" if len(problems) > 1 else ""
    message = f"{len(problems)} validation error{plural} detected: {'; '.join(problems)}"
    answer: Response = error_response_json("ValidationException", message, 400)
    return answer
