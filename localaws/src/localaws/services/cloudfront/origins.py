"""APIs of API Gateway as origins, and function URLs of the type AWS_IAM behind an origin access control.

The emulator refuses to connect to names of AWS other than those of load balancers and function URLs. To a
function URL it sends the request without the signature of the distribution, so the URL refuses it.

Faithful to: an API of API Gateway is reached by HTTPS, and answers 403 to the Host of a viewer. A request
to a function URL is signed if the OAC of the origin signs `always`, or with `no-override` if the viewer sent
no Authorization. The function's resource-based policy must allow cloudfront.amazonaws.com, for this
distribution, both `lambda:InvokeFunctionUrl` and `lambda:InvokeFunction`. The viewer of a request with a body
sends its hash in `x-amz-content-sha256`: Lambda accepts no unsigned body.
Not to: `requestContext.authorizer` of such a request, which AWS does not document, and which is left out;
custom domain names of APIs as origins.

https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-restricting-access-to-lambda.html
https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_OriginAccessControlConfig.html
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/DownloadDistS3AndCustomOrigins.html
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Awaitable, Callable
from typing import Any

from ministack.services import cloudfront

from localaws.patching import around
from localaws.services.cloudfront.cache import exchange
from localaws.services.lambda_.function_urls import signing_service

_API = re.compile(r"[a-z0-9]+\.execute-api\.[a-z0-9-]+\.amazonaws\.com")


@around(cloudfront, "_fetch_from_function_url_origin")
async def _fetch_from_function_url_origin(
    stock: Callable[..., Awaitable[Any]],
    host: str,
    origin: dict[str, Any],
    method: str,
    uri: str,
    query_string: str,
    headers: dict[str, str],
    body: bytes,
    *args: Any,
    **kwargs: Any,
) -> Any:
    now, control = exchange(), cloudfront._oacs.get(origin.get("oac_id") or "")
    signer = None
    if now is not None and control is not None and _signs(control, now.headers):
        hashed = now.headers.get("x-amz-content-sha256") == hashlib.sha256(body or b"").hexdigest()
        if not body or hashed:
            signer = ("cloudfront.amazonaws.com", str(now.distribution["ARN"]))
    token = signing_service.set(signer)
    try:
        return await stock(host, origin, method, uri, query_string, headers, body, *args, **kwargs)
    finally:
        signing_service.reset(token)


@around(cloudfront, "_forward_to_origin")
def _forward_to_origin(
    stock: Callable[..., Any],
    origin: dict[str, Any],
    method: str,
    uri: str,
    query_string: str,
    headers: dict[str, str],
    body: bytes,
    viewer_is_https: bool,
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Send a request for an API to this server, under the name of the API."""
    host = cloudfront._normalize_origin_host(origin["domain_name"])
    if _API.fullmatch(host):
        if not cloudfront._origin_connect_target(origin, viewer_is_https)[2]:
            raise cloudfront.OriginUnreachable(f"{host} does not answer HTTP")
        if headers.get("host", host) != host:
            return 403, "Forbidden", [("Content-Type", "application/json")], b'{"message":"Forbidden"}'
        address = {"domain_name": "127.0.0.1", "https_port": int(os.environ["GATEWAY_PORT"])}
        origin, headers = {**origin, **address}, {**headers, "host": host}
    return stock(origin, method, uri, query_string, headers, body, viewer_is_https, *args, **kwargs)


def _signs(control: dict[str, Any], headers: Any) -> bool:
    behavior = control["SigningBehavior"]
    return behavior == "always" or (behavior == "no-override" and "authorization" not in headers)
