"""Layers: what Lambda refuses of those of a function, and layers that are named by their ARN.

The emulator accepts any number of layers, several versions of one, and layers that the caller may not read,
and it takes an ARN for the name of a layer of this account.

Faithful to: at most five layers, one version of each, and 250 MB with the function's code, unzipped, through
the API and in CloudFormation; `lambda:GetLayerVersion`, which a caller of the API needs for each layer of a
function; permissions for a version of a layer; operations that name a layer by its ARN, of which all but
`GetLayerVersion` are refused to another account. What Lambda refuses to publish uses up no version number.
Not to: the permission of a deployment, as of all that CloudFormation does for its caller; the 75 GB of an
account.

https://docs.aws.amazon.com/lambda/latest/dg/adding-layers.html
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
https://docs.aws.amazon.com/lambda/latest/dg/permissions-layer-cross-account.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import unquote

from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import error_response_json, get_account_id, get_region, new_uuid
from ministack.core.router import extract_access_key_id
from ministack.services import lambda_svc

from localaws.patching import Created, Handler, Properties, around, replaces, resource
from localaws.services.iam.resources import Request, resource_of
from localaws.services.iam.roles import iam_is_enforced

_MOST, _MAX_BYTES = 5, 262_144_000
_INVALID = "InvalidParameterValueException"
_NAMED_BY_ARN = re.compile(r"(/\d{4}-\d\d-\d\d/layers/)(arn:[^/]+:layer:([^/:]+))(/.*)")
_VERSION = re.compile(r"/layers/([^/]+)/versions(?:/(\d+))?")
_FUNCTION = re.compile(r"/2015-03-31/functions(/[^/]+/configuration)?/?")


@around(lambda_svc, "_normalize_layer_attachments")
def _normalize(stock: Callable[..., Any], layers: list[Any] | None) -> Any:
    arns = [layer if isinstance(layer, str) else str((layer or {}).get("Arn")) for layer in layers or []]
    if len(arns) > _MOST:
        return None, error_response_json(_INVALID, f"Cannot reference more than {_MOST} layers.", 400)
    for number, arn in enumerate(arns):
        for other in arns[:number]:
            if arn.rpartition(":")[0] == other.rpartition(":")[0]:
                return None, error_response_json(
                    _INVALID,
                    "Two different versions of the same layer are not allowed to be referenced in the same "
                    f"function. {other} and {arn} are versions of the same layer.",
                    400,
                )
    return stock(layers)


@replaces(lambda_svc, "_validate_total_unzipped_size")
def _validate_total_unzipped_size(code_zip: bytes | None, layers: list[Any] | None) -> Any:
    of_layers = sum(lambda_svc._layer_unzipped_size(layer) for layer in layers or [] if layer)
    total = lambda_svc._unzipped_size(code_zip) + of_layers
    if total <= _MAX_BYTES:
        return None
    if of_layers:
        text = (
            f"Function code combined with layers exceeds the maximum allowed size of {_MAX_BYTES} bytes. "
            f"The actual size is {total} bytes."
        )
    else:
        text = f"Unzipped size must be smaller than {_MAX_BYTES} bytes"
    return error_response_json(_INVALID, text, 400)


@around(lambda_svc, "_publish_layer_version")
def _publish_layer_version(stock: Callable[[str, Properties], Any], layer_name: str, data: Properties) -> Any:
    before = lambda_svc._layers.get(layer_name)
    version = before["next_version"] if before else None
    answer = stock(layer_name, data)
    if answer[0] >= 400 and layer_name in lambda_svc._layers:
        if version is None:
            del lambda_svc._layers[layer_name]
        else:
            lambda_svc._layers[layer_name]["next_version"] = version
    return answer


# --- Requests


@resource_of("lambda")
def _version(request: Request) -> str | None:
    """The version of a layer that a request is about; the emulator asks for the permission on the layer."""
    named = _VERSION.search(unquote(request.path))
    if named is None:
        return None
    layer, version = named.groups()
    place = f"arn:aws:lambda:{request.region}:{request.account}"
    arn = layer if layer.startswith("arn:") else f"{place}:layer:{layer}"
    return f"{arn}:{version}" if version else arn


@around(
    lambda_svc,
    "handle_request",
    after=["iam.functions", "lambda_.event_invoke_configs", "lambda_.resource_policies"],
)
async def _handle_request(
    stock: Callable[..., Awaitable[Any]],
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query_params: Any,
) -> Any:
    if named := _NAMED_BY_ARN.fullmatch(unquote(path)):
        start, arn, name, end = named.groups()
        account, reads = arn.split(":")[4], method == "GET" and re.fullmatch(r"/versions/\d+", end)
        if account == get_account_id():
            path = f"{start}{name}{end}"
        elif not reads:
            text = f"The caller is not authorized to perform this operation on the layer {arn}"
            return error_response_json("AccessDeniedException", text, 403)
    elif method in ("POST", "PUT") and _FUNCTION.fullmatch(path) and iam_is_enforced():
        for arn in _layers_of(body):
            if refused := _may_not_read(arn, headers, query_params):
                return refused
    return await stock(method, path, headers, body, query_params)


def _layers_of(body: bytes) -> Iterator[str]:
    """The layers of this account in a request that makes or changes a function."""
    try:
        layers = json.loads(body or b"{}").get("Layers") or []
    except (ValueError, AttributeError):
        return
    for arn in layers:
        if isinstance(arn, str) and arn.split(":")[4:5] == [get_account_id()]:
            yield arn


def _may_not_read(arn: str, headers: dict[str, str], query: Any) -> Any:
    action = "lambda:GetLayerVersion"
    denied = iam_evaluator.enforce(
        extract_access_key_id(headers, query), action, "lambda", get_region(), resource_arn=arn
    )
    if not isinstance(denied, iam_evaluator.EvalResult):
        return None
    text = (
        f"User: {denied.principal_arn} is not authorized to perform: {action} on resource: {arn} because no "
        f"identity-based policy allows the {action} action"
    )
    return iam_actions.access_denied_response(
        "lambda", action, denied.principal_arn, new_uuid(), headers=headers, message=text
    )


# --- CloudFormation


@resource("AWS::Lambda::Function", after=["lambda_.function_limits"]).create
def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    """Refuse a new function that is too large; the emulator looks at the size only in the API."""
    code = properties.get("Code") or {}
    archive = None
    if code.get("S3Bucket") and code.get("S3Key"):
        archive = lambda_svc._fetch_code_from_s3(
            code["S3Bucket"], code["S3Key"], version_id=code.get("S3ObjectVersion")
        )
    if refused := _validate_total_unzipped_size(archive, properties.get("Layers")):
        raise ValueError(_said(refused))
    return stock(logical_id, properties, stack)


@resource("AWS::Lambda::LayerVersion").create
def _create_layer(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    content = properties.get("Content") or {}
    archive = lambda_svc._fetch_code_from_s3(
        content.get("S3Bucket", ""), content.get("S3Key", ""), version_id=content.get("S3ObjectVersion")
    )
    if refused := lambda_svc._reject_unreadable_zip(archive) or lambda_svc._validate_unzipped_size(archive):
        raise ValueError(_said(refused))
    return stock(logical_id, properties, stack)


def _said(refused: Any) -> str:
    text = json.loads(refused[2])["message"]
    return f'Resource handler returned message: "{text} (Service: Lambda, Status Code: 400)"'
