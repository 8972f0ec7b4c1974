"""Function URLs of the type AWS_IAM behind an origin access control: the distribution signs.

The emulator sends the request without a signature, so the URL refuses it.

Faithful to: signed are requests to origins with an OAC that signs `always`, or with `no-override` if the
viewer sent no Authorization. The function's resource-based policy must allow cloudfront.amazonaws.com, for
this distribution, both `lambda:InvokeFunctionUrl` and `lambda:InvokeFunction`. The viewer of a request with a
body sends its hash in `x-amz-content-sha256`: Lambda accepts no unsigned body.
Not to: `requestContext.authorizer` of such a request, which AWS does not document, and which is left out.

https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-restricting-access-to-lambda.html
https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_OriginAccessControlConfig.html
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

from ministack.services import cloudfront

from localaws.patching import around
from localaws.services.cloudfront.cache import exchange
from localaws.services.lambda_.function_urls import signing_service


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


def _signs(control: dict[str, Any], headers: Any) -> bool:
    behavior = control["SigningBehavior"]
    return behavior == "always" or (behavior == "no-override" and "authorization" not in headers)
