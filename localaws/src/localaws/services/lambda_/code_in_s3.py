"""Code in a bucket, also of another account: who may read it, and which version of it.

The emulator looks for the bucket in the function's own account, and reads for any caller.

Faithful to: the caller of CreateFunction, UpdateFunctionCode or PublishLayerVersion, and for CloudFormation
the principal that deploys the stack, needs `s3:GetObject`, or `s3:GetObjectVersion` with an object version.
For a bucket of another account both its policy and the identity policy have to allow it. An object that does
not exist is reported as such only to who may list the bucket. A bucket in another Region, a version that does
not exist and a delete marker are refused. The function's role needs nothing.
Not to: permissions on the KMS key of an object; ACLs of objects; layers in templates, which the emulator
reads by itself, in the account of the stack.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-lambda-function-code.html
https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-deployment.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import error_response_json, get_account_id, get_region, request_scope
from ministack.core.router import extract_access_key_id
from ministack.services import lambda_svc, s3

from localaws.patching import Created, Handler, Properties, around, resource
from localaws.refusals import Refusal
from localaws.services.iam.deployments import Deployer, deployer_of
from localaws.services.iam.roles import iam_is_enforced

_READS = re.compile(
    r"(POST /2015-03-31/functions|PUT /2015-03-31/functions/[^/]+/code|POST \S+/layers/\S+)/?"
)
_REDIRECT = (
    "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all "
    "future requests to this endpoint."
)
_across_accounts: ContextVar[bool] = ContextVar("_across_accounts", default=False)


# --- Requests and resources that name code


_OUTERMOST = [
    "iam.functions",
    "lambda_.cross_account",
    "lambda_.environment_encryption",
    "lambda_.event_invoke_configs",
    "lambda_.layers",
    "lambda_.payloads",
    "lambda_.resource_policies",
]


@around(lambda_svc, "handle_request", after=_OUTERMOST)
async def _handle_request(
    stock: Callable[..., Awaitable[Any]],
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query_params: Any,
) -> Any:
    if _READS.fullmatch(f"{method} {path}"):
        caller = Deployer(None, extract_access_key_id(headers, query_params))
        if refused := _refused(_code_of(body), caller):
            return error_response_json(*refused)
    return await stock(method, path, headers, body, query_params)


def _code_of(body: bytes) -> Mapping[str, Any]:
    try:
        request = json.loads(body)
        return dict(request.get("Code") or request.get("Content") or request)
    except (ValueError, AttributeError, TypeError):
        return {}


_FUNCTION = resource(
    "AWS::Lambda::Function",
    after=[
        "iam.deployments",
        "iam.functions",
        "lambda_.code_signing",
        "lambda_.fifo_destinations",
        "lambda_.function_limits",
        "lambda_.images",
        "lambda_.layers",
        "lambda_.properties",
    ],
)


@_FUNCTION.create
def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    _require(properties.get("Code"), stack)
    return stock(logical_id, properties, stack)


@_FUNCTION.update
def _update(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    if old.get("Code") != new.get("Code"):
        _require(new.get("Code"), stack)
    return stock(physical_id, old, new, stack, logical_id)


def _require(code: Any, stack: str) -> None:
    if refused := _refused(code or {}, deployer_of(stack)):
        raise ValueError(refused.text)


# --- What Lambda answers


def _refused(code: Mapping[str, Any], caller: Deployer | None) -> Refusal | None:
    bucket, key, version = (code.get(name) for name in ("S3Bucket", "S3Key", "S3ObjectVersion"))
    if not isinstance(bucket, str) or not isinstance(key, str):
        return None
    operation = "GetObjectVersion" if version else "GetObject"
    owner = s3._bucket_owner_account(bucket)
    if owner is None:
        return _error(operation, "NoSuchBucket", "The specified bucket does not exist")
    with request_scope(owner, get_region()):
        home, missing = s3.bucket_region(bucket), _missing(bucket, key, version)
    if home != get_region():
        return _error(operation, "PermanentRedirect", _REDIRECT)
    arn = f"arn:aws:s3:::{bucket}"
    if not _may(caller, f"s3:{operation}", f"{arn}/{key}") or (
        missing is not None and missing[0].startswith("NoSuchKey") and not _may(caller, "s3:ListBucket", arn)
    ):
        text = (
            "Your access has been denied by S3, please make sure your request credentials have permission to "
            f"{operation} for {bucket}/{key}. S3 Error Code: AccessDenied. S3 Error Message: Access Denied"
        )
        return Refusal("AccessDeniedException", text, 403)
    return _error(operation, *missing) if missing else None


def _error(operation: str, code: str, text: str) -> Refusal:
    about = f"Error occurred while {operation}. S3 Error Code: {code}. S3 Error Message: {text}"
    return Refusal("InvalidParameterValueException", about)


def _missing(bucket: str, key: str, version: Any) -> tuple[str, str] | None:
    """Code and text of S3's error if there is no such object; None if there is one."""
    if not _is_version(bucket, key, version):
        if key in s3._buckets[bucket]["objects"]:
            return None
        return "NoSuchKey", "The specified key does not exist."
    for one in s3._object_versions.get((bucket, key), []):
        if one["version_id"] == version:
            if one.get("is_delete_marker"):
                return "MethodNotAllowed", "The specified method is not allowed against this resource."
            return None
    return "NoSuchVersion", "The specified version does not exist."


def _is_version(bucket: str, key: str, version: Any) -> bool:
    """Whether a version is one that S3 has recorded: `null` is also any object without versions."""
    return bool(version) and (version != "null" or bool(s3._object_versions.get((bucket, key))))


def _may(caller: Deployer | None, action: str, resource_arn: str) -> bool:
    if caller is None or not iam_is_enforced():
        return True
    with _policies_of_other_accounts():
        return caller.denied(action, resource_arn) is None and _owner_admits_root(
            caller, action, resource_arn
        )


def _owner_admits_root(caller: Deployer, action: str, resource_arn: str) -> bool:
    """The evaluator allows the root of an account everything, other accounts' buckets included."""
    account = get_account_id()
    policy, owner = s3.bucket_policy_for_arn(resource_arn) or ("", account)
    if caller.role or owner == account:
        return True
    principal = iam_evaluator.resolve_principal(caller.access_key, account)
    if isinstance(principal, iam_evaluator.AuthError) or principal.policies is not None:
        return True
    request = iam_evaluator.EvalContext(
        principal_arn=principal.arn,
        principal_type=principal.type,
        principal_account=principal.account,
        action=action,
        resource_arn=resource_arn,
        region=get_region(),
        secure_transport=True,
    )
    return bool(iam_evaluator.evaluate_resource_policy(policy, request).decision == "Allow")


# --- The emulator's own look-ups


@around(lambda_svc, "s3_code_region_message")
def _region_message(stock: Callable[..., str | None], bucket: str, layer: bool = False) -> str | None:
    with request_scope(s3._bucket_owner_account(bucket) or get_account_id(), get_region()):
        return stock(bucket, layer)


@around(lambda_svc, "_fetch_code_from_s3")
def _fetch(
    stock: Callable[..., bytes | None], bucket: str, key: str, version_id: str | None = None
) -> bytes | None:
    with request_scope(s3._bucket_owner_account(bucket) or get_account_id(), get_region()):
        return stock(bucket, key, version_id if _is_version(bucket, key, version_id) else None)


@contextmanager
def _policies_of_other_accounts() -> Iterator[None]:
    """Let the evaluator find the policies of buckets of other accounts, which S3 asks for elsewhere."""
    token = _across_accounts.set(True)
    try:
        yield
    finally:
        _across_accounts.reset(token)


@around(s3, "bucket_policy_for_arn")
def _bucket_policy(
    stock: Callable[[str], tuple[str, str] | None], resource_arn: str
) -> tuple[str, str] | None:
    bucket = resource_arn.removeprefix("arn:aws:s3:::").partition("/")[0]
    owner = s3._bucket_owner_account(bucket) if _across_accounts.get() else None
    if owner is None:
        return stock(resource_arn)
    return s3._bucket_policies.get_scoped(owner, None, bucket) or "", owner
