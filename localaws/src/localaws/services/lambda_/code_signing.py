"""Checks of the signatures of code and layers when they are deployed to a function.

The emulator deploys any code, whatever the function's code signing configuration says.

Faithful to: with a configuration, the code of a new function, new code, and layers that a function gets are
checked. Integrity first: code that was changed after it was signed is never deployed. Then mismatch (no
signature, or a signing profile that the configuration does not list), expiry and revocation: `Enforce`
refuses the deployment, `Warn` allows it, and both count it in the metric `SignatureValidationErrors`. What a
function runs is not checked again. Its configuration shows profile and job of the signature. Signatures
expire at the pace of documented minutes (see `localaws.pace`).
Not to: CloudTrail; the condition key `lambda:CodeSigningConfigArn`; profile and job of layers; the words of
`InvalidCodeSignatureException`, of which the API reference has only the meaning.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-codesigning.html
https://docs.aws.amazon.com/lambda/latest/api/API_CodeSigningPolicies.html
https://docs.aws.amazon.com/lambda/latest/api/API_UpdateFunctionCode.html
https://github.com/aws/aws-cdk/issues/29474
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import lambda_svc
from ministack.services.cloudformation import provisioners

from localaws import pace
from localaws.patching import Created, Handler, Properties, around, resource
from localaws.refusals import Refusal
from localaws.services.lambda_ import code_signing_configs
from localaws.services.lambda_.metrics import put_metric
from localaws.services.signer.revocation import is_revoked
from localaws.services.signer.signatures import Claims, TamperedError, claims_of

Answer = tuple[int, dict[str, str], bytes]

_SHOWN = ("SigningProfileVersionArn", "SigningJobArn")
_AFTER = ["iam.functions", "lambda_.environment_encryption", "lambda_.fifo_destinations"]
_AFTER += ["lambda_.function_limits", "lambda_.images"]


def _refusal(config: str | None, function: str, archives: Iterable[bytes | None]) -> Refusal | None:
    """Why Lambda does not deploy the archives to a function; None if it does."""
    found = code_signing_configs.find(config)
    if found is None:
        return None
    try:
        is_trusted = all(_is_trusted(claims_of(archive), found) for archive in archives)
    except TamperedError:
        text = f"The code signature failed the integrity check. Check the provided signature for {function}."
        return Refusal("InvalidCodeSignatureException", text)
    if is_trusted:
        return None
    put_metric(lambda_svc._func_arn(function), "SignatureValidationErrors", 1)
    if found["CodeSigningPolicies"]["UntrustedArtifactOnDeployment"] != "Enforce":
        return None
    return Refusal(
        "CodeVerificationFailedException",
        "Lambda cannot deploy the function. The function or layer might be signed using a signature that the "
        f"client is not configured to accept. Check the provided signature for {function}.",
    )


def _is_trusted(claims: Claims | None, config: Mapping[str, Any]) -> bool:
    if (
        claims is None
        or claims.profile_version_arn not in config["AllowedPublishers"]["SigningProfileVersionArns"]
    ):
        return False
    validity = pace.shortened(claims.expires_at - claims.signed_at)
    return time.time() < claims.signed_at + validity and not is_revoked(claims)


def _archive(code: Mapping[str, Any]) -> bytes | None:
    """The archive of a request; None if there is none, which the emulator says."""
    if "ZipFile" in code:
        try:
            return base64.b64decode(code["ZipFile"])
        except (binascii.Error, TypeError, ValueError):
            return None
    if not code.get("S3Bucket") or not code.get("S3Key"):
        return None
    found: bytes | None = lambda_svc._fetch_code_from_s3(
        code["S3Bucket"], code["S3Key"], version_id=code.get("S3ObjectVersion")
    )
    return found


def _layers(wanted: Iterable[Any] | None, present: Iterable[Any] = ()) -> list[bytes | None]:
    """The archives of layers that a function does not have yet."""
    had = {_arn(layer) for layer in present}
    return [lambda_svc._resolve_layer_zip(_arn(one)) for one in wanted or () if _arn(one) not in had]


def _arn(layer: Any) -> str:
    return str(layer if isinstance(layer, str) else (layer or {}).get("Arn"))


def _show(function: Mapping[str, Any], archive: bytes | None) -> dict[str, str]:
    """Show the signature of the code in the function's configuration, and return what is shown."""
    claims = (
        claims_of(archive) if code_signing_configs.find(function.get("code_signing_config_arn")) else None
    )
    shown = dict(zip(_SHOWN, (claims.profile_version_arn, claims.job_arn), strict=True)) if claims else {}
    versions = function["versions"].values()
    sha = function["config"]["CodeSha256"]
    for record in (function, *(one for one in versions if one["config"]["CodeSha256"] == sha)):
        for name in _SHOWN:
            record["config"].pop(name, None)
        record["config"].update(shown)
    return shown


# --- The API


@around(lambda_svc, "_create_function", after=_AFTER)
def _create_function(stock: Callable[[Properties], Answer], data: Properties) -> Answer:
    name, config = str(data.get("FunctionName")), data.get("CodeSigningConfigArn")
    archive = _archive(data.get("Code") or {})
    is_new = name not in lambda_svc._functions
    refused = _refusal(config, name, [archive, *_layers(data.get("Layers"))]) if is_new else None
    answer = _error(refused) if refused else stock(data)
    if answer[0] >= 400 or not config:
        return answer
    function = lambda_svc._functions[name]
    function["code_signing_config_arn"] = config
    return _with(answer, _show(function, archive))


@around(lambda_svc, "_update_code", after=["lambda_.images"])
def _update_code(stock: Callable[[str, Properties], Answer], name: str, data: Properties) -> Answer:
    function = lambda_svc._functions.get(name)
    config = (function or {}).get("code_signing_config_arn")
    if function is None or function["config"].get("PackageType") == "Image":
        return stock(name, data)
    archive = _archive(data)
    if refused := _refusal(config, name, [archive]):
        return _error(refused)
    answer = stock(name, data)
    return answer if answer[0] >= 400 else _with(answer, _show(function, archive))


@around(lambda_svc, "_update_config", after=_AFTER)
def _update_config(stock: Callable[[str, Properties], Answer], name: str, data: Properties) -> Answer:
    function = lambda_svc._functions.get(name)
    if function is not None and data.get("Layers"):
        added = _layers(data["Layers"], function["config"].get("Layers") or ())
        if refused := _refusal(function.get("code_signing_config_arn"), name, added):
            return _error(refused)
    return stock(name, data)


def _error(refused: Refusal) -> Answer:
    answer: Answer = error_response_json(*refused)
    return answer


def _with(answer: Answer, shown: Mapping[str, str]) -> Answer:
    status, headers, body = answer
    return (status, headers, json.dumps({**json.loads(body), **shown}).encode()) if shown else answer


# --- CloudFormation

_FUNCTION = resource(
    "AWS::Lambda::Function",
    after=[
        "iam.deployments",
        "iam.functions",
        "lambda_.fifo_destinations",
        "lambda_.function_limits",
        "lambda_.images",
        "lambda_.layers",
        "lambda_.properties",
    ],
)


@_FUNCTION.create
def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    config = properties.get("CodeSigningConfigArn")
    if not config:
        return stock(logical_id, properties, stack)
    archive = _archive_of(properties)
    name = properties.get("FunctionName") or provisioners._physical_name(stack, logical_id, max_len=64)
    _require(_refusal(config, name, [archive, *_layers(properties.get("Layers"))]))
    name, attributes = stock(logical_id, properties, stack)
    _show(lambda_svc._functions[name], archive)
    return name, attributes


@_FUNCTION.update
def _update(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    """A changed configuration comes first, and is what new code is checked by."""
    function = lambda_svc._functions.get(physical_id)
    before = (function or {}).get("code_signing_config_arn")
    if function is not None:
        function["code_signing_config_arn"] = new.get("CodeSigningConfigArn") or ""
    try:
        name, attributes = stock(physical_id, old, new, stack, logical_id)
    except Exception:
        if function is not None:
            function["code_signing_config_arn"] = before
        raise
    return name, attributes


def _archive_of(properties: Properties) -> bytes | None:
    code = properties.get("Code") or {}
    return None if "ZipFile" in code else _archive(code)


def _require(refused: Refusal | None) -> None:
    if refused is not None:
        said = f"{refused.text} (Service: Lambda, Status Code: {refused.status})"
        raise ValueError(f'Resource handler returned message: "{said}" (HandlerErrorCode: InvalidRequest)')
