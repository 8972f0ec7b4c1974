"""Functions from container images: the image is found, allowed and resolved to its digest at deployment.

The emulator takes any `ImageUri`, and says that it is the resolved one.

Faithful to: the image exists in ECR in the function's Region when a function is created or its code updated,
and is for one platform; `ResolvedImageUri` and `CodeSha256` have its digest, so that pushing the tag again
changes no function; Lambda may pull it by the policy of the repository, with the ARN of the function as
`aws:sourceArn`. Within an account Lambda adds its statement to that policy if there is none; from another
account, the policy must allow that account, too. No layers, handler, runtime or code signing; a function
stays a zip file or an image, and its code is in one place.
Not to: the time in which Lambda optimises an image. Whether the caller may change the policy of the
repository is asked of API calls, not of deployments. Lambda fetches an image again from time to time, and the
function fails when it has gone or the permission has: here it runs on. Sizes have no limit.

https://docs.aws.amazon.com/lambda/latest/dg/images-create.html
https://docs.aws.amazon.com/lambda/latest/dg/invocation-images.html
https://docs.aws.amazon.com/lambda/latest/api/API_FunctionCodeLocation.html
https://www.repost.aws/knowledge-center/lambda-ecr-image
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import error_response_json, get_account_id, get_region, request_scope
from ministack.services import ecr, lambda_svc

from localaws.engines import container_images
from localaws.patching import Created, Handler, Properties, around, resource
from localaws.refusals import Parameters, Refusal, refuses
from localaws.services.ecr.images import is_index, manifest_of
from localaws.services.iam.invocations import service_may
from localaws.services.iam.roles import iam_is_enforced

Response = tuple[int, dict[str, Any], bytes]

_URI = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/(?P<repository>[a-z0-9._/-]+)"
    r"(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_PULL = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
_SID, _LAMBDA = "LambdaECRImageRetrievalPolicy", "lambda.amazonaws.com"
_ONLY_FOR_ZIP = ("Handler", "Layers", "Runtime")


@dataclass(frozen=True)
class _Source:
    """An image in a repository."""

    account: str
    region: str
    repository: str
    tag: str | None
    digest: str | None

    @property
    def arn(self) -> str:
        return f"arn:aws:ecr:{self.region}:{self.account}:repository/{self.repository}"


def _invalid(text: str) -> Refusal:
    return Refusal("InvalidParameterValueException", text)


def _denied() -> Refusal:
    text = "Lambda does not have permission to access the ECR image. Check the ECR permissions."
    return Refusal("AccessDeniedException", text, 403)


def _pull(uri: str, function: str, access_key: str | None) -> str | Refusal:
    """Fetch the image of a function, and return its digest.

    Args:
        uri: The `ImageUri`.
        function: The ARN of the function.
        access_key: That of the caller, who must be allowed to change the policy; None in a deployment.
    """
    found = _URI.fullmatch(uri)
    source = _Source(**found.groupdict()) if found else None
    if source is None or not (source.tag or source.digest) or source.region != get_region():
        return _invalid(f"Source image {uri} is not valid. Provide a valid source image.")
    own = source.account == get_account_id()
    caller = get_account_id()
    with request_scope(source.account, source.region):
        if source.repository not in ecr._repositories:
            return _missing(uri) if own else _denied()
        if not _may_pull(source, function, caller) and not (
            own and _allow(source, function, caller, access_key)
        ):
            return _denied()
        wanted = {"imageDigest": source.digest} if source.digest else {"imageTag": source.tag}
        image = ecr._find_image(source.repository, wanted)
        if image is None:
            return _missing(uri)
        layers = ecr._layer_blobs.get(source.repository) or {}
        try:
            if is_index(image):
                raise ValueError("an index of several images")
            container_images.unpack(image["imageDigest"], manifest_of(image), layers)
        except (ValueError, LookupError, tarfile.TarError, OSError):
            what = "The image manifest, config or layer media type for the source image"
            return _invalid(f"{what} {uri} is not supported.")
    return str(image["imageDigest"])


def _error(refusal: Refusal) -> Response:
    answer: Response = error_response_json(*refusal)
    return answer


def _missing(uri: str) -> Refusal:
    return _invalid(f"Source image {uri} does not exist. Provide a valid source image.")


def _may_pull(source: _Source, function: str, caller: str) -> bool:
    if not iam_is_enforced():
        return True
    policy = ecr._repo_policies.get(source.repository)
    if not policy:
        return False
    allowed = all(service_may(policy, action, source.arn, _LAMBDA, function, caller) for action in _PULL)
    if source.account == caller:
        return allowed
    request = [
        iam_evaluator.EvalContext(
            principal_arn=f"arn:aws:iam::{caller}:root",
            principal_type="Root",
            principal_account=caller,
            action=action,
            resource_arn=source.arn,
            region=source.region,
        )
        for action in _PULL
    ]
    return allowed and all(
        iam_evaluator.evaluate_resource_policy(policy, one).decision == "Allow" for one in request
    )


def _allow(source: _Source, function: str, caller: str, access_key: str | None) -> bool:
    """Add the statement that lets Lambda pull, as Lambda does for a caller who may; whether it was enough."""
    for action in ("ecr:GetRepositoryPolicy", "ecr:SetRepositoryPolicy"):
        if access_key and iam_evaluator.enforce(access_key, action, "ecr", source.region, source.arn):
            return False
    policy = json.loads(
        ecr._repo_policies.get(source.repository) or '{"Version": "2008-10-17", "Statement": []}'
    )
    if any(one.get("Sid") == _SID for one in policy["Statement"]):
        return False
    functions = f"arn:aws:lambda:{source.region}:{source.account}:function:*"
    added = {
        "Sid": _SID,
        "Effect": "Allow",
        "Principal": {"Service": _LAMBDA},
        "Action": list(_PULL),
        "Condition": {"StringLike": {"aws:sourceArn": functions}},
    }
    policy["Statement"].append(added)
    changed = json.dumps(policy)
    before = ecr._repo_policies.get(source.repository)
    ecr._repo_policies[source.repository] = changed
    if _may_pull(source, function, caller):
        return True
    ecr._repo_policies[source.repository] = before  # a Deny: nothing is gained
    return False


# --- Requests and templates


@refuses("lambda", "CreateFunction", "UpdateFunctionCode")
def _one_place(request: Parameters) -> Refusal | None:
    code = request.get("Code") or request  # an update has its members at the top
    if "ZipFile" in code and any(code.get(name) for name in ("ImageUri", "S3Bucket", "S3Key")):
        return _invalid("Please do not provide other FunctionCode parameters when providing a ZipFile.")
    return None


@refuses("lambda", "CreateFunction")
def _package(function: Parameters) -> Refusal | None:
    code = function.get("Code") or {}
    if function.get("PackageType", "Zip") != "Image":
        if "ImageUri" in code:
            return _invalid("PackageType must be Image when an ImageUri is provided.")
        return None
    if "ImageUri" not in code:
        return _invalid("ImageUri is mandatory for functions created with container images.")
    for name in (*_ONLY_FOR_ZIP, "CodeSigningConfigArn"):
        if function.get(name):
            return _invalid(_NOT_SUPPORTED[name])
    return None


_RUNTIME = "The Runtime and Handler parameters are not supported for functions created with container images."
_NOT_SUPPORTED = {
    "CodeSigningConfigArn": "Code signing is not supported for functions created with container images.",
    "Handler": _RUNTIME,
    "Layers": "Lambda layers are not supported for functions created with container images.",
    "Runtime": _RUNTIME,
}


@refuses("lambda", "UpdateFunctionConfiguration")
def _configuration(request: Parameters) -> Refusal | None:
    function = lambda_svc._functions.get(str(request.get("FunctionName")).split(":")[-1])
    if function is None or function["config"].get("PackageType") != "Image":
        return None
    return next((_invalid(_NOT_SUPPORTED[name]) for name in _ONLY_FOR_ZIP if request.get(name)), None)


@around(
    lambda_svc,
    "_create_function",
    after=["iam.functions", "lambda_.fifo_destinations", "lambda_.function_limits"],
)
def _create_function(
    stock: Callable[..., Response], data: dict[str, Any], *args: Any, **kwargs: Any
) -> Response:
    uri = (data.get("Code") or {}).get("ImageUri")
    name = str(data.get("FunctionName"))
    if not uri or name in lambda_svc._functions:
        return stock(data, *args, **kwargs)
    digest = _pull(uri, lambda_svc._func_arn(name), lambda_svc._request_access_key.get())
    if isinstance(digest, Refusal):
        return _error(digest)
    answer = stock(data, *args, **kwargs)
    if answer[0] < 400:
        function = lambda_svc._functions[name]
        for record in (function, *function["versions"].values()):
            record["config"]["CodeSha256"] = digest.removeprefix("sha256:")
    return _with_sha(answer, digest)


@around(lambda_svc, "_update_code")
def _update_code(stock: Callable[..., Response], name: str, data: dict[str, Any]) -> Response:
    function = lambda_svc._functions.get(name)
    if function is None:
        return stock(name, data)
    is_image, uri = function["config"].get("PackageType") == "Image", data.get("ImageUri")
    if is_image and not uri:
        text = "Please provide ImageUri when updating a function with packageType Image."
        return _error(_invalid(text))
    if uri and not is_image:
        text = "Please don't provide ImageUri when updating a function with packageType Zip."
        return _error(_invalid(text))
    if not uri:
        return stock(name, data)
    digest = _pull(uri, function["config"]["FunctionArn"], lambda_svc._request_access_key.get())
    if isinstance(digest, Refusal):
        return _error(digest)
    if data.get("DryRun"):
        return stock(name, data)
    function["config"]["CodeSha256"] = digest.removeprefix("sha256:")
    return stock(name, data)


def _with_sha(answer: Response, digest: str) -> Response:
    status, headers, body = answer
    if status >= 400:
        return answer
    return (
        status,
        headers,
        json.dumps(json.loads(body) | {"CodeSha256": digest.removeprefix("sha256:")}).encode(),
    )


_FUNCTION = resource(
    "AWS::Lambda::Function",
    after=[
        "lambda_.layers",
        "iam.deployments",
        "iam.functions",
        "lambda_.fifo_destinations",
        "lambda_.function_limits",
        "lambda_.properties",
    ],
)


@_FUNCTION.create
def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    name, attributes = stock(logical_id, properties, stack)
    config = lambda_svc._functions[name]["config"]
    if config.get("PackageType") == "Image":
        digest = _pull(config["ImageUri"], config["FunctionArn"], None)
        if isinstance(digest, Refusal):
            del lambda_svc._functions[name]
            raise ValueError(digest.text)
        config["CodeSha256"] = digest.removeprefix("sha256:")
    return name, attributes


@around(lambda_svc, "_get_function")
def _get_function(stock: Callable[..., Response], name: str, qualifier: str | None = None) -> Response:
    status, headers, body = stock(name, qualifier)
    answer = json.loads(body)
    code = answer.get("Code", {})
    if status < 400 and code.get("RepositoryType") == "ECR":
        repository = code["ImageUri"].partition("@")[0]
        host, _, path = repository.partition("/")
        sha = answer["Configuration"]["CodeSha256"]
        code["ResolvedImageUri"] = f"{host}/{path.partition(':')[0]}@sha256:{sha}"
    return status, headers, json.dumps(answer).encode()
