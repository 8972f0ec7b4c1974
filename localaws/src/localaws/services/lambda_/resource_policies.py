"""`PutResourcePolicy` and `AWS::Lambda::ResourcePolicy`: a function's resource-based policy as one document.

The emulator knows only `AddPermission`, whose statements cannot have `aws:SourceIp`, and takes
`alexa-appkit.amazon.com` for a user.

Faithful to: the document replaces the policy of the function, version or alias that the ARN names, also what
`AddPermission` wrote, and has any principal, action and condition. Alexa is a service. A policy over 20 KB is
refused. A document that is no JSON, has no statement, or has another resource is refused, and so is a
revision that is not the present one.
Not to: layers; the text of refusals; the check that the document does not admit everybody.

https://docs.aws.amazon.com/lambda/latest/api/API_PutResourcePolicy.html
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-lambda-resourcepolicy.html
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

from ministack.core.responses import error_response_json, get_account_id, get_region, json_response
from ministack.services import lambda_svc

from localaws.patching import Created, Properties, around, new_resource
from localaws.services.lambda_.references import FunctionReference

Response = tuple[int, dict[str, Any], bytes]

_LONGEST = 20_480  # bytes
_PATH = "/2026-07-09/resource-policy/"


class _RefusedError(Exception):
    """The code, message and status of an error."""


@around(
    lambda_svc,
    "handle_request",
    after=["iam.functions", "lambda_.event_invoke_configs", "lambda_.cross_account", "lambda_.payloads"],
)
async def _handle_request(
    stock: Callable[..., Awaitable[Response]],
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query_params: Any,
) -> Response:
    if not path.startswith(_PATH):
        return await stock(method, path, headers, body, query_params)
    arn = unquote(path.removeprefix(_PATH))
    try:
        answer: Response = json_response(_changed(method, arn, json.loads(body or b"{}"), query_params))
    except _RefusedError as refused:
        answer = error_response_json(*refused.args)
    return (204, {}, b"") if method == "DELETE" and answer[0] == 200 else answer


@around(lambda_svc, "_add_permission")
def _add_permission(
    stock: Callable[..., Response],
    func_name: str,
    data: Properties,
    query_params: Any = None,
    path_qualifier: str | None = None,
) -> Response:
    response = stock(func_name, data, query_params, path_qualifier)
    if response[0] >= 400:
        return response
    statements: list[Properties] = lambda_svc._functions[func_name]["policy"]["Statement"]
    principal = data.get("Principal", "")
    if principal.endswith(".amazon.com"):  # the emulator knows the services of amazonaws.com
        statements[-1]["Principal"] = {"Service": principal}
        answer: Properties = {"Statement": json.dumps(statements[-1])}
        response = json_response(answer, response[0])
    try:
        _check_size([one for one in statements if _resource(one) == _resource(statements[-1])])
    except _RefusedError as refused:
        statements.pop()
        return error_response_json(*refused.args)  # type: ignore[no-any-return]
    return response


def _check_size(statements: list[Properties]) -> None:
    document = {"Version": "2012-10-17", "Id": "default", "Statement": statements}
    size = len(json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode())
    if size > _LONGEST:
        message = f"The final policy size ({size}) is bigger than the limit ({_LONGEST})."
        raise _RefusedError("PolicyLengthExceededException", message, 400)


def _changed(method: str, arn: str, request: Properties, query_params: Any) -> Properties:
    statements = _policy(arn)["Statement"]
    own = [one for one in statements if _resource(one) == arn]
    revision = request.get("RevisionId") or lambda_svc._qp_first(query_params, "RevisionId")
    if revision and revision != _revision(own):
        raise _RefusedError("PreconditionFailedException", "The Revision Id provided does not match.", 412)
    if method == "PUT":
        new = _parsed(request.get("Policy"), arn)
        _check_size(new)
    elif own:
        new = own if method == "GET" else []
    else:
        message = "No policy is associated with the given resource."
        raise _RefusedError("ResourceNotFoundException", message, 404)
    statements[:] = [*(one for one in statements if one not in own), *new]
    document = json.dumps({"Version": "2012-10-17", "Statement": new})
    return {"Policy": document, "RevisionId": _revision(new)}


def _policy(arn: str) -> Properties:
    """The emulator's record of the statements for a function, its versions and aliases."""
    named = FunctionReference.parse(arn)
    if named is None or not named.account:
        pattern = f"Value '{arn}' at 'resourceArn' failed to satisfy constraint: Member must be an ARN"
        raise _RefusedError("ValidationException", f"1 validation error detected: {pattern}", 400)
    here = (named.account, named.region) == (get_account_id(), get_region())
    function = lambda_svc._functions.get(named.name) if here else None
    if function is None or lambda_svc._validate_function_qualifier_exists(
        named.name, named.qualifier or None
    ):
        raise _RefusedError("ResourceNotFoundException", f"Function not found: {arn}", 404)
    policy: Properties = function["policy"]
    return policy


def _parsed(document: Any, arn: str) -> list[Properties]:
    try:
        statements = json.loads(document)["Statement"]
    except (KeyError, TypeError, ValueError):
        statements = []
    found: list[Properties] = statements if isinstance(statements, list) else [statements]
    if not found or any(_resource(one) != arn for one in found):
        message = f"The policy must be a JSON document whose statements have the resource {arn}."
        raise _RefusedError("InvalidParameterValueException", message, 400)
    return [{"Sid": f"statement-{number}", **one} for number, one in enumerate(found)]


def _resource(statement: Properties) -> Any:
    resource = statement.get("Resource")
    return resource[0] if isinstance(resource, list) and len(resource) == 1 else resource


def _revision(statements: list[Properties]) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(statements, sort_keys=True)))


_RESOURCE = new_resource("AWS::Lambda::ResourcePolicy", replaced_by=("ResourceArn",))


@_RESOURCE.create
def _create(logical_id: str, properties: Properties, stack: str) -> Created:
    return _put(properties)


@_RESOURCE.update
def _update(physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str) -> Created:
    return _put(new)


@_RESOURCE.delete
def _delete(physical_id: str, properties: Properties) -> None:
    with suppress(_RefusedError):  # the function is deleted already, and its policy with it
        _changed("DELETE", physical_id, {}, {})


def _put(properties: Properties) -> Created:
    arn, document = properties["ResourceArn"], properties["PolicyDocument"]
    text = document if isinstance(document, str) else json.dumps(document)
    try:
        changed = _changed("PUT", arn, {"Policy": text}, {})
    except _RefusedError as refused:
        raise ValueError(f"AWS::Lambda::ResourcePolicy: {refused.args[1]}") from None
    return arn, {"RevisionId": changed["RevisionId"]}
