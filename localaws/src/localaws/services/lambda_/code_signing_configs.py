"""Code signing configurations: who may sign the code of functions, and what happens to other code.

The emulator has no such configuration: any ARN is accepted, and none exists.

Faithful to: the calls of the API, `AWS::Lambda::CodeSigningConfig` and tags; up to 20 signing profiles, of
which each is a version of one; `Warn` by default. A configuration that a function uses is not deleted, and a
function only gets one that exists. A function from a container image has none. What a configuration does is
in `lambda_.code_signing`.
Not to: whether the signing profiles exist; the words of errors.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-codesigning-create.html
https://docs.aws.amazon.com/lambda/latest/api/API_CreateCodeSigningConfig.html
https://docs.aws.amazon.com/lambda/latest/api/API_DeleteCodeSigningConfig.html
https://docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import unquote

from ministack.core.responses import (
    AccountRegionScopedDict,
    error_response_json,
    get_account_id,
    get_region,
    json_response,
)
from ministack.services import lambda_svc

from localaws.identifiers import LOWER_CASE, identifier
from localaws.patching import Created, Properties, around, new_resource, on_reset
from localaws.refusals import Parameters, Refusal, refuses
from localaws.services.iam.resources import Request, resource_of

Answer = tuple[int, dict[str, str], bytes]
Config = dict[str, Any]

_PATH = re.compile(r"/2020-04-22/code-signing-configs(?:/(arn:[^/]+))?(/functions)?/?")
_TAGS = re.compile(r"/2017-03-31/tags/(arn:[^/]+:code-signing-config:csc-[a-z0-9]+)/?")
_IMAGE = "Code signing is not supported for functions created with container images."
_ID_LENGTH, _PAGE = 17, 50

_configs = AccountRegionScopedDict()
_tags = AccountRegionScopedDict()
on_reset(_configs.clear)
on_reset(_tags.clear)


def find(arn: str | None) -> Config | None:
    """The configuration with an ARN."""
    found: Config | None = _configs.get(arn) if arn else None
    return found


def _functions_with(arn: str) -> list[str]:
    return [
        one["config"]["FunctionArn"]
        for one in lambda_svc._functions.values()
        if one.get("code_signing_config_arn") == arn
    ]


# --- What is refused


@refuses("lambda", "CreateFunction", "PutFunctionCodeSigningConfig")
def _exists(request: Parameters) -> Refusal | None:
    arn = request.get("CodeSigningConfigArn")
    if not arn or find(arn):
        return None
    return Refusal("CodeSigningConfigNotFoundException", f"Code signing config not found: {arn}", 404)


@refuses("lambda", "PutFunctionCodeSigningConfig")
def _is_zip(request: Parameters) -> Refusal | None:
    function = lambda_svc._functions.get(str(request.get("FunctionName")).split(":")[-1])
    if function is None or function["config"].get("PackageType") != "Image":
        return None
    return Refusal("InvalidParameterValueException", _IMAGE)


# --- The API


@resource_of("lambda")
def _config(request: Request) -> str | None:
    named = _PATH.fullmatch(unquote(request.path))
    return named[1] if named else None


@around(lambda_svc, "handle_request", after=["lambda_.code_in_s3"])
async def _handle_request(
    stock: Callable[..., Awaitable[Answer]],
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query_params: Any,
) -> Answer:
    given = unquote(path)
    if tagged := _TAGS.fullmatch(given):
        return _of_tags(method, tagged[1], body, query_params)
    found = _PATH.fullmatch(given)
    if found is None:
        return await stock(method, path, headers, body, query_params)
    arn, functions = found.groups()
    request = json.loads(body or b"{}")
    if arn is None:
        return (
            _created(request)
            if method == "POST"
            else _page("CodeSigningConfigs", _configs.values(), query_params)
        )
    config = find(arn)
    if config is None:
        return _not_found(arn)
    if functions:
        return _page("FunctionArns", _functions_with(arn), query_params)
    if method == "PUT":
        _change(config, request)
    return _delete(arn) if method == "DELETE" else _answer(config)


def _answer(config: Config, status: int = 200) -> Answer:
    answer: Answer = json_response({"CodeSigningConfig": config}, status)
    return answer


def _not_found(arn: str) -> Answer:
    text = f"The code signing configuration cannot be found: {arn}"
    answer: Answer = error_response_json("ResourceNotFoundException", text, 404)
    return answer


def _created(request: Mapping[str, Any]) -> Answer:
    return _answer(_create(request), 201)


def _page(name: str, found: Any, query: Mapping[str, Any]) -> Answer:
    entries = list(found)
    first = int((query.get("Marker") or ["0"])[0])
    size = int((query.get("MaxItems") or [str(_PAGE)])[0])
    page: dict[str, Any] = {name: entries[first : first + size]}
    if first + size < len(entries):
        page["NextMarker"] = str(first + size)
    answer: Answer = json_response(page)
    return answer


def _delete(arn: str) -> Answer:
    if used := _functions_with(arn):
        text = f"Cannot delete a code signing configuration that functions use: {', '.join(used)}"
        answer: Answer = error_response_json("ResourceConflictException", text, 409)
        return answer
    _configs.pop(arn, None)
    _tags.pop(arn, None)
    return 204, {}, b""


def _of_tags(method: str, arn: str, body: bytes, query: Mapping[str, Any]) -> Answer:
    if find(arn) is None:
        return _not_found(arn)
    tags = _tags.setdefault(arn, {})
    if method == "POST":
        tags.update(json.loads(body)["Tags"])
    for key in query.get("tagKeys") or () if method == "DELETE" else ():
        tags.pop(key, None)
    answer: Answer = json_response({"Tags": tags}) if method == "GET" else (204, {}, b"")
    return answer


def _create(request: Mapping[str, Any]) -> Config:
    name = f"csc-{identifier(LOWER_CASE, _ID_LENGTH)}"
    arn = f"arn:aws:lambda:{get_region()}:{get_account_id()}:code-signing-config:{name}"
    config: Config = {"CodeSigningConfigId": name, "CodeSigningConfigArn": arn, "Description": ""}
    config["CodeSigningPolicies"] = {"UntrustedArtifactOnDeployment": "Warn"}
    _change(config, request)
    _configs[arn] = config
    _tags[arn] = dict(request.get("Tags") or {})
    return config


def _change(config: Config, request: Mapping[str, Any]) -> None:
    for name in ("Description", "AllowedPublishers", "CodeSigningPolicies"):
        if request.get(name) is not None:
            config[name] = json.loads(json.dumps(request[name]))
    config["LastModified"] = lambda_svc._now_iso()


# --- CloudFormation

_TYPE = new_resource("AWS::Lambda::CodeSigningConfig", stack_tags=True)


@_TYPE.create
def _create_resource(logical_id: str, properties: Properties, stack: str) -> Created:
    config = _create(_request_of(properties))
    return config["CodeSigningConfigArn"], _attributes(config)


@_TYPE.update
def _update_resource(
    physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    config = _configs[physical_id]
    request = _request_of(new)
    _change(config, {"Description": "", **request})
    _tags[physical_id] = request["Tags"]
    return physical_id, _attributes(config)


@_TYPE.delete
def _delete_resource(physical_id: str, properties: Properties) -> None:
    if find(physical_id) and (refused := _delete(physical_id))[0] >= 400:
        raise ValueError(json.loads(refused[2])["message"])


def _request_of(properties: Properties) -> dict[str, Any]:
    names = ("Description", "AllowedPublishers", "CodeSigningPolicies")
    tags = {tag["Key"]: tag["Value"] for tag in properties.get("Tags") or []}
    return {**{name: properties[name] for name in names if name in properties}, "Tags": tags}


def _attributes(config: Config) -> dict[str, Any]:
    return {name: config[name] for name in ("CodeSigningConfigArn", "CodeSigningConfigId")}
